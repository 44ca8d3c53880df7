"""Whether two pictures are the same one: laid over each other and compared window by window.

Different radiographs of one body part look alike from afar, and the edges of bones, cassettes and
collimators agree even better. What only copies share is the texture everywhere. The second picture
is moved onto the first (ECC: Evangelidis and Psarakis, 2008), small windows are correlated each by
itself, and what counts is not their mean but the worse ones among them.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from fracture_core.health.fingerprints import Floats, Pose, as_floats, pose_matrix
from fracture_core.health.looking import THUMB_PX, Grey, Look

_Matrix = npt.NDArray[np.float32]

_SIGMA_PX = 2.0
_STEPS = 10
_LEAST_GAIN = 1e-3
_NOISE = 0.05
_TEXTURED_PERCENT = 70.0
_WORSE_PERCENT = 20.0
_LEAST_EVENED = 0.5
_LEAST_ROUGHLY = 0.55
_LEAST_OVERLAP = 0.4
_MOST_STRETCH = 1.3
# A mask of every pixel; None, which OpenCV takes for it, is not in its types.
_EVERYWHERE: Any = None
_BACKWARDS = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
_BACKWARDS_NEAREST = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scale:
    """Which detail is compared: between two blurs, in square windows, all in pixels."""

    fine_px: float
    coarse_px: float
    window_px: int


_ROUGH = _Scale(fine_px=1.0, coarse_px=3.0, window_px=9)
_FINE = _Scale(fine_px=0.8, coarse_px=2.0, window_px=17)


def sameness(one: Look, other: Look, pose: Pose) -> float:
    """Correlation that four in five textured windows of two pictures exceed, `other` found in
    `pose`; −1 where they do not come together.
    """
    rough = _roughly_aligned(one.thumb, other.thumb, pose)
    if rough is None or _stretch(rough) > _MOST_STRETCH:
        return -1.0
    windows = _windows(one.thumb, other.thumb, rough, _ROUGH)
    if len(windows) == 0 or windows.mean() < _LEAST_ROUGHLY:
        return -1.0
    first, second = one.detailed, other.detailed
    start = _enlarged(rough, one, other, first, second)
    fine = _aligned(_evened(first), _evened(second), start, _STEPS)
    if fine is None:
        return -1.0
    windows = _windows(first, second, fine.matrix, _FINE)
    return float(np.percentile(windows, _WORSE_PERCENT)) if len(windows) else -1.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Aligned:
    """`matrix` (2, 3) from places in one picture to places in the other · `correlation` then."""

    matrix: _Matrix
    correlation: float


def _roughly_aligned(one: Grey, other: Grey, pose: Pose) -> _Matrix | None:
    """None where no way was found; most that are different are given up after a few steps."""
    evened = _evened(one), _evened(other)
    first = _aligned(*evened, _start(one, other, pose), _STEPS)
    if first is None or first.correlation < _LEAST_EVENED:
        return None
    second = _aligned(*evened, first.matrix, 2 * _STEPS)
    return None if second is None else second.matrix


def _aligned(one: Floats, other: Floats, start: _Matrix, steps: int) -> _Aligned | None:
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, steps, _LEAST_GAIN)
    try:
        correlation, matrix = cv2.findTransformECC(
            one, other, start, cv2.MOTION_AFFINE, criteria, _EVERYWHERE, 3
        )
    except cv2.error:
        # Its way of saying that the two do not come together.
        return None
    if not np.isfinite(matrix).all():
        return None
    return _Aligned(matrix=as_floats(matrix), correlation=correlation)


def _evened(grey: Grey) -> Floats:
    """Local contrast alone, about as strong everywhere."""
    sigma = _SIGMA_PX * max(grey.shape) / THUMB_PX
    values = grey.astype(np.float32)
    fine = cv2.GaussianBlur(values, (0, 0), sigma / 2)
    detail = fine - cv2.GaussianBlur(values, (0, 0), 2 * sigma)
    strength = np.sqrt(cv2.GaussianBlur(detail * detail, (0, 0), 3 * sigma))
    return as_floats(detail / (strength + 0.075 * strength.max() + 0.2))


def _start(one: Grey, other: Grey, pose: Pose) -> _Matrix:
    linear = pose_matrix(pose) * min(other.shape) / min(one.shape)
    centres = [(np.array(grey.shape[::-1]) - 1) / 2 for grey in (one, other)]
    shift = centres[1] - linear @ centres[0]
    matrix: _Matrix = np.column_stack([linear, shift]).astype(np.float32)
    return matrix


def _enlarged(matrix: _Matrix, one: Look, other: Look, first: Grey, second: Grey) -> _Matrix:
    """From thumbs to detailed pictures; places are of the centres of pixels."""
    down, up = _larger(first, one.thumb), _larger(other.thumb, second)
    full = np.vstack([matrix, [0, 0, 1]])
    enlarged: _Matrix = (up @ full @ down)[:2].astype(np.float32)
    return enlarged


def _larger(source: Grey, target: Grey) -> npt.NDArray[np.float64]:
    """(3, 3) from places in one size of a picture to those in another."""
    factor = np.array(target.shape[::-1]) / np.array(source.shape[::-1])
    return np.array(
        [[factor[0], 0, factor[0] / 2 - 0.5], [0, factor[1], factor[1] / 2 - 0.5], [0, 0, 1]]
    )


def _stretch(matrix: _Matrix) -> float:
    """How much more one direction is stretched than the other."""
    longer, shorter = np.linalg.svd(matrix[:, :2], compute_uv=False)
    return float(longer / max(shorter, 1e-6))


def _windows(one: Grey, other: Grey, matrix: _Matrix, scale: _Scale) -> Floats:
    """Correlations of the windows where either picture has texture; none where the two hardly
    overlap.
    """
    size = (one.shape[1], one.shape[0])
    covered = cv2.warpAffine(np.ones_like(other), matrix, size, flags=_BACKWARDS_NEAREST)
    inside = cv2.erode(covered, np.ones((9, 9), dtype=np.uint8)) > 0
    if inside.mean() < _LEAST_OVERLAP:
        return np.empty(0, dtype=np.float32)
    first = _detail(one, scale)
    second = as_floats(cv2.warpAffine(_detail(other, scale), matrix, size, flags=_BACKWARDS))
    mean_first, mean_second = _mean(first, scale), _mean(second, scale)
    spread_first = np.sqrt(np.maximum(_mean(first * first, scale) - mean_first**2, 0))
    spread_second = np.sqrt(np.maximum(_mean(second * second, scale) - mean_second**2, 0))
    shared = _mean(first * second, scale) - mean_first * mean_second
    noise = _NOISE**2
    correlations = shared / np.sqrt((spread_first**2 + noise) * (spread_second**2 + noise))
    textured = _is_textured(spread_first, inside) | _is_textured(spread_second, inside)
    chosen: Floats = correlations[inside & textured]
    return chosen


def _detail(grey: Grey, scale: _Scale) -> Floats:
    values = grey.astype(np.float32)
    fine = cv2.GaussianBlur(values, (0, 0), scale.fine_px)
    return as_floats(fine - cv2.GaussianBlur(values, (0, 0), scale.coarse_px))


def _mean(values: Floats, scale: _Scale) -> Floats:
    size = (scale.window_px, scale.window_px)
    return as_floats(cv2.boxFilter(values, cv2.CV_32F, size))


def _is_textured(spread: Floats, inside: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    return np.asarray(spread >= np.percentile(spread[inside], _TEXTURED_PERCENT))
