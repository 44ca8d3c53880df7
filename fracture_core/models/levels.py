"""Which level a confidence reaches by what was measured of a model, and which confidence a level.

Counts are exact at the knots. Between two of them a claim is never too good: hits are those of the
next higher knot, false positives and false alarms those of the next lower one.
"""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from math import nan
from typing import Literal

from fracture_core.metrics.intervals import Proportion
from fracture_core.models.points import Evidence, Measurements

LevelUnit = Literal["sensitivity", "fp_per_image"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A confidence · `met`: whether the level it was asked for is reached there."""

    confidence: float
    met: bool


def sensitivity_at(measured: Measurements, confidence: float) -> Proportion:
    """Of lesions or images, by `measured.unit`; nothing is found above the highest knot."""
    knots = measured.knots
    shown = bisect_right(knots.confidences, -confidence, key=_falling)
    hits = knots.true_positives[shown - 1] if shown else 0
    return Proportion(count=hits, total=knots.positives)


def specificity_at(measured: Measurements, confidence: float) -> Proportion:
    """Of the images without a truth."""
    knots = measured.knots
    alarms = _at_or_below(knots.confidences, knots.false_alarms, confidence)
    return Proportion(count=knots.negatives - alarms, total=knots.negatives)


def fp_per_image_at(measured: Measurements, confidence: float) -> float:
    """False positives an image; nan, undefined, where no image was measured."""
    knots = measured.knots
    wrong = _at_or_below(knots.confidences, knots.false_positives, confidence)
    return wrong / knots.images if knots.images else nan


def confidence_at(measured: Measurements, unit: LevelUnit, level: float) -> Setting | None:
    """The highest confidence with at least this sensitivity, the lowest with at most these FP.

    The nearest knot where none meets the level; None where the level is undefined for this model.
    """
    knots = measured.knots
    whole = knots.positives if unit == "sensitivity" else knots.images
    if not knots.confidences or not whole:
        return None
    last = len(knots.confidences) - 1
    if unit == "sensitivity":
        at = bisect_left(knots.true_positives, level, key=lambda count: count / whole)
        return Setting(confidence=knots.confidences[min(at, last)], met=at <= last)
    at = bisect_right(knots.false_positives, level, key=lambda count: count / whole) - 1
    return Setting(confidence=knots.confidences[max(at, 0)], met=at >= 0)


def evidence_for(measured: Measurements, score: float) -> Evidence | None:
    """What became of the findings scored like this one; None outside all that was measured."""
    bins = measured.evidence
    held = (each for each in bins if each.low <= score < each.high or score == each.high == 1)
    return next(held, None)


def _falling(confidence: float) -> float:
    return -confidence


def _at_or_below(confidences: tuple[float, ...], counts: tuple[int, ...], confidence: float) -> int:
    """The count at the highest knot that is not above `confidence`, else at the lowest of all."""
    at = bisect_left(confidences, -confidence, key=_falling)
    return counts[min(at, len(counts) - 1)] if counts else 0
