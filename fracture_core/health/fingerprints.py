"""Whether two images are the same one, flipped, turned or relit: a fingerprint, then an alignment.

The fingerprint is a perceptual hash: the numbers of a disc around the image's centre, band-passed
and normalised. A copy that was flipped and turned has the same disc, flipped and turned, so every
other image is compared in 52 poses: as it is or mirrored, upright or upside down, turned by −30° to
30°. (Two copies of one original, each turned by up to 15°, differ by up to 30°.) One pose of all
images against all others is a matrix product.

The alignment decides. Different radiographs of one body part look alike from afar, and the edges of
bones, cassettes and collimators agree even better; what only copies share is the texture
everywhere. The second image is moved onto the first (ECC: Evangelidis and Psarakis, 2008), small
windows are correlated each by itself, and what counts is not their mean but the worse ones among
them.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from fracture_core.health.report import THUMB_PX, Grey, Thumbnail

# ---- fingerprints --------------------------------------------------------------------------------


Floats = npt.NDArray[np.float32]
Int64s = npt.NDArray[np.int64]

_SQUARE_PX = 48
_DISC_PX = 20
_STEP = _SQUARE_PX / _DISC_PX
_ROWS = 1024
_MOST = 6
_FLAT = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class Pose:
    """A flip and a turn: mirrored left to right where `mirrored`, then turned by `degrees`. A flip
    upside down is a mirroring and a turn by 180°.
    """

    mirrored: bool
    degrees: float


POSES = tuple(
    Pose(mirrored=mirrored, degrees=turned + tilt)
    for mirrored in (False, True)
    for turned in (0.0, 180.0)
    for tilt in range(-30, 31, 5)
)
UPRIGHT = POSES.index(Pose(mirrored=False, degrees=0.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """Two images, by index `one` < `other`, that may be the same. `similarity` in [−1, 1] is the
    cosine of their fingerprints with `other` in `pose`.
    """

    one: int
    other: int
    similarity: float
    pose: Pose


def band_passed(thumb: Grey) -> Floats:
    """Returns the central square of a thumbnail, (48, 48) float32, without shading and noise."""
    height, width = thumb.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = thumb[top : top + side, left : left + side]
    size = (_SQUARE_PX, _SQUARE_PX)
    grey = cv2.resize(square, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    fine = cv2.GaussianBlur(grey, (0, 0), 0.8 * _STEP)
    coarse = cv2.GaussianBlur(grey, (0, 0), _DISC_PX / 6 * _STEP)
    return as_floats(fine - coarse)


def fingerprints(squares: Floats, pose: Pose) -> Floats:
    """Returns the discs of squares in a pose, (N, D) float32 of length 1, or 0 for a flat square.

    `squares` are (N, 48, 48), band-passed.
    """
    flat = squares.reshape(len(squares), -1)
    discs = np.zeros((len(squares), 1), dtype=np.float32)
    for places, weights in _disc(pose):
        discs = discs + flat[:, places] * weights
    discs -= discs.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(discs, axis=1, keepdims=True)
    return as_floats(np.where(lengths > _FLAT, discs / np.maximum(lengths, _FLAT), 0))


def find_candidates(
    squares: Floats,
    splits: Int64s,
    apart: Int64s | None,
    *,
    least: float,
    progress: Callable[[float], None],
) -> list[Candidate]:
    """Returns the pairs of images that may be the same, the most similar first.

    `squares` are (N, 48, 48), band-passed. Each image is paired with those most like it among the
    later ones: up to six in its own split and six in others, each at least `least` similar.
    `splits` (N,) are numbers; smaller splits have to come first, so that each of their images meets
    all of the greater ones · images of an equal number in `apart` (N,) are not compared ·
    `progress` gets the share done.
    """
    found: list[Candidate] = []
    upright = fingerprints(squares, POSES[UPRIGHT])
    for start in range(0, len(squares), _ROWS):
        rows = upright[start : start + _ROWS]
        best = np.full((len(rows), len(squares) - start), -1, dtype=np.float32)
        poses = np.zeros(best.shape, dtype=np.uint8)
        for number, pose in enumerate(POSES):
            progress((start + len(rows) * number / len(POSES)) / len(squares))
            # A pose's inverse is one too: half of the matrix is enough.
            similar = rows @ fingerprints(squares[start:], pose).T
            better = similar > best
            best[better], poses[better] = similar[better], number
        best[np.tri(*best.shape, dtype=np.bool_)] = -1
        here, there = slice(start, start + len(rows)), slice(start, None)
        if apart is not None:
            best[apart[here, None] == apart[None, there]] = -1
        same_split = splits[here, None] == splits[None, there]
        for kept in (same_split, ~same_split):
            found += _likest(np.where(kept, best, -1), poses, start, least)
    return sorted(found, key=lambda each: (-each.similarity, each.one, each.other))


def _likest(
    best: Floats, poses: npt.NDArray[np.uint8], start: int, least: float
) -> list[Candidate]:
    most = min(_MOST, best.shape[1])
    columns = np.argpartition(-best, most - 1, axis=1)[:, :most]
    return [
        Candidate(
            one=start + row,
            other=start + int(column),
            similarity=float(best[row, column]),
            pose=POSES[poses[row, column]],
        )
        for row, listed in enumerate(columns)
        for column in listed
        if best[row, column] >= least
    ]


def _disc(pose: Pose) -> Iterator[tuple[Int64s, Floats]]:
    """Yields the four pixels around each point of the disc, as indices into a flattened square,
    with their bilinear weights.
    """
    y, x = np.mgrid[:_DISC_PX, :_DISC_PX] - (_DISC_PX - 1) / 2
    inside = x**2 + y**2 <= (_DISC_PX / 2 - 0.5) ** 2
    points = np.stack([x[inside], y[inside]])
    columns, rows = pose_matrix(pose) @ points * _STEP + (_SQUARE_PX - 1) / 2
    left, top = np.floor(columns).astype(np.int64), np.floor(rows).astype(np.int64)
    right, below = columns - left, rows - top
    for down, share in ((0, 1 - below), (1, below)):
        for along, part in ((0, 1 - right), (1, right)):
            yield (top + down) * _SQUARE_PX + left + along, as_floats(share * part)


def pose_matrix(pose: Pose) -> npt.NDArray[np.float64]:
    """Returns (2, 2) float64 from a place in one image to its place in the other, in its pose.

    Places are (x, y) from the centre.

    Example:
        >>> pose_matrix(Pose(mirrored=True, degrees=0.0)).tolist()
        [[-1.0, 0.0], [0.0, 1.0]]
    """
    angle = np.deg2rad(pose.degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.diag([-1.0, 1.0]) @ turn if pose.mirrored else turn


def as_floats(values: npt.NDArray[np.generic]) -> Floats:
    """Returns numbers of any type, such as OpenCV's results, as float32."""
    return np.asarray(values, dtype=np.float32)


# ---- alignment -----------------------------------------------------------------------------------


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
# OpenCV takes None for a mask of every pixel, but its type stubs do not list it.
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


def aligned_similarity(one: Thumbnail, other: Thumbnail, pose: Pose) -> float:
    """Returns the correlation that four in five textured windows of two images exceed, in [−1, 1].

    `other` is found in `pose`. The result is −1 where the two images cannot be aligned.
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
    """`matrix` (2, 3) from places in one image to places in the other · `correlation` then."""

    matrix: _Matrix
    correlation: float


def _roughly_aligned(one: Grey, other: Grey, pose: Pose) -> _Matrix | None:
    """Returns None where no alignment was found; most different images fail after a few steps."""
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
        # OpenCV raises where the two images cannot be aligned.
        return None
    if not np.isfinite(matrix).all():
        return None
    return _Aligned(matrix=as_floats(matrix), correlation=correlation)


def _evened(grey: Grey) -> Floats:
    """Returns local contrast alone, about as strong everywhere."""
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


def _enlarged(
    matrix: _Matrix, one: Thumbnail, other: Thumbnail, first: Grey, second: Grey
) -> _Matrix:
    """Returns a matrix between thumbs as one between detailed images; places are pixel centres."""
    down, up = _larger(first, one.thumb), _larger(other.thumb, second)
    full = np.vstack([matrix, [0, 0, 1]])
    enlarged: _Matrix = (up @ full @ down)[:2].astype(np.float32)
    return enlarged


def _larger(source: Grey, target: Grey) -> npt.NDArray[np.float64]:
    """Returns (3, 3), which leads from places in one size of an image to those in another."""
    factor = np.array(target.shape[::-1]) / np.array(source.shape[::-1])
    return np.array(
        [[factor[0], 0, factor[0] / 2 - 0.5], [0, factor[1], factor[1] / 2 - 0.5], [0, 0, 1]]
    )


def _stretch(matrix: _Matrix) -> float:
    """Returns how much more one direction is stretched than the other."""
    longer, shorter = np.linalg.svd(matrix[:, :2], compute_uv=False)
    return float(longer / max(shorter, 1e-6))


def _windows(one: Grey, other: Grey, matrix: _Matrix, scale: _Scale) -> Floats:
    """Returns the correlations of the windows where either image has texture.

    There are none where the two images hardly overlap.
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
