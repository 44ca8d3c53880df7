"""Counts of true and false positives and false negatives, at one confidence or at many at once."""

from dataclasses import dataclass
from math import nan

import numpy as np
import numpy.typing as npt

from fracture_core.metrics.detection_table import Float64s
from fracture_core.types import Float32s, Int64s

# Up to so many confidences, counting anew for each is faster than sorting the scores.
FEW = 40
AT_ONCE = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Counts at one confidence; a share of nothing is nan, undefined.

    Example:
        >>> Counts(true_positives=3, false_positives=1, false_negatives=1).f1
        0.75
    """

    true_positives: int
    false_positives: int
    false_negatives: int

    @property
    def precision(self) -> float:
        """TP / (TP + FP)."""
        return _share(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> float:
        """TP / (TP + FN)."""
        return _share(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall, 2 TP / (2 TP + FP + FN)."""
        wrong = self.false_positives + self.false_negatives
        return _share(2 * self.true_positives, 2 * self.true_positives + wrong)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """Counts, each (C,) int64, of what is scored at least each of the (C,) `confidences`.

    Precision, recall and F1 are (C,) float64, nan where there is nothing to take a share of.
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
        """(C,) TP / (TP + FP)."""
        return _shares(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> Float64s:
        """(C,) TP / (TP + FN)."""
        return _shares(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def f1(self) -> Float64s:
        """(C,) 2 TP / (2 TP + FP + FN)."""
        wrong = self.false_positives + self.false_negatives
        return _shares(2 * self.true_positives, 2 * self.true_positives + wrong)


def distinct_falling(scores: npt.ArrayLike) -> Float64s:
    """Return every score once, the highest first: all confidences that make a difference.

    Example:
        >>> distinct_falling([0.5, 0.75, 0.5]).tolist()
        [0.75, 0.5]
    """
    return np.unique(np.asarray(scores)).astype(np.float64)[::-1]


def count_above(scores: npt.ArrayLike, confidences: npt.ArrayLike) -> Int64s:
    """(C,) how many of (N,) scores are at least each confidence, compared as float64.

    Example:
        >>> count_above([0.9, 0.5, 0.1], [0.5]).tolist()
        [2]
    """
    values: npt.NDArray[np.floating] = np.asarray(scores)
    at: npt.NDArray[np.floating] = np.asarray(confidences, dtype=np.float64)
    if values.dtype == np.float32:
        at = _least_float32(at)
    else:
        values = values.astype(np.float64)
    if len(at) <= FEW:
        return _count_each(values, at)
    below = np.searchsorted(np.sort(values), at, side="left")
    return np.asarray(len(values) - below, dtype=np.int64)


def _count_each(values: npt.NDArray[np.floating], at: npt.NDArray[np.floating]) -> Int64s:
    """(C,) counted for some values at a time, which stay in the processor's cache."""
    counts = np.zeros(len(at), dtype=np.int64)
    for start in range(0, len(values), AT_ONCE):
        some = values[start : start + AT_ONCE]
        counts += np.array([np.count_nonzero(some >= one) for one in at], dtype=np.int64)
    return counts


def _least_float32(at: npt.NDArray[np.floating]) -> Float32s:
    """(C,) the least float32 that is at least each: a float32 score reaches both or neither."""
    nearest = at.astype(np.float32)
    above = np.nextafter(nearest, np.float32(np.inf))
    return np.where(nearest.astype(np.float64) < at, above, nearest)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else nan


def _shares(part: Int64s, whole: Int64s) -> Float64s:
    empty = np.full(part.shape, nan)
    shares: Float64s = np.divide(part, whole, out=empty, where=whole > 0)
    return shares
