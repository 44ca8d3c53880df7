"""What is asked of an evaluation, and one model's predictions matched once for all thresholds."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fracture_core.errors import ConfigError, first_fault
from fracture_core.evaluations.evaluation import Evaluation
from fracture_core.files import write_text
from fracture_core.matching import MatchConfig
from fracture_core.metrics import greedy
from fracture_core.metrics.detection_table import Bools, DetectionTable, Float64s
from fracture_core.operating_points import (
    Curve,
    Rule,
    choose,
    classifier_curve,
    detector_curve,
)
from fracture_core.runs import EVALUATION
from fracture_core.types import Unit

# ---- what is asked -------------------------------------------------------------------------------


class EvaluateConfig(BaseModel):
    """What is asked of an evaluation: config.json in its folder.

    `model` is a library id or a name, `data` an absolute path, `split` one of the data set's, or
    "all" for every image. `one_class` counts every class of model and ground truth as one; `is_a`
    tells which classes count as another, as `class_names.bring_together` reads it. `limit` takes so
    many images, evenly spread, None = all. `nms_iou` and `match_iou` are those of the printed
    report: what is stored is raw.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["evaluation"] = EVALUATION
    model: str = Field(min_length=1, max_length=1_000)
    data: str = Field(min_length=1)
    split: str = "val"
    one_class: bool = False
    is_a: dict[str, str] = {}
    limit: int | None = Field(default=None, ge=1)
    nms_iou: float = Field(default=0.5, ge=0, le=1)
    match_iou: float = Field(default=0.5, gt=0, le=1)
    study_rule: str = "max"

    @classmethod
    def of(cls, **asked: object) -> Self:
        """Return the config; raises ConfigError for a value that makes no sense."""
        try:
            return cls.model_validate(asked)
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"])
            found = repr(first["input"])[:200]
            raise ConfigError(name, expected=first["msg"], found=found) from error


def read_config(path: Path) -> EvaluateConfig:
    """Return the config in a file; raises ConfigError for one that makes no sense."""
    expected = "what is asked of an evaluation"
    try:
        return EvaluateConfig.model_validate_json(path.read_bytes())
    except OSError as error:
        found = error.strerror or type(error).__name__
        raise ConfigError(path, expected=expected, found=found) from error
    except ValidationError as error:
        raise ConfigError(path, expected=expected, found=first_fault(error)) from error


def write_config(config: EvaluateConfig, path: Path) -> None:
    """Write a config into a file, which is renamed into place; raises StorageError."""
    write_text(path, config.model_dump_json(indent=2) + "\n")


# ---- a matched model -----------------------------------------------------------------------------

DialKind = Literal["sensitivity", "FP per image", "own confidence"]
FEWEST, MOST = 2, 4


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchedModel:
    """One model's predictions, matched once for every confidence.

    `evaluation` holds only images whose ground truth is known. `found` are its N candidates, after
    NMS, and `right` (N,) marks those that match. `hit_scores` (M,) hold the score of the finding
    that each ground truth is matched with, −1 = none. `image_scores` are (I,). `lesions` is None
    for a classifier.
    """

    evaluation: Evaluation
    config: MatchConfig
    found: DetectionTable
    right: Bools
    hit_scores: Float64s
    image_scores: Float64s
    lesions: Curve | None
    images: Curve

    @property
    def title(self) -> str:
        """The model's title."""
        return self.evaluation.about.title

    def curve(self, unit: Unit) -> Curve | None:
        """Return the curve of lesions, None for a classifier, or that of whole images."""
        return self.lesions if unit == "lesion" else self.images


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """Where a dial puts a model: a confidence, or None and the reason."""

    confidence: float | None
    reason: str = ""


def match_model(evaluation: Evaluation, config: MatchConfig) -> MatchedModel:
    """Match the predictions of an evaluation such as `matched()` gives."""
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
    found, ground_truths = evaluation.found(config.nms_iou), evaluation.ground_truths
    match_iou, aware = config.match_iou, config.class_aware
    gt_row = greedy.assign_all(found, ground_truths, match_iou, class_aware=aware)
    right = gt_row >= 0
    hit_scores = np.full(len(ground_truths), -1.0)
    hit_scores[gt_row[right]] = found.scores[right]
    best = evaluation.scores(config.nms_iou)
    return MatchedModel(
        evaluation=evaluation,
        config=config,
        found=found,
        right=right,
        hit_scores=hit_scores,
        image_scores=best,
        lesions=detector_curve(found, ground_truths, match_iou=match_iou, class_aware=aware),
        images=classifier_curve(best, positive),
    )


def common_unit(models: Sequence[MatchedModel]) -> Unit:
    """Return "lesion" where all models find boxes, else "image"."""
    return "lesion" if all(each.lesions is not None for each in models) else "image"


def threshold_at(one: MatchedModel, unit: Unit, kind: DialKind, level: float) -> Threshold:
    """Return the confidence at which a model is where the dial stands.

    It is the highest one that reaches a sensitivity of `level`, or the lowest with at most `level`
    false positives per image, or `level` itself where the kind is "own confidence".
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
