"""Metrics of classifiers, equal to scikit-learn's with `zero_division=nan`.

A share of nothing is nan, undefined, and means leave it out: a class that was never predicted has
no precision, a class that never occurs no recall. One difference remains: where no class that
occurs was ever predicted, the weighted precision is undefined here and 0 in scikit-learn.
"""

from dataclasses import dataclass
from math import nan
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from fracture_core.metrics.detection_table import Float64s
from fracture_core.types import Int64s


@dataclass(frozen=True, slots=True, kw_only=True)
class Averages:
    """The means of precision, recall and F1 over the classes for which each is defined."""

    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The usual report of a classifier of K classes.

    `confusion` (K, K) int64 has true classes as rows and predicted ones as columns. `precision`,
    `recall` and `f1` (K,) float64 are nan where undefined. `support` (K,) int64 counts how often
    each class is true. `macro` averages the classes alike, `weighted` by support.
    `balanced_accuracy` is the mean recall of the classes that occur.
    """

    confusion: Int64s
    precision: Float64s
    recall: Float64s
    f1: Float64s
    support: Int64s
    accuracy: float
    balanced_accuracy: float
    macro: Averages
    weighted: Averages


def confusion_matrix(ground_truth: Int64s, predicted: Int64s, class_count: int) -> Int64s:
    """(N,) and (N,) classes → (K, K) counts, rows true and columns predicted.

    Raises ValueError where a class is not in 0…K−1 or the lengths differ.

    Example:
        >>> confusion_matrix(np.array([0, 0, 1]), np.array([0, 1, 1]), 2).tolist()
        [[1, 1], [0, 1]]
    """
    if ground_truth.shape != predicted.shape or ground_truth.ndim != 1:
        raise ValueError(f"predicted: expected shape {ground_truth.shape}, got {predicted.shape}")
    for name, classes in (("ground truth", ground_truth), ("predicted", predicted)):
        strange = classes[(classes < 0) | (classes >= class_count)]
        if len(strange):
            raise ValueError(f"{name}: expected classes 0 to {class_count - 1}, got {strange[0]}")
    cells = np.bincount(ground_truth * class_count + predicted, minlength=class_count**2)
    return cells.reshape(class_count, class_count).astype(np.int64)


Shares = Literal["counts", "by row", "by column"]
"""How a confusion matrix is shown: as it is, or normalised."""
SHARES: tuple[Shares, ...] = get_args(Shares)


def shares_of(counts: Int64s, shares: Shares) -> Float64s:
    """Return a matrix of counts as it is, or divided by the sums of its rows or columns.

    A share of nothing is nan.

    Example:
        >>> shares_of(np.array([[1, 3], [0, 0]]), "by row").tolist()
        [[0.25, 0.75], [nan, nan]]
    """
    numbers = counts.astype(np.float64)
    if shares == "counts":
        return numbers
    whole = numbers.sum(axis=1 if shares == "by row" else 0, keepdims=True)
    empty = np.full(counts.shape, nan)
    divided: Float64s = np.divide(numbers, whole, out=empty, where=whole > 0)
    return divided


def report(ground_truth: Int64s, predicted: Int64s, class_count: int) -> Report:
    """(N,) and (N,) classes → the usual report; raises ValueError as `confusion_matrix`."""
    confusion = confusion_matrix(ground_truth, predicted, class_count)
    hits, support, calls = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    precision, recall = _shares(hits, calls), _shares(hits, support)
    f1 = _shares(2 * hits, support + calls)
    alike = np.ones(class_count)
    return Report(
        confusion=confusion,
        precision=precision,
        recall=recall,
        f1=f1,
        support=support,
        accuracy=hits.sum() / len(ground_truth) if len(ground_truth) else nan,
        balanced_accuracy=_mean(recall, alike),
        macro=_averages(precision, recall, f1, alike),
        weighted=_averages(precision, recall, f1, support.astype(np.float64)),
    )


def roc_auc(scores: npt.ArrayLike, positive: npt.ArrayLike) -> float:
    """(N,) scores and (N,) bool → the chance that a positive outscores a negative.

    A tie counts half. Returns nan where there is no positive or no negative.

    Example:
        >>> roc_auc([0.9, 0.2, 0.6], [True, True, False])
        0.5
    """
    marks = np.asarray(positive, dtype=np.bool_)
    _, level, counts = np.unique(
        np.asarray(scores, dtype=np.float64), return_inverse=True, return_counts=True
    )
    ours, others = int(marks.sum()), int((~marks).sum())
    if not (ours and others):
        return nan
    # Equal scores share the mean of the ranks they cover (the U statistic of Mann and Whitney).
    ranks = np.cumsum(counts) - (counts - 1) / 2
    return float((ranks[level][marks].sum() - ours * (ours + 1) / 2) / (ours * others))


def _averages(precision: Float64s, recall: Float64s, f1: Float64s, weights: Float64s) -> Averages:
    return Averages(
        precision=_mean(precision, weights), recall=_mean(recall, weights), f1=_mean(f1, weights)
    )


def _mean(shares: Float64s, weights: Float64s) -> float:
    used = ~np.isnan(shares)
    total = weights[used].sum()
    return float((shares[used] * weights[used]).sum() / total) if total else nan


def _shares(part: Int64s, whole: Int64s) -> Float64s:
    shares: Float64s = np.divide(part, whole, out=np.full(part.shape, nan), where=whole > 0)
    return shares
