"""What a model's answers are worth: the figures that are watched and written on the card."""

import math
from collections.abc import Sequence

import numpy as np

from fracture_core.metrics import any_hit, classification, coco, greedy
from fracture_core.models.base import Model
from fracture_core.models.cards import ModelCard
from fracture_core.types import Detections, Prediction, Sample
from trainers.config import TrainConfig

_AT_A_TIME = 64
Figures = dict[str, float]


def predict_all(model: Model, samples: Sequence[Sample]) -> list[Prediction]:
    """Raw answers to all samples, some at a time, so that not all pictures are in memory."""
    found: list[Prediction] = []
    for start in range(0, len(samples), _AT_A_TIME):
        found += model.predict(samples[start : start + _AT_A_TIME])
    return found


def candidates(
    predictions: Sequence[Prediction], card: ModelCard, nms_iou: float
) -> list[Detections]:
    """All of them, merged where the network's boxes need it."""
    raw = [prediction.detections for prediction in predictions]
    return [each.nms(nms_iou) for each in raw] if card.needs_nms else raw


def detector_figures(
    found: Sequence[Detections], truths: Sequence[Detections], card: ModelCard, config: TrainConfig
) -> Figures:
    """COCO's AP, R2's greedy precision and recall, R1's figures of any hit and dual metrics."""
    count, at, overlap = len(card.classes), config.shown_confidence, config.match_iou
    boxes = coco.evaluate_boxes(found, truths, count)
    figures = {"ap": boxes.ap, "ap50": boxes.ap50, "ap75": boxes.ap75, "ar100": boxes.ar100}
    if card.task == "segment" and all(len(each.masks) == len(each) for each in truths):
        masks = coco.evaluate_masks(found, truths, count)
        figures |= {"mask_ap": masks.ap, "mask_ap50": masks.ap50}
    single = greedy.count(found, truths, at, match_iou=overlap)
    figures |= {"precision": single.precision, "recall": single.recall, "f1": single.f1}
    any_ = any_hit.count(found, truths, at, overlap)
    figures |= {
        "any_hit_precision": any_.precision,
        "any_hit_recall": any_.recall,
        "any_hit_f1": any_.f1,
    }
    dual = any_hit.dual_metrics(found, truths, at, overlap)
    figures |= {"image_accuracy": dual.images.accuracy, "found_boxes": dual.boxes.share}
    return defined(figures)


def classifier_figures(
    predictions: Sequence[Prediction], classes: Sequence[int], card: ModelCard
) -> Figures:
    """The usual report, each picture taken for its highest class."""
    scores = [each.class_scores for each in predictions if each.class_scores is not None]
    chosen = np.array([int(each.argmax()) for each in scores], dtype=np.int64)
    found = classification.report(np.array(classes, dtype=np.int64), chosen, len(card.classes))
    return defined(
        {
            "accuracy": found.accuracy,
            "balanced_accuracy": found.balanced_accuracy,
            "macro_f1": found.macro.f1,
            "weighted_f1": found.weighted.f1,
        }
    )


def defined(figures: Figures) -> Figures:
    """Without the shares of nothing, such as the precision where nothing was shown."""
    return {name: float(value) for name, value in figures.items() if math.isfinite(value)}
