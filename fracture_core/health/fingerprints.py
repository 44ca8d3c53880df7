"""A perceptual hash that survives flips, rotations and contrast: who might be a copy of whom.

A picture becomes the numbers of a disc around its centre, band-passed and normed. A copy that was
flipped and turned has the same disc, flipped and turned, so every other picture is compared in 52
poses: as it is or mirrored, upright or upside down, turned by −30° to 30°. Two copies of one
original, each turned by up to 15°, differ by up to 30°. One pose of all pictures against all others
is a matrix product.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from fracture_core.health.looking import Grey

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
    """Mirrored left to right where `mirrored`, then turned by `degrees`; upside down is both."""

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
    """Pictures `one` < `other` that may be the same: by `similarity` in [−1, 1], with `other` in
    `pose`.
    """

    one: int
    other: int
    similarity: float
    pose: Pose


def band_passed(thumb: Grey) -> Floats:
    """(48, 48) the central square without its mean light and without its noise."""
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
    """(N, 48, 48) band-passed → (N, D) their discs in a pose, of length 1; 0 where all is flat."""
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
    """Of (N, 48, 48) band-passed pictures each one's likest further on, six in its own split and
    six in others, the most similar first.

    `splits` (N,) numbers; smaller splits have to come first, so that each of their pictures meets
    all of the greater ones · `apart` (N,) numbers: pictures of an equal number are not compared.
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
    """Where the numbers of the disc lie in the square: the four pixels around each, as places of a
    square in one row, with their bilinear weights.
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
    """(2, 2) from a place in the picture that is compared to the place in the picture in a pose,
    both from the centre.
    """
    angle = np.deg2rad(pose.degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.diag([-1.0, 1.0]) @ turn if pose.mirrored else turn


def as_floats(values: npt.NDArray[np.generic]) -> Floats:
    """Numbers of any type, such as OpenCV's results, as float32."""
    return np.asarray(values, dtype=np.float32)
