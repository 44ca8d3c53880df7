"""Operating points: confidence thresholds chosen by a rule, with what was measured at them.

They are chosen on the validation split and measured on another. Every distinct score is a
candidate threshold, not a grid of round numbers, so a rule is met as closely as the data allow. The
one rule with a grid is that of R1 (the README names the published systems): the highest F1 of
images where any box counts. A rule that cannot be met gets no threshold, and a sentence that says
why.
"""

from dataclasses import dataclass, replace
from math import nan
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from fracture_core.errors import ConfigError
from fracture_core.metrics import any_hit, greedy
from fracture_core.metrics.detection_table import Images, pair_up
from fracture_core.metrics.intervals import Proportion
from fracture_core.metrics.sweeps import Sweep, count_above, distinct_falling
from fracture_core.types import Int64s, Unit

Aim = Literal["max F1", "max any-hit F1", "sensitivity ≥", "FP per image ≤", "specificity ≥"]
ANY_HIT_GRID = tuple(round(0.01 + 0.02 * step, 2) for step in range(25))
"""The confidences among which the highest any-hit F1 is looked for: 0.01, 0.03, … 0.49."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What an operating point is to reach; `bound` belongs to every aim but the highest F1s.

    "max F1" counts single findings, matched greedily; "max any-hit F1" counts images, as
    `metrics.any_hit` does, on `ANY_HIT_GRID`. The bound is a share in [0, 1], or false positives
    per image, 0 or more; anything else raises ConfigError.
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
        return f"{self.aim} {self.bound:g}" if self.has_bound else self.aim

    @property
    def has_bound(self) -> bool:
        """Whether the aim needs a bound."""
        return not self.aim.startswith("max ")


def parse_rule(text: str) -> Rule:
    """Return the rule of a name, as `Rule.name` has it or with >= and <=; raise ConfigError.

    Example:
        >>> parse_rule("sensitivity >= 0.95").name, parse_rule("max any-hit F1") == MAX_ANY_HIT_F1
        ('sensitivity ≥ 0.95', True)
    """
    plain = " ".join(text.replace(">=", " ≥ ").replace("<=", " ≤ ").split())
    for aim in get_args(Aim):
        rule, bound = Rule(aim=aim), plain.removeprefix(aim)
        if plain == aim and not rule.has_bound:
            return rule
        if bound != plain and rule.has_bound:
            try:
                return Rule(aim=aim, bound=float(bound))
            except ValueError:
                break
    expected = "max F1, max any-hit F1, or sensitivity ≥, specificity ≥ or FP per image ≤ a number"
    raise ConfigError("rule", expected=expected, found=repr(text))


MAX_F1 = Rule(aim="max F1")
MAX_ANY_HIT_F1 = Rule(aim="max any-hit F1")
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
    to find · `images` and, of them, `negatives`, in which nothing is to be found · `any_hit` the
    counts of images on `ANY_HIT_GRID`, falling, None where they were not asked for.
    """

    unit: Unit
    sweep: Sweep
    false_alarms: Int64s
    positives: int
    negatives: int
    images: int
    any_hit: Sweep | None = None


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
    score of all, or of the rule's grid, was chosen: a lower one might have done better.
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


def with_any_hit(
    curve: Curve, found: Images, ground_truths: Images, *, match_iou: float = 0.5
) -> Curve:
    """Return a detector's curve with what the rule "max any-hit F1" chooses from."""
    counts = any_hit.sweep(found, ground_truths, ANY_HIT_GRID[::-1], match_iou=match_iou)
    return replace(curve, any_hit=counts)


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
    enough sensitivity, or the lowest with few enough false positives or enough specificity. What is
    measured at it counts the curve's unit, whatever the rule counts.

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
    counts = _counts_of(curve, rule)
    confidence = float(counts.confidences[chosen])
    return OperatingPoint(
        rule=rule,
        unit=curve.unit,
        confidence=confidence,
        measured=measure(curve, confidence),
        at_edge=rule.aim != "sensitivity ≥" and chosen == len(counts) - 1,
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


def _counts_of(curve: Curve, rule: Rule) -> Sweep:
    """The counts that a rule looks at."""
    counts = curve.any_hit if rule.aim == "max any-hit F1" else curve.sweep
    return curve.sweep if counts is None else counts


def _position(curve: Curve, rule: Rule) -> _Position:
    if not len(curve.sweep):
        return "no score to choose from: the model found nothing"
    if rule.aim == "max F1":
        return _highest_f1(curve.sweep, curve.positives)
    if rule.aim == "max any-hit F1":
        return _highest_any_hit_f1(curve)
    if rule.aim == "sensitivity ≥":
        return _enough_sensitivity(curve, rule.bound)
    if rule.aim == "FP per image ≤":
        return _few_false_positives(curve, rule.bound)
    return _enough_specificity(curve, rule.bound)


def _highest_f1(counts: Sweep, positives: int) -> _Position:
    if not positives:
        return "F1 is undefined: there is no ground truth to find"
    if not counts.true_positives.any():
        return "F1 is 0 everywhere: nothing found matches a ground-truth box"
    return int(np.argmax(counts.f1))


def _highest_any_hit_f1(curve: Curve) -> _Position:
    if curve.any_hit is None:
        return "any-hit F1 is of models that find boxes"
    return _highest_f1(curve.any_hit, curve.positives)


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
