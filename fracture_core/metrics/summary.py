"""The few metrics that are logged while a model learns and stand on its card, by their names.

Undefined metrics, such as the precision where nothing is shown, are left out.
"""

import math

from fracture_core.metrics import any_hit, classification, coco, greedy
from fracture_core.metrics.detection_table import Images, pair_up
from fracture_core.types import Int64s

Metrics = dict[str, float]


def detector_metrics(
    found: Images,
    ground_truths: Images,
    class_count: int,
    *,
    confidence: float,
    match_iou: float,
    masks: bool,
) -> Metrics:
    """Return the metrics of a detector from all its candidates, after NMS.

    COCO's AP and AR use all candidates. Precision, recall and F1 of boxes, the metrics of images by
    any hit and the share of ground truths hit use those scored at least `confidence`. `masks` asks
    for COCO's AP of masks as well, which is given where every ground truth has a mask. Raises
    ValueError for a label that is not below `class_count`.
    """
    found, ground_truths = pair_up(found, ground_truths)
    boxes = coco.evaluate_boxes(found, ground_truths, class_count)
    metrics = {"ap": boxes.ap, "ap50": boxes.ap50, "ap75": boxes.ap75, "ar100": boxes.ar100}
    if masks and len(ground_truths.masks) == len(ground_truths):
        outlines = coco.evaluate_masks(found, ground_truths, class_count)
        metrics |= {"mask_ap": outlines.ap, "mask_ap50": outlines.ap50}
    single = greedy.count(found, ground_truths, confidence, match_iou=match_iou)
    metrics |= {"precision": single.precision, "recall": single.recall, "f1": single.f1}
    any_ = any_hit.count(found, ground_truths, confidence, match_iou)
    metrics |= {
        "any_hit_precision": any_.precision,
        "any_hit_recall": any_.recall,
        "any_hit_f1": any_.f1,
    }
    dual = any_hit.dual_metrics(found, ground_truths, confidence, match_iou)
    metrics |= {"image_accuracy": dual.images.accuracy, "found_boxes": dual.boxes.share}
    return defined(metrics)


def classifier_metrics(classes: Int64s, called: Int64s, class_count: int) -> Metrics:
    """(N,) true and (N,) predicted classes → accuracies, and F1 averaged over classes.

    Raises ValueError where a class is not below `class_count` or the lengths differ.
    """
    found = classification.report(classes, called, class_count)
    return defined(
        {
            "accuracy": found.accuracy,
            "balanced_accuracy": found.balanced_accuracy,
            "macro_f1": found.macro.f1,
            "weighted_f1": found.weighted.f1,
        }
    )


def defined(metrics: Metrics) -> Metrics:
    """Return only the finite metrics.

    Example:
        >>> defined({"ap": 0.5, "precision": math.nan})
        {'ap': 0.5}
    """
    return {name: float(value) for name, value in metrics.items() if math.isfinite(value)}
