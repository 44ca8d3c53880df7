"""Pictures made smaller or larger, with boxes, polygons and masks moved along."""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from fracture_core import masks
from fracture_core.datasets.findings import Finding
from fracture_core.datasets.writers.items import scaled

Array = npt.NDArray[Any]
Size = tuple[int, int]


def fitted(size: Size, side_px: int | None) -> Size:
    """(height, width) whose longer side is `side_px`, the proportions kept to the pixel."""
    if side_px is None:
        return size
    factor = side_px / max(size)
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def resize_pixels(pixels: Array, size: Size) -> Array:
    """(H, W) uint8, uint16 or float32 → the same type: means of areas, or straight between pixels
    where it grows.
    """
    if pixels.shape == size:
        return pixels
    shrinks = size[0] <= pixels.shape[0] and size[1] <= pixels.shape[1]
    kernel = Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR
    picture = Image.fromarray(pixels.astype(np.float32)).resize((size[1], size[0]), kernel)
    values = np.asarray(picture)
    if pixels.dtype.kind == "f":
        return values
    whole: Array = np.clip(np.rint(values), 0, np.iinfo(pixels.dtype).max).astype(pixels.dtype)
    return whole


def resize_finding(finding: Finding, old: Size, new: Size) -> Finding:
    """A finding in pixels of a picture of size `old` → in pixels of `new`."""
    if old == new:
        return finding
    moved = scaled(finding, new[1] / old[1], new[0] / old[0])
    if isinstance(finding.outline, masks.Rle):
        return replace(moved, outline=_resize_mask(finding.outline, new))
    return moved


def _resize_mask(code: masks.Rle, size: Size) -> masks.Rle:
    covered = resize_pixels(masks.decode(code).astype(np.float32), size)
    inside = covered >= 0.5
    # A thin line covers no pixel by half, and must not vanish.
    return masks.encode(inside if inside.any() else covered > 0)
