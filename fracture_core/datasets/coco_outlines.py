"""COCO segmentations: polygons, and run lengths plain or compressed."""

from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt

from fracture_core import masks
from fracture_core.datasets.findings import Outline
from fracture_core.datasets.tally import quoted
from fracture_core.errors import DatasetError

_FORM = "a segmentation of polygons [x1, y1, x2, y2, …] or run lengths that fill the image"


def read_outline(value: object, place: str, size: tuple[int, int] | None) -> Outline | None:
    """What `segmentation` holds, None where it is absent or empty.

    `size` (height, width) of the picture; run lengths of another size raise DatasetError, as does
    anything that is neither.
    """
    if not value:
        return None
    if isinstance(value, list):
        return tuple(_ring(numbers, place) for numbers in value)
    if isinstance(value, dict) and size is not None and value.get("size") == list(size):
        return _code(value.get("counts"), place, *size)
    raise DatasetError(place, expected=_FORM, found=quoted(value))


def bounds_of(outline: Outline) -> npt.NDArray[np.float64]:
    """(4,) xyxy around an outline; no area where a run-length code covers nothing."""
    if not isinstance(outline, masks.Rle):
        points = np.concatenate(outline)
        return np.concatenate([points.min(axis=0), points.max(axis=0)])
    mask = masks.decode(outline)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return np.zeros(4)
    corners = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    return np.array(corners, dtype=np.float64)


def is_number(value: object) -> TypeGuard[float]:
    """Whether JSON holds a number that float64 can hold; NaN and infinity are such."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return isinstance(value, float) or abs(value) < 2**63


def _ring(numbers: Any, place: str) -> npt.NDArray[np.float64]:
    is_ring = isinstance(numbers, list) and len(numbers) >= 6 and len(numbers) % 2 == 0
    if is_ring and all(is_number(number) for number in numbers):
        ring = np.array(numbers, dtype=np.float64).reshape(-1, 2)
        if np.isfinite(ring).all():
            return ring
    raise DatasetError(place, expected=_FORM, found=quoted(numbers))


def _code(counts: Any, place: str, height: int, width: int) -> masks.Rle:
    # The coder trusts its input, so run lengths are proven to fill the picture before it sees them.
    runs: Any = _decompressed(counts) if isinstance(counts, str) else counts
    is_runs = isinstance(runs, list) and all(type(run) is int and run >= 0 for run in runs)
    if is_runs and sum(runs) == height * width:
        return masks.from_counts(runs, height, width)
    raise DatasetError(place, expected=_FORM, found=quoted(counts))


def _decompressed(text: str) -> list[int] | None:
    """COCO's string of run lengths: base 32, low digits first, from the third a difference."""
    runs: list[int] = []
    value = shift = 0
    for character in text:
        digit = ord(character) - 48
        if not 0 <= digit < 64 or shift > 60:
            return None
        value |= (digit & 31) << shift
        shift += 5
        if not digit & 32:
            if digit & 16:
                value -= 1 << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    return None if shift else runs
