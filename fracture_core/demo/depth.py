"""12-bit pixels at the depth of a file of 16 bits."""

import numpy as np
import numpy.typing as npt

from fracture_core.types import Pixels


def spread(pixels: Pixels) -> npt.NDArray[np.uint16]:
    """(H, W) 12 bits over the whole range of 16, so that 4095 is white everywhere."""
    wide = pixels.astype(np.uint16)
    return np.asarray((wide << 4) | (wide >> 8), dtype=np.uint16)
