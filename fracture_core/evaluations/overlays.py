"""Curves of models over one another."""

from dataclasses import dataclass

import numpy as np

from fracture_core.evaluations.matched_models import MatchedModel
from fracture_core.metrics.columns import Float64s
from fracture_core.types import Int64s, Unit

MOST_POINTS = 400
MOST_FP = 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlay:
    """Points of one model's curve, (C,) each."""

    x: Float64s
    y: Float64s


def pr_overlay(one: MatchedModel, unit: Unit) -> Overlay:
    """Precision over sensitivity, of lesions or images."""
    curve = one.curve(unit)
    if curve is None or not curve.positives:
        return Overlay(x=np.empty(0), y=np.empty(0))
    kept = _some(curve.sweep.true_positives)
    return Overlay(x=curve.sweep.recall[kept], y=curve.sweep.precision[kept])


def froc_overlay(one: MatchedModel) -> Overlay:
    """Sensitivity per lesion over false positives an image; no further than a few."""
    curve = one.lesions
    if curve is None or not (curve.positives and curve.images):
        return Overlay(x=np.empty(0), y=np.empty(0))
    rates = curve.sweep.false_positives / curve.images
    near = int(np.searchsorted(rates, MOST_FP, side="right"))
    kept = _some(curve.sweep.true_positives[:near])
    # From where nothing is shown.
    return Overlay(
        x=np.concatenate([[0.0], rates[kept]]),
        y=np.concatenate([[0.0], curve.sweep.recall[kept]]),
    )


def roc_overlay(one: MatchedModel) -> Overlay:
    """Sensitivity per image over the share of pictures without a truth that show something."""
    curve = one.images
    if not (curve.positives and curve.negatives):
        return Overlay(x=np.empty(0), y=np.empty(0))
    kept = _some(curve.sweep.true_positives + curve.false_alarms)
    x = np.concatenate([[0.0], curve.false_alarms[kept] / curve.negatives])
    return Overlay(x=x, y=np.concatenate([[0.0], curve.sweep.recall[kept]]))


def _some(counts: Int64s) -> Int64s:
    """At most `MOST_POINTS` places, where rising counts change by equal steps; both ends."""
    if len(counts) <= MOST_POINTS:
        return np.arange(len(counts), dtype=np.int64)
    steps = np.linspace(counts[0], counts[-1], MOST_POINTS // 2)
    at = np.searchsorted(counts, steps, side="left")
    even = np.round(np.linspace(0, len(counts) - 1, MOST_POINTS // 2)).astype(np.int64)
    kept: Int64s = np.unique(np.concatenate([np.minimum(at, len(counts) - 1), even]))
    return kept
