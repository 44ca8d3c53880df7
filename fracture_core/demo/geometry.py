"""Plane transforms as (3, 3) matrices on (x, y, 1), layers laid on an image, and seeded noise.

The noise has a given grain: lines, plates and clouds.
"""

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Matrix = npt.NDArray[np.float64]
Field = npt.NDArray[np.float32]
Points = npt.NDArray[np.float64]

# ---- transforms and layers -----------------------------------------------------------------------


IDENTITY: Matrix = np.eye(3)


def shift(x: float, y: float) -> Matrix:
    """Returns a matrix that moves by (x, y)."""
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])


def scale(x: float, y: float) -> Matrix:
    """Returns a matrix that stretches about the origin."""
    return np.diag([x, y, 1.0])


def turn(radians: float, x: float = 0.0, y: float = 0.0) -> Matrix:
    """Returns a rotation about (x, y), from the x axis towards the y axis."""
    cos, sin = np.cos(radians), np.sin(radians)
    about = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
    return np.asarray(shift(x, y) @ about @ shift(-x, -y))


def inverse(matrix: Matrix) -> Matrix:
    """Returns the matrix of the way back."""
    return np.asarray(np.linalg.inv(matrix), dtype=np.float64)


def apply(matrix: Matrix, points: npt.ArrayLike) -> Points:
    """Returns points (N, 2) moved by a matrix.

    Example:
        >>> apply(shift(1, 2), [[10, 20]]).tolist()
        [[11.0, 22.0]]
    """
    given = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    moved: Points = given @ matrix[:2, :2].T + matrix[:2, 2]
    return moved


def corners(height: int, width: int) -> Points:
    """Returns x and y (4, 2) of the outermost pixel centres of an image."""
    right, bottom = width - 1.0, height - 1.0
    return np.array([[0.0, 0.0], [right, 0.0], [0.0, bottom], [right, bottom]])


def lay(target: Field, layer: Field, matrix: Matrix) -> None:
    """Adds `layer` to `target` in place; `matrix` leads from layer pixels to target pixels."""
    height, width = target.shape
    spots = apply(matrix, corners(*layer.shape))
    left, top = np.maximum(np.floor(spots.min(axis=0)).astype(int), 0)
    right, bottom = np.minimum(np.ceil(spots.max(axis=0)).astype(int) + 1, [width, height])
    if left >= right or top >= bottom:
        return
    back = inverse(matrix)
    # Coordinates in ndimage are (row, column), so the matrix is flipped.
    flipped = back[:2, :2][::-1, ::-1]
    start = apply(back, [[left, top]])[0][::-1]
    target[top:bottom, left:right] += ndimage.affine_transform(
        layer, flipped, offset=start, output_shape=(bottom - top, right - left), order=1
    )


# ---- noise ---------------------------------------------------------------------------------------


def streaks(
    shape: tuple[int, int], grain_px: tuple[float, float], rng: np.random.Generator
) -> Field:
    """Returns noise (H, W) of mean 0 and deviation 1 with grain (down, across) in pixels."""
    white = rng.standard_normal(shape, dtype=np.float32)
    return normed(ndimage.gaussian_filter(white, grain_px, mode="wrap", truncate=3.0))


def clouds(shape: tuple[int, int], grain_px: float, rng: np.random.Generator) -> Field:
    """Returns slow noise (H, W) of mean 0 and deviation 1, made coarsely and enlarged."""
    step = max(grain_px / 3, 1.0)
    coarse = (int(shape[0] / step) + 2, int(shape[1] / step) + 2)
    white = rng.standard_normal(coarse, dtype=np.float32)
    smooth = ndimage.gaussian_filter(white, grain_px / step / 2, mode="wrap")
    return enlarge(normed(smooth), step, shape)


def enlarge(coarse: Field, step: float, shape: tuple[int, int]) -> Field:
    """Returns (H, W) from a grid of every `step`-th pixel, linearly interpolated."""
    down = _between(coarse, step, shape[0])
    return np.ascontiguousarray(_between(down.T, step, shape[1]).T)


def _between(values: Field, step: float, count: int) -> Field:
    at = np.minimum(np.arange(count, dtype=np.float32) / np.float32(step), len(values) - 1)
    low = np.minimum(at.astype(np.int64), len(values) - 2)
    share = (at - low).astype(np.float32)[:, None]
    return np.asarray(values[low] * (1 - share) + values[low + 1] * share, dtype=np.float32)


def line(length: int, grain_px: float, rng: np.random.Generator) -> Field:
    """Returns noise (length,) of mean 0 and, in the long run, deviation 1."""
    grain = max(grain_px, 0.3)
    margin = int(4 * grain) + 1
    white = rng.standard_normal(length + 2 * margin)
    smooth = ndimage.gaussian_filter1d(white, grain)[margin : margin + length]
    # A Gaussian of deviation g leaves white noise a deviation of 1 / sqrt(2 g sqrt(pi)).
    return np.asarray(smooth * np.sqrt(2 * np.sqrt(np.pi) * grain), dtype=np.float32)


def normed(values: Field) -> Field:
    """Returns values shifted and scaled to mean 0 and deviation 1."""
    spread = max(float(values.std()), 1e-6)
    return np.asarray((values - values.mean()) / spread, dtype=np.float32)
