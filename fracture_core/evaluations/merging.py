"""Class-wise suppression in many pictures at once.

In one picture the kept boxes must be found one after the other, but pictures and classes do not
disturb each other: so the best box of every group is kept in one step, what it overlaps falls in
all groups together, and the best of what is left is next.
"""

import numpy as np

from fracture_core.boxes import Bools, Float64s, Int64s, area
from fracture_core.metrics.columns import Columns
from fracture_core.metrics.pairs import group_keys

# So many rows that what is worked on stays in the processor's cache.
ROWS_AT_ONCE = 1 << 15


def merge(raw: Columns, nms_iou: float) -> Columns:
    """What `Detections.nms` keeps of each picture."""
    if nms_iou >= 1 or not len(raw):
        return raw
    group, _ = group_keys(raw, raw, class_aware=True)
    order = np.argsort(group, kind="stable")
    kept = np.zeros(len(raw), dtype=np.bool_)
    for rows in np.split(order, _cuts(group[order])):
        kept[rows] = _survivors(raw.xyxy[rows].astype(np.float64), group[rows], nms_iou)
    return raw.rows(kept)


def _cuts(group: Int64s) -> Int64s:
    """Where to cut between groups, about every `ROWS_AT_ONCE` rows."""
    firsts = np.flatnonzero(np.diff(group, prepend=group[0] - 1))
    at = np.searchsorted(firsts, np.arange(ROWS_AT_ONCE, len(group), ROWS_AT_ONCE))
    cuts: Int64s = np.unique(firsts[at[at < len(firsts)]])
    return cuts


def _survivors(xyxy: Float64s, group: Int64s, nms_iou: float) -> Bools:
    """(N,) of rows group by group, the best first in each."""
    kept = np.zeros(len(group), dtype=np.bool_)
    corners, areas, left = np.ascontiguousarray(xyxy.T), area(xyxy), np.arange(len(group))
    while len(left):
        groups = group[left]
        is_best = np.diff(groups, prepend=groups[0] - 1) != 0
        kept[left[is_best]] = True
        best = np.repeat(left[is_best], np.diff(np.append(np.flatnonzero(is_best), len(left))))
        rest, best = left[~is_best], best[~is_best]
        left = rest[~_overlap(corners, areas, best, rest, nms_iou)]
    return kept


def _overlap(
    corners: Float64s, areas: Float64s, first: Int64s, second: Int64s, nms_iou: float
) -> Bools:
    """(P,) whether the IoU of two rows is above; the arithmetic of `boxes.iou`, to the last bit."""
    x1, y1, x2, y2 = corners
    wide = np.minimum(x2[first], x2[second]) - np.maximum(x1[first], x1[second])
    high = np.minimum(y2[first], y2[second]) - np.maximum(y1[first], y1[second])
    # Most boxes do not touch at all.
    near = np.flatnonzero((wide > 0) & (high > 0))
    inter = wide[near] * high[near]
    union = areas[first[near]] + areas[second[near]] - inter
    above = np.zeros(len(first), dtype=np.bool_)
    above[near] = inter / union > nms_iou
    return above
