"""Paired tests of two models on the same images: whether one is better, or only lucky."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log, nan

import numpy as np
import numpy.typing as npt

from fracture_core.metrics.bootstrap import Statistic, interval_of, replicates, tail_beyond
from fracture_core.metrics.detection_table import Float64s


@dataclass(frozen=True, slots=True, kw_only=True)
class McNemar:
    """The result of McNemar's test.

    `only_first` and `only_second` count the cases that only one of the two has right. `p_value` is
    two-sided; it is 1 where the two never differ and nan where there is no case.
    """

    only_first: int
    only_second: int
    p_value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A difference, first less second, its interval, and the two-sided `p_value` of no difference.

    Each is nan where it is undefined.
    """

    value: float
    low: float
    high: float
    p_value: float


def mcnemar(first_right: npt.ArrayLike, second_right: npt.ArrayLike) -> McNemar:
    """Test (N,) and (N,) bool, whether each model has each case right; exact, by the binomial.

    Q. McNemar, Psychometrika 12 (1947). Cases must be independent: use one a patient, or else
    `paired_bootstrap`. Raises ValueError where the lengths differ.

    Example:
        >>> mcnemar([True] * 4, [False] * 4).p_value
        0.125
    """
    first, second = (np.asarray(marks, dtype=np.bool_) for marks in (first_right, second_right))
    if first.shape != second.shape or first.ndim != 1:
        raise ValueError(f"second_right: expected shape {first.shape}, got {second.shape}")
    ours, theirs = int((first & ~second).sum()), int((~first & second).sum())
    p_value = _binomial_p(min(ours, theirs), ours + theirs) if len(first) else nan
    return McNemar(only_first=ours, only_second=theirs, p_value=p_value)


def paired_bootstrap(
    groups: Sequence[str],
    first: Statistic,
    second: Statistic,
    *,
    count: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Difference:
    """Return the difference of a metric between two models on the same resamples of `groups` (I,).

    The p value is 1 − the level of the widest interval that leaves out 0, with the observed sample
    counted as one more resample: twice the share of resamples on the lesser side of 0, or more for
    few patients. It is never below 2 / (`count` + 1).
    """

    def difference(weights: Float64s) -> float:
        return first(weights) - second(weights)

    value = difference(np.ones(len(groups)))
    drawn = replicates(groups, difference, count=count, seed=seed)[:, 0]
    return difference_of(value, drawn, level, patients=len(set(groups)))


def difference_of(
    value: float, drawn: Float64s, level: float = 0.95, *, patients: int | None = None
) -> Difference:
    """Return interval and p value of a difference from (B,) replicates of `paired_bootstrap`.

    Where all replicates are equal there is a p value, but no interval.
    """
    ends = interval_of(value, drawn, level, patients=patients)
    defined = drawn[~np.isnan(drawn)]
    p_value = _p_of(defined, patients) if len(defined) and not np.isnan(value) else nan
    return Difference(value=value, low=ends.low, high=ends.high, p_value=p_value)


def _p_of(drawn: Float64s, patients: int | None) -> float:
    """1 − the level of the widest interval that leaves out 0.

    The observed sample counts as one more resample, so that no p value is 0.
    """
    side = min(int(np.count_nonzero(drawn <= 0)), int(np.count_nonzero(drawn >= 0)))
    tail = (side + 1) / (len(drawn) + 1)
    if tail >= 0.5:
        return 1.0
    low, high = log(1e-12), 0.0
    for _ in range(60):
        middle = (low + high) / 2
        if tail_beyond(1 - exp(middle), patients) < tail:
            low = middle
        else:
            high = middle
    return exp(high)


def _binomial_p(fewer: int, total: int) -> float:
    """Twice the chance of at most `fewer` heads of `total` fair coins, at most 1."""
    term = tail = 1
    for k in range(fewer):
        term = term * (total - k) // (k + 1)
        tail += term
    return min(1.0, float(2 * tail / 2**total))
