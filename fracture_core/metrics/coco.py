"""COCO's twelve metrics for boxes and masks, equal to pycocotools, computed on columns.

Definition: https://cocodataset.org/#detection-eval. Average precision is the mean over IoU .50 to
.95 and 101 recalls of the highest precision at that recall or beyond; average recall is the mean
over the same IoUs of the share of ground truths matched. Precision is computed from the few boxes
that overlap a ground truth, and from where they stand among all others.
"""

from dataclasses import dataclass

import numpy as np

from fracture_core.boxes import area
from fracture_core.metrics.detection_table import Bools, DetectionTable, Float64s, Images, pair_up
from fracture_core.metrics.greedy import Assigner, Assignment
from fracture_core.metrics.pairs import Pairs, box_pairs, group_keys, mask_pairs, rank_within
from fracture_core.types import Int64s

# ---- precision over recall of one class ---------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """The found boxes of one class, the best scored first, equal scores in the order of images.

    `uncounted` (N,) marks boxes that are left out where they are unmatched, for their size. `place`
    (S,) int64, rising, says where the boxes near a ground truth stand. `hit` (S, T) marks those
    matched with a ground truth that counts, `excused` (S, T) those matched with one that is
    ignored.
    """

    uncounted: Bools
    place: Int64s
    hit: Bools
    excused: Bools


def interpolate(ranking: Ranking, gt_count: int, recalls: Float64s) -> Float64s:
    """(T, R) the highest precision at each recall or beyond, 0 where the recall is not reached.

    `gt_count` is the number of ground truths that count, more than 0.
    """
    out = ranking.uncounted[ranking.place][:, None]
    skipped = ranking.excused | (out & ~ranking.hit)
    # How many are left out up to each place: all of the wrong size, as if none were matched, then
    # put right for those that are matched.
    left_out = np.cumsum(ranking.uncounted)[ranking.place][:, None]
    left_out = left_out + np.cumsum(skipped.astype(np.int64) - out, axis=0)
    counted = ranking.place[:, None] + 1 - left_out
    return np.stack(
        [
            _interpolate_one(counted[hit, t], gt_count, recalls)
            for t, hit in enumerate(ranking.hit.T)
        ]
    )


def _interpolate_one(counted: Int64s, gt_count: int, recalls: Float64s) -> Float64s:
    """(R,) from `counted`, which tells of each hit how many boxes count up to it; precision is
    highest at a hit.
    """
    hits = np.arange(1, len(counted) + 1)
    # COCO's own code has the same tiny addend: results agree to the last bit.
    precision = hits / (counted + np.spacing(1.0))
    best_from = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(hits / gt_count, recalls, side="left")
    values: Float64s = np.append(best_from, 0.0)[at]
    return values


# ---- the twelve metrics -------------------------------------------------------------------------

MATCH_IOUS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0.0, 1.0, 101)
# At most so many candidates of one class in one image count, one number for each average recall.
MOST_FOUND = (1, 10, 100)
AREAS_PX = {
    "all": (0.0, 1e10),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, 1e10),
}
UNDEFINED = -1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CocoMetrics:
    """COCO's metrics: shares in [0, 1], or −1, as COCO has it, where there is nothing to find.

    `ap` is the mean over IoU .50:.05:.95, `ap50` and `ap75` are at one IoU. `ar1`, `ar10` and
    `ar100` are with at most that many candidates of a class and image, everything else with 100.
    Small is up to 32², medium up to 96² square pixels, both ends included. `per_class_ap` and
    `per_class_ap50` hold one value a class; the others are means over the classes with a ground
    truth. `precision50` holds, for each class, the precision at each of `RECALLS` at IoU .50, whose
    mean is its AP50.
    """

    ap: float
    ap50: float
    ap75: float
    ap_small: float
    ap_medium: float
    ap_large: float
    ar1: float
    ar10: float
    ar100: float
    ar_small: float
    ar_medium: float
    ar_large: float
    per_class_ap: tuple[float, ...]
    per_class_ap50: tuple[float, ...]
    precision50: tuple[tuple[float, ...], ...]


def evaluate_boxes(found: Images, ground_truths: Images, class_count: int) -> CocoMetrics:
    """Return the twelve metrics by the overlap of boxes; both sides have one entry an image.

    `found` are all candidates, not only the shown ones. A ground truth with a mask has the size of
    its mask, as COCO's annotations do. Raises ValueError for a label that is not below
    `class_count`.
    """
    prediction_columns, gt_columns = _checked(found, ground_truths, class_count)
    pairs = box_pairs(prediction_columns, gt_columns, MATCH_IOUS[0])
    return _metrics(
        prediction_columns, gt_columns, pairs, area(prediction_columns.xyxy), class_count
    )


def evaluate_masks(found: Images, ground_truths: Images, class_count: int) -> CocoMetrics:
    """Return the twelve metrics by the overlap of masks, as `evaluate_boxes` does of boxes.

    Raises ValueError also where a box on either side has no mask.
    """
    prediction_columns, gt_columns = _checked(found, ground_truths, class_count)
    pairs = mask_pairs(prediction_columns, gt_columns, MATCH_IOUS[0])
    return _metrics(prediction_columns, gt_columns, pairs, prediction_columns.areas(), class_count)


def _checked(
    found: Images, ground_truths: Images, class_count: int
) -> tuple[DetectionTable, DetectionTable]:
    """Both sides as columns; candidates beyond the 100th of a class and image never count."""
    prediction_columns, gt_columns = pair_up(found, ground_truths, crowds=True)
    for name, columns in (("found", prediction_columns), ("ground_truths", gt_columns)):
        if columns.labels.max(initial=-1) >= class_count:
            highest = columns.labels.max()
            raise ValueError(f"{name}: expected labels below {class_count}, got {highest}")
    group, _ = group_keys(prediction_columns, gt_columns, class_aware=True)
    kept = rank_within(group) < MOST_FOUND[-1]
    return (prediction_columns if kept.all() else prediction_columns.rows(kept)), gt_columns


def _metrics(
    found: DetectionTable,
    ground_truths: DetectionTable,
    pairs: Pairs,
    found_px: Float64s,
    class_count: int,
) -> CocoMetrics:
    assigner = Assigner(pairs, "last ground truth")
    orders = [_falling(found, label) for label in range(class_count)]
    group, _ = group_keys(found, ground_truths, class_aware=True)
    ranks, gt_px = rank_within(group), ground_truths.areas()
    precision, recall = {}, {}
    for name, (low, high) in AREAS_PX.items():
        ignored = ground_truths.crowd | (gt_px < low) | (gt_px > high)
        held = assigner.assign(MATCH_IOUS, len(ground_truths), ignored, ground_truths.crowd)
        uncounted = (found_px < low) | (found_px > high)
        counts = np.bincount(ground_truths.labels[~ignored], minlength=class_count)
        precision[name] = _precision(held, orders, uncounted, ignored, counts)
        recall[name] = _recall(held, found.labels, ranks, ignored, counts)
    return _named(precision, recall)


def _falling(found: DetectionTable, label: int) -> Int64s:
    """Rows of one class, the best scored first, equal scores in the order of images."""
    rows = np.flatnonzero(found.labels == label)
    return rows[np.argsort(-found.scores[rows], kind="stable")]


def _precision(
    held: Assignment, orders: list[Int64s], uncounted: Bools, ignored: Bools, counts: Int64s
) -> Float64s:
    """(K, T, R), −1 for a class without a ground truth that counts."""
    precision = np.full((len(orders), len(MATCH_IOUS), len(RECALLS)), UNDEFINED)
    hit, excused = _hit_and_excused(held, ignored)
    place_of = np.full(len(uncounted), -1, dtype=np.int64)
    for label in np.flatnonzero(counts):
        order = orders[label]
        place_of[:] = -1
        place_of[order] = np.arange(len(order))
        near = place_of[held.found]
        by_place = np.argsort(near, kind="stable")[np.count_nonzero(near < 0) :]
        ranking = Ranking(
            uncounted=uncounted[order],
            place=near[by_place],
            hit=hit[by_place],
            excused=excused[by_place],
        )
        precision[label] = interpolate(ranking, int(counts[label]), RECALLS)
    return precision


def _recall(
    held: Assignment, labels: Int64s, ranks: Int64s, ignored: Bools, counts: Int64s
) -> Float64s:
    """(K, T, candidates), −1 for a class without a ground truth that counts."""
    recall = np.full((len(counts), len(MATCH_IOUS), len(MOST_FOUND)), UNDEFINED)
    hit, _ = _hit_and_excused(held, ignored)
    for label in np.flatnonzero(counts):
        own = labels[held.found] == label
        for m, most in enumerate(MOST_FOUND):
            hits = hit[own & (ranks[held.found] < most)].sum(axis=0)
            recall[label, :, m] = hits / counts[label]
    return recall


def _hit_and_excused(held: Assignment, ignored: Bools) -> tuple[Bools, Bools]:
    matched = held.gt_of >= 0
    if not matched.any():
        return matched, matched
    excused = matched & ignored[held.gt_of]
    return matched & ~excused, excused


def _named(precision: dict[str, Float64s], recall: dict[str, Float64s]) -> CocoMetrics:
    overall = precision["all"]
    return CocoMetrics(
        ap=_mean(overall),
        ap50=_mean(overall[:, 0]),
        ap75=_mean(overall[:, 5]),
        ap_small=_mean(precision["small"]),
        ap_medium=_mean(precision["medium"]),
        ap_large=_mean(precision["large"]),
        ar1=_mean(recall["all"][..., 0]),
        ar10=_mean(recall["all"][..., 1]),
        ar100=_mean(recall["all"][..., 2]),
        ar_small=_mean(recall["small"][..., 2]),
        ar_medium=_mean(recall["medium"][..., 2]),
        ar_large=_mean(recall["large"][..., 2]),
        per_class_ap=tuple(_mean(one) for one in overall),
        per_class_ap50=tuple(_mean(one[0]) for one in overall),
        precision50=tuple(tuple(one[0].tolist()) for one in overall),
    )


def _mean(shares: Float64s) -> float:
    defined = shares[shares > UNDEFINED]
    return float(defined.mean()) if defined.size else UNDEFINED
