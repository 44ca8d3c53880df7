"""Operating points: confidence thresholds chosen by a rule, with what was measured at them.

They are chosen on the validation split and measured on another. Every distinct score is a
candidate threshold, not a grid of round numbers, so a rule is met as closely as the data allow. A
rule that cannot be met gets no threshold, and a sentence that says why.
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
    """What an operating point is to reach; `bound` belongs to every aim but the highest F1.

    The bound is a share in [0, 1], or false positives per image, 0 or more; anything else raises
    ConfigError.
    """

    aim: Aim
    bound: float = 0.0

    def __post_init__(self) -> None:
        most = np.inf if self.aim == "FP per image ≤" else 1.0
        if not 0 <= self.bound <= most:
            limits = "0 or more" if most > 1 else "0 to 1"
            raise ConfigError(self.aim, expected=limits, found=f"{self.bound:g}")

    @property
    def name(self) -> str:
        """The rule in words, such as "sensitivity ≥ 0.9"."""
        return self.aim if self.aim == "max F1" else f"{self.aim} {self.bound:g}"


MAX_F1 = Rule(aim="max F1")
HIGH_SENSITIVITY = Rule(aim="sensitivity ≥", bound=0.9)
HIGH_SPECIFICITY = Rule(aim="specificity ≥", bound=0.9)
RULES = (MAX_F1, HIGH_SENSITIVITY, HIGH_SPECIFICITY, Rule(aim="FP per image ≤", bound=1.0))
"""The rules used by default; the viewer tells findings from doubtful ones by the second and third.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """What a model reaches at each of its C distinct scores, the highest first.

    `sweep` counts lesions of a detector or images of a classifier, as `unit` says · `false_alarms`
    (C,) int64, the negative images that show anything · `positives` the lesions or images there are
    to find · `images` and, of them, `negatives`, in which nothing is to be found.
    """

    unit: Unit
    sweep: Sweep
    false_alarms: Int64s
    positives: int
    negatives: int
    images: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What is reached at one confidence, over a number of `images`.

    Sensitivity, precision and `false_positives` count the curve's unit; specificity counts images.
    """

    sensitivity: Proportion
    precision: Proportion
    specificity: Proportion
    false_positives: int
    images: int

    @property
    def fp_per_image(self) -> float:
        """False positives per image, nan where there is no image."""
        return self.false_positives / self.images if self.images else nan


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatingPoint:
    """The confidence threshold that meets a rule, and what was `measured` at it.

    Both are None where the rule cannot be met, and `reason` says why. With `at_edge` the lowest
    score of all was chosen: a lower one, had the model kept any, might have done better.
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
    """Return the curve of a detector, which counts single findings, matched greedily by score.

    Boxes that need suppression are suppressed before. Specificity is the share of images without
    ground truth in which nothing is found.
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
    """Return the curve of a classifier from (I,) scores and (I,) bool, which images are positive.

    Raises ValueError where the shapes differ or a score is not finite.
    """
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
    """Choose the confidence that meets the rule best.

    That is the one of the highest F1 (of equal ones the highest confidence), the highest with
    enough sensitivity, or the lowest with few enough false positives or enough specificity.

    Example:
        >>> curve = classifier_curve([0.9, 0.7, 0.2, 0.1], [True, True, False, False])
        >>> choose(curve, MAX_F1).confidence, choose(curve, HIGH_SPECIFICITY).confidence
        (0.7, 0.7)
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
    """Measure a confidence, chosen on validation, on any curve, such as that of a test split."""
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


# The index on the curve that meets a rule, or a sentence why none does.
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
