"""Seeded noise of a given grain: lines, plates and clouds."""

import numpy as np
from scipy import ndimage

from fracture_core.demo.geometry import Field


def streaks(
    shape: tuple[int, int], grain_px: tuple[float, float], rng: np.random.Generator
) -> Field:
    """(H, W) noise of mean 0 and deviation 1 with grain (down, across) in pixels."""
    white = rng.standard_normal(shape, dtype=np.float32)
    return normed(ndimage.gaussian_filter(white, grain_px, mode="wrap", truncate=3.0))


def clouds(shape: tuple[int, int], grain_px: float, rng: np.random.Generator) -> Field:
    """(H, W) slow noise of mean 0 and deviation 1, made coarsely and enlarged."""
    step = max(grain_px / 3, 1.0)
    coarse = (int(shape[0] / step) + 2, int(shape[1] / step) + 2)
    white = rng.standard_normal(coarse, dtype=np.float32)
    smooth = ndimage.gaussian_filter(white, grain_px / step / 2, mode="wrap")
    return enlarge(normed(smooth), step, shape)


def enlarge(coarse: Field, step: float, shape: tuple[int, int]) -> Field:
    """(H, W) from a grid of every `step`-th pixel, straight in between."""
    down = _between(coarse, step, shape[0])
    return np.ascontiguousarray(_between(down.T, step, shape[1]).T)


def _between(values: Field, step: float, count: int) -> Field:
    at = np.minimum(np.arange(count, dtype=np.float32) / np.float32(step), len(values) - 1)
    low = np.minimum(at.astype(np.int64), len(values) - 2)
    share = (at - low).astype(np.float32)[:, None]
    return np.asarray(values[low] * (1 - share) + values[low + 1] * share, dtype=np.float32)


def line(length: int, grain_px: float, rng: np.random.Generator) -> Field:
    """(length,) noise of mean 0 and deviation 1 in the long run."""
    grain = max(grain_px, 0.3)
    margin = int(4 * grain) + 1
    white = rng.standard_normal(length + 2 * margin)
    smooth = ndimage.gaussian_filter1d(white, grain)[margin : margin + length]
    # A Gaussian of deviation g leaves white noise a deviation of 1 / sqrt(2 g sqrt(pi)).
    return np.asarray(smooth * np.sqrt(2 * np.sqrt(np.pi) * grain), dtype=np.float32)


def normed(values: Field) -> Field:
    """Mean 0 and deviation 1."""
    spread = max(float(values.std()), 1e-6)
    return np.asarray((values - values.mean()) / spread, dtype=np.float32)
