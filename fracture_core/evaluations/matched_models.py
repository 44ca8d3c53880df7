"""One model of a comparison: its predictions matched once, and its threshold at a dial."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from fracture_core.evaluations.evaluation import Evaluation
from fracture_core.matching import MatchConfig
from fracture_core.metrics import greedy
from fracture_core.metrics.columns import Bools, Columns, Float64s
from fracture_core.operating_points import (
    Curve,
    Rule,
    choose,
    classifier_curve,
    detector_curve,
)
from fracture_core.types import Unit

DialKind = Literal["sensitivity", "FP per image", "own confidence"]
FEWEST, MOST = 2, 4


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchedModel:
    """One model's predictions, matched once for every confidence.

    `evaluation` holds only pictures whose truth is known · `found` its candidates, merged, and
    which of them, `right` (N,), are matched · `hit_scores` (M,) of each truth the score of the
    finding matched with it, −1 = none · `image_scores` (I,) · `lesions` None for a classifier.
    """

    evaluation: Evaluation
    config: MatchConfig
    found: Columns
    right: Bools
    hit_scores: Float64s
    image_scores: Float64s
    lesions: Curve | None
    images: Curve

    @property
    def title(self) -> str:
        return self.evaluation.about.title

    def curve(self, unit: Unit) -> Curve | None:
        """Of lesions, or of whole images."""
        return self.lesions if unit == "lesion" else self.images


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """Where a dial puts a model: a confidence, or None and the reason."""

    confidence: float | None
    reason: str = ""


def match_model(evaluation: Evaluation, config: MatchConfig) -> MatchedModel:
    """Of an evaluation such as `judged()` gives."""
    positive = evaluation.positive
    if evaluation.about.task == "classify":
        scores = evaluation.scores(config.nms_iou)
        return MatchedModel(
            evaluation=evaluation,
            config=config,
            found=evaluation.raw,
            right=np.zeros(len(evaluation.raw), dtype=np.bool_),
            hit_scores=np.empty(0),
            image_scores=scores,
            lesions=None,
            images=classifier_curve(scores, positive),
        )
    found, truths = evaluation.found(config.nms_iou), evaluation.truths
    match_iou, aware = config.match_iou, config.class_aware
    truth_row = greedy.assign_all(found, truths, match_iou, class_aware=aware)
    right = truth_row >= 0
    hit_scores = np.full(len(truths), -1.0)
    hit_scores[truth_row[right]] = found.scores[right]
    best = evaluation.scores(config.nms_iou)
    return MatchedModel(
        evaluation=evaluation,
        config=config,
        found=found,
        right=right,
        hit_scores=hit_scores,
        image_scores=best,
        lesions=detector_curve(found, truths, match_iou=match_iou, class_aware=aware),
        images=classifier_curve(best, positive),
    )


def common_unit(models: Sequence[MatchedModel]) -> Unit:
    """Lesions where all find boxes, else whole images."""
    return "lesion" if all(each.lesions is not None for each in models) else "image"


def threshold_at(one: MatchedModel, unit: Unit, kind: DialKind, level: float) -> Threshold:
    """The highest confidence that reaches the sensitivity, or the lowest with few enough false
    positives an image; `level` itself is the confidence where the kind is that.
    """
    if kind == "own confidence":
        return Threshold(confidence=level)
    curve = one.curve(unit)
    if curve is None:
        return Threshold(confidence=None, reason="it finds no boxes")
    aim: Literal["sensitivity ≥", "FP per image ≤"] = (
        "sensitivity ≥" if kind == "sensitivity" else "FP per image ≤"
    )
    point = choose(curve, Rule(aim=aim, bound=level))
    return Threshold(confidence=point.confidence, reason=point.reason)
