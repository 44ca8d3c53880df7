"""The few metrics that are watched while a model learns and stand on its card, by their names.

Shares of nothing, such as the precision where nothing is shown, are left out.
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
    """Of all candidates, NMS done: COCO's AP and AR; of those from `confidence` on: precision,
    recall and F1 of boxes matched greedily, metrics of images by any hit, the share of ground
    truths hit.

    `masks` asks for COCO's AP of masks as well, which there is where every ground truth has one.
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
    """(N,) true classes and (N,) classes called → accuracies, and F1 averaged over classes."""
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
    """Without the shares of nothing, such as the precision where nothing was shown."""
    return {name: float(value) for name, value in metrics.items() if math.isfinite(value)}
