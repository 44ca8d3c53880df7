"""What the readers of all formats share: colour to grey, and decoders kept quiet and strict."""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import ImageFile


def to_grey(rgb: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the luma (ITU-R BT.601) of unsigned RGB (…, 3) as (…) of the same type.

    Example:
        >>> to_grey(np.array([[255, 0, 0], [7, 7, 7]], dtype=np.uint8)).tolist()
        [76, 7]
    """
    red, green, blue = (rgb[..., channel].astype(np.uint32) for channel in range(3))
    grey = (299 * red + 587 * green + 114 * blue + 500) // 1000
    return grey.astype(rgb.dtype)


def is_coloured(rgb: npt.NDArray[Any]) -> bool:
    """Whether the channels of any pixel differ."""
    return bool((rgb != rgb[..., :1]).any())


# Warning filters and Pillow's switch belong to the whole process, so that one reader at a time may
# change them.
_ONE_READER = threading.RLock()


@contextmanager
def strictly() -> Iterator[list[str]]:
    """Decode strictly: the list gathers the warnings, and Pillow refuses files that are cut off.

    Pillow can be told to fill up truncated images with grey, which must not happen to a radiograph.
    Blocks of several threads run one after the other.
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
