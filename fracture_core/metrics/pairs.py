"""The pairs of a found box and a ground truth that overlap enough to match, of all images at once.

Of a million candidates only those that overlap a ground truth can ever be matched, so everything
after this works on a small part.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fracture_core import masks
from fracture_core.metrics.detection_table import Bools, DetectionTable, Float64s
from fracture_core.types import Float32s, Int64s

# A pair takes about 100 bytes while overlaps are computed; these fit a processor's cache.
PAIRS_AT_ONCE = 1 << 14


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """P pairs of a found box and a ground truth.

    `found` (P,) int64, rising, and `ground_truth` (P,) int64 are rows of the two tables. `iou` (P,)
    float64 is above 0. `group` (P,) int64 numbers the image, or image and class, inside which boxes
    compete for ground truths.
    """

    found: Int64s
    ground_truth: Int64s
    iou: Float64s
    group: Int64s


def group_keys(
    found: DetectionTable, ground_truths: DetectionTable, class_aware: bool
) -> tuple[Int64s, Int64s]:
    """(N,) and (M,) int64: equal numbers where a found box and a ground truth may match at all."""
    if not class_aware:
        return found.image, ground_truths.image
    highest = max(columns.labels.max(initial=-1) for columns in (found, ground_truths))
    stride = int(highest) + 1
    return found.image * stride + found.labels, ground_truths.image * stride + ground_truths.labels


def rank_within(group: Int64s) -> Int64s:
    """(N,) int64: how many earlier rows are of the same group.

    Example:
        >>> rank_within(np.array([0, 0, 1, 0])).tolist()
        [0, 1, 0, 2]
    """
    rows = np.arange(len(group))
    if (group[1:] >= group[:-1]).all():
        return rows - _group_starts(group, rows)
    order = np.argsort(group, kind="stable")
    ranks = np.empty(len(group), dtype=np.int64)
    ranks[order] = rows - _group_starts(group[order], rows)
    return ranks


def _group_starts(ordered: Int64s, rows: Int64s) -> Int64s:
    """(N,) the first row of each row's group, where the rows of a group stand together."""
    begins = np.append(True, ordered[1:] != ordered[:-1])[: len(ordered)]
    starts: Int64s = np.maximum.accumulate(np.where(begins, rows, 0))
    return starts


def box_pairs(
    found: DetectionTable,
    ground_truths: DetectionTable,
    least_iou: float,
    *,
    class_aware: bool = True,
) -> Pairs:
    """Return all pairs in one image, and of one class if asked, with IoU ≥ `least_iou` and > 0.

    Against a crowd the overlap is the share of the found box that lies in it, as in COCO.
    """
    parts = []
    for possible, ground_truth in _candidates(found, ground_truths):
        # `take` copies whole rows, several times as fast as indexing does.
        touching = _touch(found.xyxy.take(possible, 0), ground_truths.xyxy.take(ground_truth, 0))
        if class_aware:
            touching &= found.labels[possible] == ground_truths.labels[ground_truth]
        close = np.flatnonzero(touching)
        rows, there = possible.take(close), ground_truth.take(close)
        overlap = _iou_of_pairs(found, ground_truths, rows, there)
        near = np.flatnonzero((overlap >= least_iou) & (overlap > 0))
        parts.append((rows[near], there[near], overlap[near]))
    return _joined(parts, found, class_aware)


def mask_pairs(found: DetectionTable, ground_truths: DetectionTable, least_iou: float) -> Pairs:
    """Return the pairs of one image and class by the overlap of masks, as `box_pairs` by boxes.

    Raises ValueError where a box on either side has no mask.
    """
    _require_masks("found", found)
    _require_masks("ground_truths", ground_truths)
    found_group, gt_group = group_keys(found, ground_truths, class_aware=True)
    order, gt_order = (np.argsort(g, kind="stable") for g in (found_group, gt_group))
    parts = []
    for group in np.intersect1d(found_group, gt_group):
        rows = _slice_of(group, found_group, order)
        there = _slice_of(group, gt_group, gt_order)
        overlap = masks.iou(
            [found.masks[i] for i in rows],
            [ground_truths.masks[j] for j in there],
            ground_truths.crowd[there],
        )
        i, j = np.nonzero((overlap >= least_iou) & (overlap > 0))
        parts.append((rows[i], there[j], overlap[i, j]))
    return _joined(parts, found, class_aware=True)


def _candidates(
    found: DetectionTable, ground_truths: DetectionTable
) -> Iterator[tuple[Int64s, Int64s]]:
    """Yield rows of found boxes and of ground truths in one image, some of them at a time."""
    bounds = found.bounds()
    start = bounds[ground_truths.image]
    counts = bounds[ground_truths.image + 1] - start
    ends = np.cumsum(counts)
    # Added to the number of a pair, this gives the row of its found box.
    offset = start - (ends - counts)
    total = int(ends[-1]) if len(ends) else 0
    cuts = np.searchsorted(ends, np.arange(PAIRS_AT_ONCE, total, PAIRS_AT_ONCE))
    for some in np.split(np.arange(len(ground_truths)), cuts):
        repeats = counts[some]
        if repeats.any():
            first, last = ends[some[0]] - repeats[0], ends[some[-1]]
            yield (
                np.arange(first, last) + np.repeat(offset[some], repeats),
                np.repeat(some, repeats),
            )


def _touch(a: Float32s, b: Float32s) -> Bools:
    """(P, 4) and (P, 4) → (P,) whether two boxes have any area in common; most pairs do not."""
    marks: Bools = (a[:, 0] < b[:, 2]) & (b[:, 0] < a[:, 2])
    marks &= (a[:, 1] < b[:, 3]) & (b[:, 1] < a[:, 3])
    return marks


def _iou_of_pairs(
    found: DetectionTable, ground_truths: DetectionTable, rows: Int64s, there: Int64s
) -> Float64s:
    a, b = (
        columns.xyxy.take(which, 0).T.astype(np.float64)
        for columns, which in ((found, rows), (ground_truths, there))
    )
    width = np.minimum(a[2], b[2]) - np.maximum(a[0], b[0])
    height = np.minimum(a[3], b[3]) - np.maximum(a[1], b[1])
    inter = width * height
    own, other = ((c[2] - c[0]) * (c[3] - c[1]) for c in (a, b))
    overlap: Float64s = inter / np.where(ground_truths.crowd[there], own, own + other - inter)
    return overlap


def _slice_of(group: int, groups: Int64s, order: Int64s) -> Int64s:
    first = np.searchsorted(groups, group, side="left", sorter=order)
    last = np.searchsorted(groups, group, side="right", sorter=order)
    return order[first:last]


def _joined(
    parts: list[tuple[Int64s, Int64s, Float64s]], columns: DetectionTable, class_aware: bool
) -> Pairs:
    nothing = np.empty(0, dtype=np.int64)
    found = np.concatenate([part[0] for part in parts] + [nothing])
    order = np.argsort(found, kind="stable")
    found = found[order]
    group, labels = columns.image[found], columns.labels[found]
    if class_aware:
        group = group * (int(labels.max(initial=0)) + 1) + labels
    return Pairs(
        found=found,
        ground_truth=np.concatenate([part[1] for part in parts] + [nothing])[order],
        iou=np.concatenate([part[2] for part in parts] + [nothing.astype(np.float64)])[order],
        group=group,
    )


def _require_masks(name: str, columns: DetectionTable) -> None:
    if len(columns.masks) != len(columns):
        raise ValueError(f"{name}: expected a mask for each of {len(columns)}, got none")
