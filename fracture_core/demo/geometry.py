"""Plane transforms as (3, 3) matrices on (x, y, 1), and layers laid on a picture through them."""

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Matrix = npt.NDArray[np.float64]
Field = npt.NDArray[np.float32]
Points = npt.NDArray[np.float64]

IDENTITY: Matrix = np.eye(3)


def shift(x: float, y: float) -> Matrix:
    """Move by (x, y)."""
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])


def scale(x: float, y: float) -> Matrix:
    """Stretch about the origin."""
    return np.diag([x, y, 1.0])


def turn(radians: float, x: float = 0.0, y: float = 0.0) -> Matrix:
    """Rotation about (x, y), from the x axis towards the y axis."""
    cos, sin = np.cos(radians), np.sin(radians)
    about = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
    return np.asarray(shift(x, y) @ about @ shift(-x, -y))


def inverse(matrix: Matrix) -> Matrix:
    """The way back."""
    return np.asarray(np.linalg.inv(matrix), dtype=np.float64)


def apply(matrix: Matrix, points: npt.ArrayLike) -> Points:
    """(N, 2) points moved."""
    given = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    moved: Points = given @ matrix[:2, :2].T + matrix[:2, 2]
    return moved


def corners(height: int, width: int) -> Points:
    """(4, 2) x and y of the outermost pixel centres."""
    right, bottom = width - 1.0, height - 1.0
    return np.array([[0.0, 0.0], [right, 0.0], [0.0, bottom], [right, bottom]])


def lay(target: Field, layer: Field, matrix: Matrix) -> None:
    """Add `layer` to `target`; `matrix` leads from layer pixels to target pixels."""
    height, width = target.shape
    spots = apply(matrix, corners(*layer.shape))
    left, top = np.maximum(np.floor(spots.min(axis=0)).astype(int), 0)
    right, bottom = np.minimum(np.ceil(spots.max(axis=0)).astype(int) + 1, [width, height])
    if left >= right or top >= bottom:
        return
    back = inverse(matrix)
    # ndimage counts row first.
    flipped = back[:2, :2][::-1, ::-1]
    start = apply(back, [[left, top]])[0][::-1]
    target[top:bottom, left:right] += ndimage.affine_transform(
        layer, flipped, offset=start, output_shape=(bottom - top, right - left), order=1
    )
