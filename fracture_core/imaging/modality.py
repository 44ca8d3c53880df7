"""Stored numbers to pixels: look-up tables, turning dark and bright, one scale for many frames."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from fracture_core.types import Pixels, ValueScale

# Whole or fractional numbers of any width, as a file holds them.
Numbers = npt.NDArray[Any]

TOP = 65_535
"""The greatest value of a pixel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A look-up table (PS3.3 C.11.1.1) with outputs of `bits` for `first`, `first` + 1, …

    Values below and above have the first and the last output.
    """

    first: int
    outputs: npt.NDArray[np.uint16] = field(repr=False)
    bits: int

    def apply(self, values: npt.NDArray[np.integer]) -> npt.NDArray[np.uint16]:
        """Return the outputs for integers of any shape, in the same shape."""
        index = values.astype(np.int64) - self.first
        within = np.clip(index, 0, len(self.outputs) - 1)
        return np.asarray(self.outputs[within])

    @property
    def top(self) -> int:
        """The greatest output that the bits hold, or more where the table has a greater one."""
        return int(max(2**self.bits - 1, self.outputs.max()))


def to_pixels(stored: Numbers, bits: int, scale: ValueScale) -> tuple[Pixels, ValueScale, bool]:
    """Turn numbers (…) as stored, and their scale, into pixels from 0, theirs, and whether exactly.

    Of signed numbers pixel 0 is the least that `bits` can hold, so that equal values are equal
    pixels in every file. Fractions, and more than 65,536 steps, are rounded to 65,536 steps.
    """
    if stored.dtype.kind == "u" and stored.dtype.itemsize <= 2:
        return narrow(stored), scale, True
    low, high = float(stored.min()), float(stored.max())
    if stored.dtype.kind == "f":
        return _quantised(stored, low, high, scale)
    base = min(-(2 ** (bits - 1)), int(low)) if stored.dtype.kind == "i" else 0
    if high - base > TOP:
        base = int(low)
    if high - base > TOP:
        return _quantised(stored, low, high, scale)
    pixels = narrow((stored.astype(np.int64) - base).astype(np.uint16), bits)
    return pixels, _shifted(scale, base), True


def narrow(pixels: Numbers, bits: int = 16) -> Pixels:
    """Return the same pixels as uint8 where `bits` and values fit in it, else as uint16."""
    if pixels.dtype == np.uint8 or (bits <= 8 and int(pixels.max()) <= 255):
        return pixels.astype(np.uint8, copy=False)
    return pixels.astype(np.uint16, copy=False)


def turn(pixels: Pixels, bits: int, scale: ValueScale) -> tuple[Pixels, ValueScale]:
    """Exchange dark and bright; the scale turns too, so that every value stays what it was."""
    top = max(2 ** min(bits, 16) - 1, int(pixels.max()))
    turned = np.subtract(top, pixels, dtype=pixels.dtype)
    return turned, replace(scale, slope=-scale.slope, offset=scale.offset + scale.slope * top)


def align(parts: Sequence[Pixels], scales: Sequence[ValueScale]) -> tuple[Pixels, ValueScale, bool]:
    """Join parts (F, H, W) with a scale each; return all frames, one scale, and whether exactly."""
    if all(scale == scales[0] for scale in scales):
        return narrow(np.concatenate(parts)), scales[0], True
    slope = scales[0].slope
    shifts = np.array([(scale.offset - scales[0].offset) / slope for scale in scales])
    shifts -= shifts.min()
    tops = [int(part.max()) for part in parts]
    same = all(np.isclose(scale.slope, slope, rtol=1e-9) for scale in scales)
    whole = bool(np.allclose(shifts, np.round(shifts), atol=1e-4))
    if same and whole and max(top + shift for top, shift in zip(tops, shifts, strict=True)) <= TOP:
        moved = [
            part.astype(np.uint16) + np.uint16(round(shift))
            for part, shift in zip(parts, shifts, strict=True)
        ]
        least = scales[int(np.argmin(shifts))]
        return np.concatenate(moved), least, True
    return _requantised(parts, scales)


def _requantised(
    parts: Sequence[Pixels], scales: Sequence[ValueScale]
) -> tuple[Pixels, ValueScale, bool]:
    ends = [
        end * scale.slope + scale.offset
        for part, scale in zip(parts, scales, strict=True)
        for end in (int(part.min()), int(part.max()))
    ]
    # A negative slope is that of a turned image, and its sign is kept.
    step = max(max(ends) - min(ends), 1e-12) / TOP * float(np.sign(scales[0].slope))
    offset = min(ends) if step > 0 else max(ends)
    stack = np.concatenate(
        [
            np.round((part * scale.slope + scale.offset - offset) / step).astype(np.uint16)
            for part, scale in zip(parts, scales, strict=True)
        ]
    )
    return stack, replace(scales[0], slope=step, offset=offset), False


def _quantised(
    stored: Numbers, low: float, high: float, scale: ValueScale
) -> tuple[Pixels, ValueScale, bool]:
    step = (high - low) / TOP or 1.0
    pixels = np.round((stored.astype(np.float64) - low) / step).astype(np.uint16)
    shifted = _shifted(scale, low)
    return pixels, replace(shifted, slope=scale.slope * step), False


def _shifted(scale: ValueScale, base: float) -> ValueScale:
    return replace(scale, offset=scale.offset + scale.slope * base)
