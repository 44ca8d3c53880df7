"""The class report of images that may hold several classes, equal to scikit-learn's.

Each label is a question with two answers: does the image hold it, and does the model say so. With
the labels "healthy" and "fracture", of which every image has one, it is the report of two classes.
A share of nothing is nan, undefined, and means leave it out, as in `metrics.classification`, or in
scikit-learn with `zero_division=nan`.
"""

from dataclasses import dataclass
from math import nan

import numpy as np

from fracture_core.metrics.detection_table import Bools, Float64s
from fracture_core.types import Int64s


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelReport:
    """Whether each of I images holds each of K labels, `ground_truth` (I, K), and is `called` it.

    Raises ValueError where the two shapes differ.
    """

    ground_truth: Bools
    called: Bools

    def __post_init__(self) -> None:
        if self.ground_truth.shape != self.called.shape or self.called.ndim != 2:
            expected = self.ground_truth.shape
            raise ValueError(f"called: expected shape {expected}, got {self.called.shape}")

    @property
    def hits(self) -> Int64s:
        """(K,) how many images hold a label and are called it."""
        return _count(self.ground_truth & self.called)

    @property
    def calls(self) -> Int64s:
        """(K,) how many images are called each label."""
        return _count(self.called)

    @property
    def support(self) -> Int64s:
        """(K,) how many images hold each label."""
        return _count(self.ground_truth)

    def __call__(self, weights: Float64s) -> Float64s:
        """(I,) weights of the images → (6 + K,) averages of the labels, then the F1 of each.

        The averages are precision, recall and F1, the macro ones before those weighted by support.

        Example:
            >>> marks = np.array([[True, False], [False, True]])
            >>> LabelReport(ground_truth=marks, called=marks)(np.ones(2)).tolist()
            [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
        """
        hits = weights @ (self.ground_truth & self.called)
        calls, support = weights @ self.called, weights @ self.ground_truth
        shares = (
            _shares(hits, calls),
            _shares(hits, support),
            _shares(2 * hits, calls + support),
        )
        macro = [_mean(share, np.ones(len(support))) for share in shares]
        weighted = [_mean(share, support) for share in shares]
        return np.array([*macro, *weighted, *shares[2]])


def _count(marks: Bools) -> Int64s:
    counts: Int64s = marks.sum(axis=0, dtype=np.int64)
    return counts


def _shares(part: Float64s, whole: Float64s) -> Float64s:
    shares: Float64s = np.divide(part, whole, out=np.full(len(part), nan), where=whole > 0)
    return shares


def _mean(shares: Float64s, weights: Float64s) -> float:
    used = ~np.isnan(shares)
    whole = weights[used].sum()
    return float(shares[used] @ weights[used] / whole) if whole else nan
