"""Confidences chosen by rule, on validation, with what was measured there.

Every distinct score is a candidate, not a grid of round numbers, so a rule is met as well as the
data allow. A rule that cannot be met has no confidence and says why.
"""

from dataclasses import dataclass
from math import nan
from typing import Literal

import numpy as np
import numpy.typing as npt

from fracture_core.errors import ConfigError
from fracture_core.metrics import greedy
from fracture_core.metrics.detection_table import Images, pair_up
from fracture_core.metrics.intervals import Proportion
from fracture_core.metrics.sweeps import Sweep, count_above, distinct_falling
from fracture_core.types import Int64s, Unit

Aim = Literal["max F1", "sensitivity ≥", "FP per image ≤", "specificity ≥"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What an operating point is for; `bound` belongs to every aim but the highest F1."""

    aim: Aim
    bound: float = 0.0

    def __post_init__(self) -> None:
        most = np.inf if self.aim == "FP per image ≤" else 1.0
        if not 0 <= self.bound <= most:
            limits = "0 or more" if most > 1 else "0 to 1"
            raise ConfigError(self.aim, expected=limits, found=f"{self.bound:g}")

    @property
    def name(self) -> str:
        return self.aim if self.aim == "max F1" else f"{self.aim} {self.bound:g}"


MAX_F1 = Rule(aim="max F1")
HIGH_SENSITIVITY = Rule(aim="sensitivity ≥", bound=0.9)
HIGH_SPECIFICITY = Rule(aim="specificity ≥", bound=0.9)
RULES = (MAX_F1, HIGH_SENSITIVITY, HIGH_SPECIFICITY, Rule(aim="FP per image ≤", bound=1.0))
"""What is chosen where nobody says otherwise; the second and third make the viewer's tiers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """What a model reaches at each of its scores, the highest first.

    `sweep` counts lesions, of a detector, or images, of a classifier · `false_alarms` (C,) int64,
    images without a ground truth that show anything · `images` and, of them, `negatives` without a
    ground truth.
    """

    unit: Unit
    sweep: Sweep
    false_alarms: Int64s
    positives: int
    negatives: int
    images: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """At one confidence: sensitivity and precision by the curve's unit, specificity by image."""

    sensitivity: Proportion
    precision: Proportion
    specificity: Proportion
    false_positives: int
    images: int

    @property
    def fp_per_image(self) -> float:
        return self.false_positives / self.images if self.images else nan


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatingPoint:
    """`confidence` and `measured` are None where the rule cannot be met, and `reason` says why.

    `at_edge`: the lowest score of all was chosen, and a lower one, had the model kept any, might
    have done better.
    """

    rule: Rule
    unit: Unit
    confidence: float | None
    measured: Measured | None
    reason: str = ""
    at_edge: bool = False


def detector_curve(
    found: Images, ground_truths: Images, *, match_iou: float = 0.5, class_aware: bool = True
) -> Curve:
    """Of single findings, matched greedily; boxes that need merging are merged before.

    Specificity is of images without a ground truth: those that show nothing.
    """
    found, ground_truths = pair_up(found, ground_truths)
    counts = greedy.sweep(found, ground_truths, match_iou=match_iou, class_aware=class_aware)
    healthy = np.ones(found.image_count, dtype=np.bool_)
    healthy[ground_truths.image] = False
    return Curve(
        unit="lesion",
        sweep=counts,
        false_alarms=count_above(found.best_scores(-1.0)[healthy], counts.confidences),
        positives=len(ground_truths),
        negatives=int(healthy.sum()),
        images=found.image_count,
    )


def classifier_curve(image_scores: npt.ArrayLike, positive: npt.ArrayLike) -> Curve:
    """Of whole images: (I,) scores and (I,) bool, whether there is anything to find."""
    scores, marks = np.asarray(image_scores, dtype=np.float64), np.asarray(positive, dtype=np.bool_)
    if scores.shape != marks.shape or scores.ndim != 1 or not np.isfinite(scores).all():
        raise ValueError(f"image_scores: expected {marks.shape} finite numbers, got {scores.shape}")
    at = distinct_falling(scores)
    hits, false_alarms = count_above(scores[marks], at), count_above(scores[~marks], at)
    counts = Sweep(
        confidences=at,
        true_positives=hits,
        false_positives=false_alarms,
        false_negatives=int(marks.sum()) - hits,
    )
    return Curve(
        unit="image",
        sweep=counts,
        false_alarms=false_alarms,
        positives=int(marks.sum()),
        negatives=int((~marks).sum()),
        images=len(marks),
    )


def choose(curve: Curve, rule: Rule) -> OperatingPoint:
    """The confidence that meets the rule best.

    The highest F1, of equal ones at the highest confidence; the highest confidence with enough
    sensitivity; the lowest with few enough false positives or enough specificity.
    """
    chosen = _position(curve, rule)
    if isinstance(chosen, str):
        return OperatingPoint(
            rule=rule, unit=curve.unit, confidence=None, measured=None, reason=chosen
        )
    confidence = float(curve.sweep.confidences[chosen])
    return OperatingPoint(
        rule=rule,
        unit=curve.unit,
        confidence=confidence,
        measured=measure(curve, confidence),
        at_edge=rule.aim != "sensitivity ≥" and chosen == len(curve.sweep) - 1,
    )


def measure(curve: Curve, confidence: float) -> Measured:
    """What any confidence reaches, as on a test split what was chosen on validation."""
    shown = int(np.count_nonzero(curve.sweep.confidences >= confidence))
    hits, wrong, alarms = (
        int(counts[shown - 1]) if shown else 0
        for counts in (
            curve.sweep.true_positives,
            curve.sweep.false_positives,
            curve.false_alarms,
        )
    )
    return Measured(
        sensitivity=Proportion(count=hits, total=curve.positives),
        precision=Proportion(count=hits, total=hits + wrong),
        specificity=Proportion(count=curve.negatives - alarms, total=curve.negatives),
        false_positives=wrong,
        images=curve.images,
    )


# Where on the curve, or why nowhere.
_Position = int | str


def _position(curve: Curve, rule: Rule) -> _Position:
    if not len(curve.sweep):
        return "no score to choose from: the model found nothing"
    if rule.aim == "max F1":
        return _highest_f1(curve)
    if rule.aim == "sensitivity ≥":
        return _enough_sensitivity(curve, rule.bound)
    if rule.aim == "FP per image ≤":
        return _few_false_positives(curve, rule.bound)
    return _enough_specificity(curve, rule.bound)


def _highest_f1(curve: Curve) -> _Position:
    if not curve.positives:
        return "F1 is undefined: there is no ground truth to find"
    if not curve.sweep.true_positives.any():
        return "F1 is 0 everywhere: nothing found matches a ground-truth box"
    return int(np.argmax(curve.sweep.f1))


def _enough_sensitivity(curve: Curve, bound: float) -> _Position:
    if not curve.positives:
        return "sensitivity is undefined: there is no ground truth to find"
    enough = np.flatnonzero(curve.sweep.recall >= bound)
    if not len(enough):
        return f"all candidates together reach a sensitivity of {curve.sweep.recall[-1]:.3f}"
    return int(enough[0])


def _few_false_positives(curve: Curve, bound: float) -> _Position:
    rates = curve.sweep.false_positives / curve.images
    few = np.flatnonzero(rates <= bound)
    if not len(few):
        top = curve.sweep.confidences[0]
        return f"already {rates[0]:.3f} false positives an image at the highest score, {top:.3f}"
    return int(few[-1])


def _enough_specificity(curve: Curve, bound: float) -> _Position:
    if not curve.negatives:
        return "specificity is undefined: there is no negative image"
    shares = (curve.negatives - curve.false_alarms) / curve.negatives
    enough = np.flatnonzero(shares >= bound)
    if not len(enough):
        top = curve.sweep.confidences[0]
        return f"the specificity is only {shares[0]:.3f} at the highest score, {top:.3f}"
    return int(enough[-1])
