"""Pixels as PNG files."""

from pathlib import Path

from PIL import Image

from fracture_core.types import Pixels


def write_png(pixels: Pixels, path: Path) -> None:
    """(H, W) uint8 or uint16, each at its own depth."""
    # Radiographs gain little from more effort, and 16 bits nothing.
    level = 3 if pixels.dtype.itemsize == 1 else 1
    Image.fromarray(pixels).save(path, compress_level=level)
