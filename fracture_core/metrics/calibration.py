"""Whether scores are calibrated: of all that is scored alike, the share that is right.

The metrics are the expected calibration error of scores (ECE: M. P. Naeini et al., Obtaining Well
Calibrated Probabilities Using Bayesian Binning, AAAI 2015) and that of boxes (D-ECE: F. Küppers et
al., Multivariate Confidence Calibration for Object Detection, CVPR workshops 2020).
"""

from dataclasses import dataclass
from math import nan

import numpy as np
import numpy.typing as npt

from fracture_core.boxes import xyxy_to_cxcywh
from fracture_core.metrics.detection_table import Bools, DetectionTable, Float64s
from fracture_core.metrics.intervals import wilson
from fracture_core.types import Int64s


@dataclass(frozen=True, slots=True, kw_only=True)
class Reliability:
    """A reliability diagram of B bins, and the expected calibration error.

    `edges` (B+1,) bound the bins, each from its lower edge to below the upper one, with 1 in the
    last. `totals` and `right` (B,) int64 count what is scored there and what of it is right.
    `mean_score` (B,) is nan in an empty bin. `intervals` (B, 2) are Wilson's 95 % intervals of
    `share`. `ece` is the mean distance of share and mean score, each bin weighted by its size, and
    nan where there is nothing.
    """

    edges: Float64s
    totals: Int64s
    right: Int64s
    mean_score: Float64s
    intervals: Float64s
    ece: float

    @property
    def share(self) -> Float64s:
        """(B,) the share of each bin that is right, nan where the bin is empty."""
        return _divide(self.right, self.totals)


def reliability(scores: npt.ArrayLike, right: npt.ArrayLike, bins: int = 10) -> Reliability:
    """(N,) scores in [0, 1] and (N,) bool, whether each is right → bins of equal width.

    Raises ValueError where the lengths differ or a score is outside [0, 1].

    Example:
        >>> reliability([0.75, 0.75], [True, False], bins=2).ece
        0.25
    """
    values, marks = _checked(scores, right)
    edges = np.arange(bins + 1) / bins
    place = _places(values, bins)
    totals = np.bincount(place, minlength=bins)
    hits = np.bincount(place[marks], minlength=bins)
    mean = _divide(np.bincount(place, values, bins), totals)
    gaps = np.abs(_divide(hits, totals) - mean)
    return Reliability(
        edges=edges,
        totals=totals.astype(np.int64),
        right=hits.astype(np.int64),
        mean_score=mean,
        intervals=np.array([wilson(int(h), int(n)) for h, n in zip(hits, totals, strict=True)]),
        ece=float(np.nansum(totals * gaps) / len(values)) if len(values) else nan,
    )


def detection_ece(
    found: DetectionTable,
    right: npt.ArrayLike,
    sizes_px: Int64s | None = None,
    *,
    bins: int = 5,
    least: int = 8,
) -> float:
    """Return the D-ECE: the calibration error of boxes, also by where they lie and their size.

    A cell is one of `bins` equal parts of the score and, where `sizes_px` (I, 2), the heights and
    widths of the images, is given, also of the box's centre, width and height as shares of the
    image. Cells with fewer than `least` boxes do not count; the result is nan where none is left.
    Raises ValueError as `reliability`, and for `sizes_px` of another shape.
    """
    values, marks = _checked(found.scores, right)
    place = _places(values, bins)
    if sizes_px is not None:
        for share in _shares_of_image(found, sizes_px).T:
            place = place * bins + _places(share, bins)
    _, place, totals = np.unique(place, return_inverse=True, return_counts=True)
    hits = np.bincount(place[marks], minlength=len(totals))
    gaps = np.abs(hits - np.bincount(place, values, len(totals)))
    enough = totals >= least
    return float(gaps[enough].sum() / totals[enough].sum()) if enough.any() else nan


def _shares_of_image(found: DetectionTable, sizes_px: Int64s) -> Float64s:
    """(N, 4) centre, width and height of the boxes as shares of the image."""
    if sizes_px.shape != (found.image_count, 2):
        raise ValueError(f"sizes_px: expected ({found.image_count}, 2), got {sizes_px.shape}")
    scale = sizes_px[found.image][:, [1, 0, 1, 0]]
    return xyxy_to_cxcywh(found.xyxy.astype(np.float64)) / scale


def _places(shares: Float64s, bins: int) -> Int64s:
    """(N,) the bin of each share, from its lower edge to below the upper, 1 in the last."""
    edges = np.arange(1, bins) / bins
    return np.searchsorted(edges, shares, side="right").astype(np.int64)


def _checked(scores: npt.ArrayLike, right: npt.ArrayLike) -> tuple[Float64s, Bools]:
    values, marks = np.asarray(scores, dtype=np.float64), np.asarray(right, dtype=np.bool_)
    if values.shape != marks.shape or values.ndim != 1:
        raise ValueError(f"right: expected shape {values.shape}, got {marks.shape}")
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError("scores: expected 0 to 1")
    return values, marks


def _divide(part: npt.NDArray[np.generic], whole: Int64s) -> Float64s:
    shares: Float64s = np.divide(part, whole, out=np.full(len(whole), nan), where=whole > 0)
    return shares
