"""Figures of whole images that any box decides, and the share of ground truth boxes found.

Classes do not count here, and a box hits where its IoU *exceeds* the match IoU, unlike in greedy
matching where equality suffices. Boxes are shown from `confidence` on; those that need
merging are merged before.
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
    """`images`: images as healthy (class 0) and fracture (class 1), where any shown box means
    fracture · `boxes`: ground truth boxes that any shown box hits, of all ground truth boxes.
    """

    images: Report
    boxes: Proportion


def dual_metrics(
    found: Images, ground_truths: Images, confidence: float = 0.1, match_iou: float = 0.5
) -> DualMetrics:
    """Both at one confidence."""
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
    """Counts of images, at every distinct score, the highest first, by default.

    A fracture image is a true positive where any shown box hits any ground truth. Where boxes are
    shown and all miss it is a false negative *and* a false positive. A healthy image with any shown
    box is a false positive.
    """
    found, ground_truths = pair_up(found, ground_truths)
    at = distinct_falling(found.scores) if confidences is None else np.asarray(confidences, float)
    fractured, best = _has_any(ground_truths), found.best_scores(-1.0)
    best_hit = _best_hits(found, ground_truths, match_iou)
    hits = count_above(best_hit[fractured], at)
    return Sweep(
        confidences=at,
        true_positives=hits,
        # Images that show anything, less the fracture images among them with a hit.
        false_positives=count_above(best, at) - hits,
        false_negatives=np.count_nonzero(fractured) - hits,
    )


def count(
    found: Images, ground_truths: Images, confidence: float = 0.1, match_iou: float = 0.5
) -> Counts:
    """Counts of images at one confidence."""
    return sweep(found, ground_truths, [confidence], match_iou=match_iou)[0]


def _has_any(columns: DetectionTable) -> Bools:
    marks = np.zeros(columns.image_count, dtype=np.bool_)
    marks[columns.image] = True
    return marks


def _best_hits(found: DetectionTable, ground_truths: DetectionTable, match_iou: float) -> Float64s:
    """(I,) the best score of a box that hits, −1 where none does."""
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
