"""Masks of fractures as a truth: run-length codes and the tight boxes around them."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from fracture_core import masks
from fracture_core.types import Detections

LEAST_SIDE_PX = 12
_LEAST_PIXELS = 12
Masks = Sequence[npt.NDArray[np.bool_]]


def truth_of(found: Masks, labels: Sequence[int], least_side_px: int = LEAST_SIDE_PX) -> Detections:
    """(H, W) masks → truth. A mask that covers next to nothing is left out; one smaller than
    `least_side_px` grows until its box has a sensible size.
    """
    kept = [
        (_grown(mask, least_side_px), label)
        for mask, label in zip(found, labels, strict=True)
        if mask.sum() >= _LEAST_PIXELS
    ]
    corners = [box_of(mask) for mask, _ in kept]
    return Detections.truth(
        corners, [label for _, label in kept], tuple(masks.encode(mask) for mask, _ in kept)
    )


def box_of(mask: npt.NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """xyxy in pixels around a mask that is not empty, right and bottom exclusive."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _grown(mask: npt.NDArray[np.bool_], least_side_px: int) -> npt.NDArray[np.bool_]:
    left, top, right, bottom = box_of(mask)
    short = least_side_px - min(right - left, bottom - top)
    if short <= 0:
        return mask
    return np.asarray(ndimage.binary_dilation(mask, iterations=(short + 1) // 2))
