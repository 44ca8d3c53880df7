"""Windows: from the modality's values to pixels and back, and what to show where none is given.

A window in values of the modality (PS3.3 C.11.2) and one in pixels show the same picture. Where
`ValueScale.slope` is negative (MONOCHROME1 turned so that 0 is darkest) the window turns with it.
LINEAR spreads from center − 0.5 over width − 1, hence the halves and ones.
"""

from dataclasses import replace

from fracture_core.types import Pixels, ValueScale, Window

DATA_RANGE = "range of the data"
AS_STORED = "as stored"

# Usual presets for bone and for the soft tissue around it, in Hounsfield units.
HU_PRESETS = (
    Window(center=400, width=1800, function="LINEAR", name="bone (preset)"),
    Window(center=40, width=400, function="LINEAR", name="soft tissue (preset)"),
)


def in_pixels(window: Window, scale: ValueScale) -> Window:
    """A window in the modality's values → the same in pixels."""
    if window.function == "LINEAR":
        center = (window.center - 0.5 - scale.offset) / scale.slope + 0.5
        width = (window.width - 1) / abs(scale.slope) + 1
    else:
        center = (window.center - scale.offset) / scale.slope
        width = window.width / abs(scale.slope)
    return replace(window, center=center, width=width)


def in_values(window: Window, scale: ValueScale) -> Window:
    """A window in pixels → the same in the modality's values."""
    if window.function == "LINEAR":
        center = (window.center - 0.5) * scale.slope + scale.offset + 0.5
        width = (window.width - 1) * abs(scale.slope) + 1
    else:
        center = window.center * scale.slope + scale.offset
        width = window.width * abs(scale.slope)
    return replace(window, center=center, width=width)


def of_bits(bits: int) -> Window:
    """The window of everything that `bits` can hold."""
    top = float(2**bits - 1)
    return Window(center=top / 2, width=top, name=AS_STORED)


def of_data(pixels: Pixels, padding: int | None = None) -> Window:
    """From the least to the greatest pixel, apart from `padding`; flat data get a width of 1."""
    low, high = _extremes(pixels, padding)
    width = max(high - low, 1)
    return Window(center=low + width / 2, width=width, name=DATA_RANGE)


def _extremes(pixels: Pixels, padding: int | None) -> tuple[int, int]:
    if padding is not None:
        kept = pixels[pixels != padding]
        if kept.size:
            return int(kept.min()), int(kept.max())
    return int(pixels.min()), int(pixels.max())
