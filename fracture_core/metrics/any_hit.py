"""Metrics of whole images where any box counts: one hit makes a fracture image a true positive.

Classes are ignored. A box hits where its IoU with a ground truth *exceeds* the match IoU, unlike in
greedy matching where equality suffices, and several boxes may hit the same ground truth. Boxes are
shown from `confidence` on; a model that needs NMS must have had it before.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fracture_core.metrics.classification import Report, report
from fracture_core.metrics.detection_table import Bools, DetectionTable, Float64s, Images, pair_up
from fracture_core.metrics.intervals import Proportion
from fracture_core.metrics.pairs import Pairs, box_pairs
from fracture_core.metrics.sweeps import Counts, Sweep, count_above, distinct_falling

HEALTHY, FRACTURE = 0, 1


@dataclass(frozen=True, slots=True, kw_only=True)
class DualMetrics:
    """The metrics of the images and of the boxes at one confidence.

    `images` reports the images as healthy (class 0) or fracture (class 1), where any shown box
    means fracture. `boxes` is the share of ground truth boxes that any shown box hits.
    """

    images: Report
    boxes: Proportion


def dual_metrics(
    found: Images, ground_truths: Images, confidence: float = 0.1, match_iou: float = 0.5
) -> DualMetrics:
    """Return both kinds of metrics of what is scored at least `confidence`.

    Raises ValueError where the two sides are not of the same number of images.
    """
    found, ground_truths = pair_up(found, ground_truths)
    fractured, shown = _has_any(ground_truths), found.best_scores(-1.0) >= confidence
    pairs = _hits(found, ground_truths, match_iou)
    hit = pairs.ground_truth[found.scores[pairs.found].astype(np.float64) >= confidence]
    return DualMetrics(
        images=report(fractured.astype(np.int64), shown.astype(np.int64), 2),
        boxes=Proportion(count=len(np.unique(hit)), total=len(ground_truths)),
    )


def sweep(
    found: Images,
    ground_truths: Images,
    confidences: npt.ArrayLike | None = None,
    *,
    match_iou: float = 0.5,
) -> Sweep:
    """Return the counts of images at (C,) `confidences`, by default at every distinct score.

    A fracture image is a true positive where any shown box hits any ground truth. Where boxes are
    shown and all of them miss, it is a false negative *and* a false positive. A healthy image with
    any shown box is a false positive.
    """
    found, ground_truths = pair_up(found, ground_truths)
    at = distinct_falling(found.scores) if confidences is None else np.asarray(confidences, float)
    fractured, best = _has_any(ground_truths), found.best_scores(-1.0)
    best_hit = _best_hits(found, ground_truths, match_iou)
    hits = count_above(best_hit[fractured], at)
    return Sweep(
        confidences=at,
        true_positives=hits,
        # All images that show anything, less the fracture images with a hit among them.
        false_positives=count_above(best, at) - hits,
        false_negatives=np.count_nonzero(fractured) - hits,
    )


def count(
    found: Images, ground_truths: Images, confidence: float = 0.1, match_iou: float = 0.5
) -> Counts:
    """Return the counts of images at one confidence, as `sweep` defines them."""
    return sweep(found, ground_truths, [confidence], match_iou=match_iou)[0]


def _has_any(columns: DetectionTable) -> Bools:
    marks = np.zeros(columns.image_count, dtype=np.bool_)
    marks[columns.image] = True
    return marks


def _best_hits(found: DetectionTable, ground_truths: DetectionTable, match_iou: float) -> Float64s:
    """(I,) the score of each image's best box that hits, −1 where none does."""
    pairs = _hits(found, ground_truths, match_iou)
    best = np.full(found.image_count, -1.0)
    np.maximum.at(best, found.image[pairs.found], found.scores[pairs.found].astype(np.float64))
    return best


def _hits(found: DetectionTable, ground_truths: DetectionTable, match_iou: float) -> Pairs:
    pairs = box_pairs(found, ground_truths, match_iou, class_aware=False)
    beyond = pairs.iou > match_iou
    return Pairs(
        found=pairs.found[beyond],
        ground_truth=pairs.ground_truth[beyond],
        iou=pairs.iou[beyond],
        group=pairs.group[beyond],
    )
