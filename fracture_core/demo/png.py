"""Pixels as PNG files."""

from pathlib import Path

import numpy as np
from PIL import Image

from fracture_core.types import Sample


def write_sixteen(sample: Sample, path: Path) -> None:
    """16 bits; 12-bit pixels are spread over the whole range, so that 4095 is white everywhere."""
    pixels = sample.pixels.astype(np.uint16)
    Image.fromarray((pixels << 4) | (pixels >> 8)).save(path, compress_level=1)


def write_eight(sample: Sample, path: Path) -> None:
    """8 bits, as shown."""
    Image.fromarray(sample.shown()).save(path, compress_level=3)
