"""Colour to grey."""

from typing import Any

import numpy as np
import numpy.typing as npt


def to_grey(rgb: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """(…, 3) → (…) by ITU-R BT.601 luma; equal channels keep their value exactly."""
    red, green, blue = (rgb[..., channel].astype(np.uint32) for channel in range(3))
    grey = (299 * red + 587 * green + 114 * blue + 500) // 1000
    return grey.astype(rgb.dtype)


def is_coloured(rgb: npt.NDArray[Any]) -> bool:
    """Whether any pixel's channels differ."""
    return bool((rgb != rgb[..., :1]).any())
