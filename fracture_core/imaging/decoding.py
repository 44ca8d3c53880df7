"""Colour to grey.

Other people's decoders, kept quiet and strict.
"""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import ImageFile


def to_grey(rgb: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """(…, 3) → (…) by ITU-R BT.601 luma; equal channels keep their value exactly."""
    red, green, blue = (rgb[..., channel].astype(np.uint32) for channel in range(3))
    grey = (299 * red + 587 * green + 114 * blue + 500) // 1000
    return grey.astype(rgb.dtype)


def is_coloured(rgb: npt.NDArray[Any]) -> bool:
    """Whether any pixel's channels differ."""
    return bool((rgb != rgb[..., :1]).any())


# Warning filters and Pillow's switch below belong to the whole process, so one reader at a time.
_ONE_READER = threading.RLock()


@contextmanager
def strictly() -> Iterator[list[str]]:
    """Within it, warnings are gathered in the list instead of shown, and cut-off files are errors.

    Pillow can be told to fill up truncated images with grey; a radiograph must not be.
    """
    heard: list[str] = []
    with _ONE_READER, warnings.catch_warnings():
        warnings.simplefilter("always")
        # The signature is that of warnings.showwarning, which is replaced for the time being.
        warnings.showwarning = lambda message, *_, **__: heard.append(str(message))
        lenient = ImageFile.LOAD_TRUNCATED_IMAGES
        ImageFile.LOAD_TRUNCATED_IMAGES = False
        try:
            yield heard
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = lenient
