"""ROC and precision-recall curves of yes-or-no decisions, equal to scikit-learn's.

A case is called positive where it is scored at least the confidence.
"""

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
    """The ROC curve of C points and the area under it.

    `confidences` (C,) are first infinity, where nothing is called, then every distinct score, the
    highest first. `sensitivity` and `false_positive_rate` (C,) are nan where there is no positive,
    or no negative. `auc` is nan where either is absent.
    """

    confidences: Float64s
    sensitivity: Float64s
    false_positive_rate: Float64s
    auc: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PrecisionRecall:
    """The precision-recall curve of C points, one at every distinct score.

    `confidences` (C,) are the scores, the highest first. `recall` (C,) is nan where there is no
    positive. `average_precision` sums the precision at each step of the recall, weighted by that
    step and not interpolated; it is nan where there is no positive.
    """

    confidences: Float64s
    precision: Float64s
    recall: Float64s
    average_precision: float


def roc(scores: npt.ArrayLike, positive: npt.ArrayLike) -> Roc:
    """Return the ROC curve of (N,) scores and (N,) bool.

    Raises ValueError where they are not of one length or a score is not finite.

    Example:
        >>> roc([0.9, 0.4], [True, False]).sensitivity.tolist()
        [0.0, 1.0, 1.0]
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
    """Return the precision-recall curve of (N,) scores and (N,) bool; raises as `roc`."""
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
