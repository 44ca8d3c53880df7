"""Critical errors: confusions of classes that must not happen, counted by name."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fracture_core.errors import ConfigError
from fracture_core.metrics.intervals import Proportion
from fracture_core.types import Int64s

FRACTURE10_PAIRS = (
    ("Comminuted", "Transverse Displaced"),
    ("Transverse Displaced", "Healthy"),
)
"""The two that the published classifier of the data set `fracture10` names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CriticalError:
    """How often one class was taken for a certain other.

    `pair` names the true class and what it was taken for. `share` is of all cases of the true
    class, and `rows` (n,) int64, rising, are the positions of those it happened to.
    """

    pair: tuple[str, str]
    share: Proportion
    rows: Int64s


def critical_errors(
    ground_truth: Int64s,
    predicted: Int64s,
    classes: Sequence[str],
    pairs: Sequence[tuple[str, str]],
) -> tuple[CriticalError, ...]:
    """(N,) and (N,) classes → one entry for each pair, in the order given.

    Raises ConfigError for a name that is none of `classes` and for a pair of equal names,
    ValueError where the lengths differ.

    Example:
        >>> pairs = [("Comminuted", "Healthy")]
        >>> error, = critical_errors(np.array([0, 0, 1]), np.array([1, 0, 1]), pairs[0], pairs)
        >>> error.share.share
        0.5
    """
    if ground_truth.shape != predicted.shape or ground_truth.ndim != 1:
        raise ValueError(f"predicted: expected shape {ground_truth.shape}, got {predicted.shape}")
    return tuple(_of_pair(ground_truth, predicted, classes, pair) for pair in pairs)


def _of_pair(
    ground_truth: Int64s, predicted: Int64s, classes: Sequence[str], pair: tuple[str, str]
) -> CriticalError:
    for name in pair:
        if name not in classes:
            raise ConfigError(
                "critical errors", expected=f"one of {', '.join(classes)}", found=name
            )
    if pair[0] == pair[1]:
        raise ConfigError("critical errors", expected="two different classes", found=pair[0])
    true = ground_truth == classes.index(pair[0])
    rows = np.flatnonzero(true & (predicted == classes.index(pair[1])))
    return CriticalError(
        pair=pair, share=Proportion(count=len(rows), total=int(true.sum())), rows=rows
    )
