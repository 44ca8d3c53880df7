"""Counted shares and their confidence intervals by Wilson, and the interval of a rate of 0."""

from dataclasses import dataclass
from math import log, nan, sqrt
from statistics import NormalDist


@dataclass(frozen=True, slots=True, kw_only=True)
class Proportion:
    """`count` out of `total`; share and interval are nan, undefined, where `total` is 0.

    Raises ValueError where `count` is not from 0 to `total`.

    Example:
        >>> Proportion(count=3, total=4).share
        0.75
    """

    count: int
    total: int

    def __post_init__(self) -> None:
        if not 0 <= self.count <= self.total:
            raise ValueError(f"count: expected 0 to {self.total}, got {self.count}")

    @property
    def share(self) -> float:
        """The count divided by the total."""
        return self.count / self.total if self.total else nan

    @property
    def interval(self) -> tuple[float, float]:
        """The ends of Wilson's interval at 95 %."""
        return wilson(self.count, self.total)


def wilson(count: int, total: int, level: float = 0.95) -> tuple[float, float]:
    """Return the ends of the score interval of `count` out of `total`, nan where `total` is 0.

    It holds the shares that a normal test would not reject: E. B. Wilson, Probable Inference, the
    Law of Succession, and Statistical Inference, J. Am. Stat. Assoc. 22 (1927).
    """
    if total == 0:
        return nan, nan
    z = NormalDist().inv_cdf((1 + level) / 2)
    share, shrink = count / total, 1 + z * z / total
    centre = (share + z * z / (2 * total)) / shrink
    half = z * sqrt(share * (1 - share) / total + z * z / (4 * total * total)) / shrink
    # Exactly 0 and 1, which rounding can miss by a hair.
    low = 0.0 if count == 0 else centre - half
    return low, 1.0 if count == total else centre + half


def rate_of_none(total: int, level: float = 0.95) -> tuple[float, float]:
    """Return the ends of the exact interval of a rate where nothing happened in `total` cases.

    It is Poisson's: F. Garwood, Fiducial Limits for the Poisson Distribution, Biometrika 28 (1936).
    The ends are nan where `total` is 0.

    Example:
        >>> round(rate_of_none(96)[1], 3)
        0.038
    """
    return (0.0, -log((1 - level) / 2) / total) if total else (nan, nan)
