"""Which found boxes may match which truths: the few that overlap enough, of all pictures at once.

Of a million candidates only those that overlap a truth can ever be matched, so everything after
this works on a small part.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fracture_core import boxes, masks
from fracture_core.metrics.columns import Columns, Float64s
from fracture_core.types import Int64s

# Bounds memory: about 100 bytes a pair while overlaps are computed.
PAIRS_AT_ONCE = 1 << 19


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """`found` and `truth` (P,) int64, rows of the columns, `found` rising · `iou` (P,) float64 > 0
    · `group` (P,) int64, the picture, or the picture and class, inside which both compete.
    """

    found: Int64s
    truth: Int64s
    iou: Float64s
    group: Int64s


def group_keys(found: Columns, truths: Columns, class_aware: bool) -> tuple[Int64s, Int64s]:
    """(N,) and (M,) numbers that are equal where a found box and a truth may match at all."""
    if not class_aware:
        return found.image, truths.image
    highest = max(columns.labels.max(initial=-1) for columns in (found, truths))
    stride = int(highest) + 1
    return found.image * stride + found.labels, truths.image * stride + truths.labels


def rank_within(group: Int64s) -> Int64s:
    """(N,) how many earlier rows are of the same group."""
    order = np.argsort(group, kind="stable")
    ordered, rows = group[order], np.arange(len(group))
    begins = np.append(True, ordered[1:] != ordered[:-1])[: len(group)]
    first = np.maximum.accumulate(np.where(begins, rows, 0))
    ranks = np.empty(len(group), dtype=np.int64)
    ranks[order] = rows - first
    return ranks


def box_pairs(
    found: Columns, truths: Columns, least_iou: float, *, class_aware: bool = True
) -> Pairs:
    """All pairs in one picture, and of one class if asked, with IoU ≥ `least_iou` and > 0.

    Against a crowd the overlap is the share of the found box that lies in it, as in COCO.
    """
    found_group, truth_group = group_keys(found, truths, class_aware)
    parts = []
    for rows, there in _candidates(found_group, truth_group):
        overlap = _iou_of_pairs(found, truths, rows, there)
        near = np.flatnonzero((overlap >= least_iou) & (overlap > 0))
        parts.append((rows[near], there[near], overlap[near]))
    return _joined(parts, found_group)


def mask_pairs(found: Columns, truths: Columns, least_iou: float) -> Pairs:
    """As `box_pairs` within a class, by the overlap of masks; both sides must have masks."""
    _require_masks("found", found)
    _require_masks("truths", truths)
    found_group, truth_group = group_keys(found, truths, class_aware=True)
    order, truth_order = (np.argsort(g, kind="stable") for g in (found_group, truth_group))
    parts = []
    for group in np.intersect1d(found_group, truth_group):
        rows = _slice_of(group, found_group, order)
        there = _slice_of(group, truth_group, truth_order)
        overlap = masks.iou(
            [found.masks[i] for i in rows],
            [truths.masks[j] for j in there],
            truths.crowd[there],
        )
        i, j = np.nonzero((overlap >= least_iou) & (overlap > 0))
        parts.append((rows[i], there[j], overlap[i, j]))
    return _joined(parts, found_group)


def _candidates(found_group: Int64s, truth_group: Int64s) -> Iterator[tuple[Int64s, Int64s]]:
    """Rows of found and truths in equal groups, some at a time, found rising."""
    truth_order = np.argsort(truth_group, kind="stable")
    ordered = truth_group[truth_order]
    start = np.searchsorted(ordered, found_group, side="left")
    counts = np.searchsorted(ordered, found_group, side="right") - start
    rows = np.flatnonzero(counts)
    ends = np.cumsum(counts[rows])
    total = int(ends[-1]) if len(ends) else 0
    cuts = np.searchsorted(ends, np.arange(PAIRS_AT_ONCE, total, PAIRS_AT_ONCE))
    for some in np.split(rows, cuts):
        repeats = counts[some]
        within = np.arange(repeats.sum()) - np.repeat(np.cumsum(repeats) - repeats, repeats)
        yield np.repeat(some, repeats), truth_order[np.repeat(start[some], repeats) + within]


def _iou_of_pairs(found: Columns, truths: Columns, rows: Int64s, there: Int64s) -> Float64s:
    a, b = found.xyxy[rows].astype(np.float64), truths.xyxy[there].astype(np.float64)
    low, high = np.maximum(a[:, :2], b[:, :2]), np.minimum(a[:, 2:], b[:, 2:])
    inter = np.prod(np.maximum(high - low, 0.0), axis=1)
    own = boxes.area(a)
    union = np.where(truths.crowd[there], own, own + boxes.area(b) - inter)
    overlap: Float64s = inter / union
    return overlap


def _slice_of(group: int, groups: Int64s, order: Int64s) -> Int64s:
    first = np.searchsorted(groups, group, side="left", sorter=order)
    last = np.searchsorted(groups, group, side="right", sorter=order)
    return order[first:last]


def _joined(parts: list[tuple[Int64s, Int64s, Float64s]], found_group: Int64s) -> Pairs:
    nothing = np.empty(0, dtype=np.int64)
    found = np.concatenate([part[0] for part in parts] + [nothing])
    order = np.argsort(found, kind="stable")
    found = found[order]
    return Pairs(
        found=found,
        truth=np.concatenate([part[1] for part in parts] + [nothing])[order],
        iou=np.concatenate([part[2] for part in parts] + [nothing.astype(np.float64)])[order],
        group=found_group[found],
    )


def _require_masks(name: str, columns: Columns) -> None:
    if len(columns.masks) != len(columns):
        raise ValueError(f"{name}: expected a mask for each of {len(columns)}, got none")
