"""True and false positives at many confidences at once."""

from dataclasses import dataclass
from math import nan

import numpy as np
import numpy.typing as npt

from fracture_core.metrics.columns import Float64s
from fracture_core.types import Int64s


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Hits, spurious findings and misses; a share of nothing is nan, undefined."""

    true_positives: int
    false_positives: int
    false_negatives: int

    @property
    def precision(self) -> float:
        return _share(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> float:
        return _share(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def f1(self) -> float:
        """Harmonic mean of both, 2 TP / (2 TP + FP + FN)."""
        wrong = self.false_positives + self.false_negatives
        return _share(2 * self.true_positives, 2 * self.true_positives + wrong)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """Counts, each (C,) int64, of what is scored at least each of the (C,) `confidences`.

    Shares are (C,) float64, nan where there is nothing to take a share of.
    """

    confidences: Float64s
    true_positives: Int64s
    false_positives: Int64s
    false_negatives: Int64s

    def __len__(self) -> int:
        return len(self.confidences)

    def __getitem__(self, index: int) -> Counts:
        return Counts(
            true_positives=int(self.true_positives[index]),
            false_positives=int(self.false_positives[index]),
            false_negatives=int(self.false_negatives[index]),
        )

    @property
    def precision(self) -> Float64s:
        return _shares(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> Float64s:
        return _shares(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def f1(self) -> Float64s:
        wrong = self.false_positives + self.false_negatives
        return _shares(2 * self.true_positives, 2 * self.true_positives + wrong)


def distinct_falling(scores: npt.ArrayLike) -> Float64s:
    """Every score there is, once, the highest first: all confidences that make a difference."""
    return np.unique(np.asarray(scores, dtype=np.float64))[::-1]


def count_above(scores: npt.ArrayLike, confidences: npt.ArrayLike) -> Int64s:
    """(C,) how many of (N,) scores are at least each confidence, compared as float64."""
    rising = np.sort(np.asarray(scores, dtype=np.float64))
    below = np.searchsorted(rising, np.asarray(confidences, dtype=np.float64), side="left")
    return np.asarray(len(rising) - below, dtype=np.int64)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else nan


def _shares(part: Int64s, whole: Int64s) -> Float64s:
    empty = np.full(part.shape, nan)
    shares: Float64s = np.divide(part, whole, out=empty, where=whole > 0)
    return shares
