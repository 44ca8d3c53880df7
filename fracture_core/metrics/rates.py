"""Curves of yes-or-no answers over all confidences, equal to scikit-learn's: ROC and PR."""

from dataclasses import dataclass
from math import nan

import numpy as np
import numpy.typing as npt

from fracture_core.metrics.classification import roc_auc
from fracture_core.metrics.detection_table import Bools, Float64s
from fracture_core.metrics.sweeps import count_above, distinct_falling
from fracture_core.types import Int64s


@dataclass(frozen=True, slots=True, kw_only=True)
class Roc:
    """`confidences` (C,) first infinity, where nothing is called, then every distinct score, the
    highest first · `sensitivity` and `false_positive_rate` (C,) at each, nan where there is no
    positive, or no negative · `auc` nan where either is absent.
    """

    confidences: Float64s
    sensitivity: Float64s
    false_positive_rate: Float64s
    auc: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PrecisionRecall:
    """`confidences` (C,) every distinct score, the highest first · `precision` (C,) · `recall`
    (C,), nan where there is no positive · `average_precision` the precision at each step of the
    recall, weighted by that step and not interpolated.
    """

    confidences: Float64s
    precision: Float64s
    recall: Float64s
    average_precision: float


def roc(scores: npt.ArrayLike, positive: npt.ArrayLike) -> Roc:
    """(N,) scores and (N,) bool; raises ValueError where they are not of one length or not finite.

    Called is what is scored at least the confidence.
    """
    values, marks = _checked(scores, positive)
    at = np.append(np.inf, distinct_falling(values))
    return Roc(
        confidences=at,
        sensitivity=_share(count_above(values[marks], at), int(marks.sum())),
        false_positive_rate=_share(count_above(values[~marks], at), int((~marks).sum())),
        auc=roc_auc(values, marks),
    )


def precision_recall(scores: npt.ArrayLike, positive: npt.ArrayLike) -> PrecisionRecall:
    """(N,) scores and (N,) bool; raises ValueError as `roc`."""
    values, marks = _checked(scores, positive)
    at = distinct_falling(values)
    hits, calls = count_above(values[marks], at), count_above(values, at)
    recall = _share(hits, int(marks.sum()))
    precision: Float64s = hits / calls
    average = float(np.sum(np.diff(recall, prepend=0.0) * precision)) if marks.any() else nan
    return PrecisionRecall(
        confidences=at, precision=precision, recall=recall, average_precision=average
    )


def _checked(scores: npt.ArrayLike, positive: npt.ArrayLike) -> tuple[Float64s, Bools]:
    values, marks = np.asarray(scores, dtype=np.float64), np.asarray(positive, dtype=np.bool_)
    if values.shape != marks.shape or values.ndim != 1:
        raise ValueError(f"scores: expected shape {marks.shape}, got {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError("scores: expected finite numbers")
    return values, marks


def _share(counts: Int64s, total: int) -> Float64s:
    return counts / total if total else np.full(len(counts), nan)
