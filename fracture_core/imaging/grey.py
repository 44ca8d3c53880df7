"""Stored numbers of a DICOM file to grey pixels and windows.

They come in the order of PS3.3 C.11: modality, VOI, polarity. Pixels stay as they are stored as far
as possible, and `scale` carries the modality transform; look-up tables are applied to the pixels,
as no scale can carry them.

A window in values of the modality (PS3.3 C.11.2) and one in pixels show the same image. Where
`ValueScale.slope` is negative (MONOCHROME1, turned so that 0 is darkest) the window turns with it.
LINEAR spreads from center − 0.5 over width − 1, hence the halves and ones.
"""

from dataclasses import dataclass, replace

import numpy as np

from fracture_core.imaging import modality
from fracture_core.imaging.deidentify import unit, window_name
from fracture_core.imaging.dicom_file import COLOUR, Stored
from fracture_core.imaging.header import Header
from fracture_core.imaging.modality import Table
from fracture_core.types import Pixels, ValueScale, Window

# ---- windows ------------------------------------------------------------------------------------

DATA_RANGE = "range of the data"
AS_STORED = "as stored"

# Usual presets for bone and for the soft tissue around it, in Hounsfield units.
HU_PRESETS = (
    Window(center=400, width=1800, function="LINEAR", name="bone (preset)"),
    Window(center=40, width=400, function="LINEAR", name="soft tissue (preset)"),
)


def in_pixels(window: Window, scale: ValueScale) -> Window:
    """Turn a window in the modality's values into the same one in pixels.

    Example:
        >>> window = Window(center=40, width=400)
        >>> shown = in_pixels(window, ValueScale(slope=1, offset=-1000, unit="HU"))
        >>> shown.center, shown.width
        (1040.0, 400.0)
    """
    if window.function == "LINEAR":
        center = (window.center - 0.5 - scale.offset) / scale.slope + 0.5
        width = (window.width - 1) / abs(scale.slope) + 1
    else:
        center = (window.center - scale.offset) / scale.slope
        width = window.width / abs(scale.slope)
    return replace(window, center=center, width=width)


def in_values(window: Window, scale: ValueScale) -> Window:
    """Turn a window in pixels into the same one in the modality's values."""
    if window.function == "LINEAR":
        center = (window.center - 0.5) * scale.slope + scale.offset + 0.5
        width = (window.width - 1) * abs(scale.slope) + 1
    else:
        center = window.center * scale.slope + scale.offset
        width = window.width * abs(scale.slope)
    return replace(window, center=center, width=width)


def of_bits(bits: int) -> Window:
    """Return the window from 0 to the greatest value that `bits` can hold."""
    top = float(2**bits - 1)
    return Window(center=top / 2, width=top, name=AS_STORED)


def of_data(pixels: Pixels, padding: int | None = None) -> Window:
    """Return the window from the least to the greatest pixel, those of value `padding` left out.

    Where all pixels are equal its width is 1.
    """
    low, high = _extremes(pixels, padding)
    width = max(high - low, 1)
    return Window(center=low + width / 2, width=width, name=DATA_RANGE)


def _extremes(pixels: Pixels, padding: int | None) -> tuple[int, int]:
    if padding is not None:
        kept = pixels[pixels != padding]
        if kept.size:
            return int(kept.min()), int(kept.max())
    return int(pixels.min()), int(pixels.max())


# ---- pixels -------------------------------------------------------------------------------------

FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")


@dataclass(frozen=True, slots=True, kw_only=True)
class Grey:
    """Grey frames and what belongs to them.

    `pixels` (F, H, W) · `bits` that they use · `scale` to the modality's values · `windows` in
    units of the pixels · `padding` the pixel value that stands for no image, None = none.
    """

    pixels: Pixels
    bits: int
    scale: ValueScale
    windows: tuple[Window, ...] = ()
    padding: int | None = None


def to_grey(header: Header, stored: Stored, notes: list[str]) -> Grey:
    """Make grey pixels and windows of stored numbers, by everything the header says about them.

    `notes` gets sentences for the reader. 0 is darkest in the result.
    """
    if stored.photometric in COLOUR:
        return _of_colour(stored, notes)
    grey = _with_modality(header, stored, notes)
    given = _windows(header, 0, notes)
    if any(_windows(header, i, []) != given for i in _own_frames(header, len(grey.pixels))):
        notes.append("Windows differ between frames: the first frame's are used.")
    table = None if given else _table(header, "VOILUTSequence", notes)
    if table is not None:
        return _turned(_through(table, grey), stored, ())
    if not given and grey.scale.unit == "HU":
        notes.append(f"The file has no window: {HU_PRESETS[0].name} is shown.")
    presets = HU_PRESETS if grey.scale.unit == "HU" else ()
    return _turned(grey, stored, (*given, *presets))


def _of_colour(stored: Stored, notes: list[str]) -> Grey:
    if stored.was_coloured:
        notes.append("The image is in colour and is shown as grey (luma).")
    pixels = modality.narrow(stored.numbers.astype(np.uint16), stored.bits)
    bits = max(stored.bits, int(pixels.max()).bit_length())
    return Grey(pixels=pixels, bits=bits, scale=ValueScale(), windows=(of_bits(bits),))


def _with_modality(header: Header, stored: Stored, notes: list[str]) -> Grey:
    padding = header.whole("PixelPaddingValue")
    if table := _table(header, "ModalityLUTSequence", notes):
        values = stored.numbers.astype(np.int64)
        term = unit(header.items("ModalityLUTSequence")[0], "ModalityLUTType")
        return Grey(
            pixels=modality.narrow(table.apply(values), table.bits),
            bits=int(table.outputs.max()).bit_length(),
            scale=ValueScale(unit=_shown_unit(term)),
            padding=None if padding is None else int(table.apply(np.array([padding]))[0]),
        )
    pixels, base, exact = modality.to_pixels(stored.numbers, stored.bits, ValueScale())
    frames = _own_frames(header, len(pixels)) or [0]
    scales = [_rescale(header, frame, base, notes) for frame in frames]
    scale = scales[0]
    if len(set(scales)) > 1:
        pixels, scale, aligned = modality.align([pixels[i : i + 1] for i in frames], scales)
        exact = exact and aligned
    if not exact:
        notes.append("Values were rounded to 65,536 steps between their least and greatest.")
    padded = None if padding is None or base.slope != 1 else int(padding - base.offset)
    bits = min(stored.bits, 16) if exact else 16
    return Grey(pixels=pixels, bits=bits, scale=scale, padding=padded)


def _own_frames(header: Header, frames: int) -> list[int]:
    """The indices of frames that may have settings of their own."""
    return list(range(frames)) if "PerFrameFunctionalGroupsSequence" in header.dataset else []


def _rescale(header: Header, frame: int, base: ValueScale, notes: list[str]) -> ValueScale:
    group = header.macro("PixelValueTransformationSequence", frame)
    slope, intercept = group.number("RescaleSlope"), group.number("RescaleIntercept")
    if slope == 0:
        note = "RescaleSlope is 0 and was left out."
        notes += [] if note in notes else [note]
    slope = slope or 1.0
    # PS3.3 C.8.2.1.1.5: the output of a CT is in Hounsfield units unless it says otherwise.
    assumed = "HU" if header.code("Modality") == "CT" and intercept is not None else ""
    term = unit(group, "RescaleType")
    return ValueScale(
        slope=slope * base.slope,
        offset=slope * base.offset + (intercept or 0.0),
        unit=_shown_unit(term) if term else assumed,
    )


def _shown_unit(term: str) -> str:
    # DICOM's term US stands for "unspecified".
    return "" if term == "US" else term


def _through(table: Table, grey: Grey) -> Grey:
    """Applies a VOI look-up table: pixels become its outputs, which have no unit any more."""
    levels = np.arange(np.iinfo(grey.pixels.dtype).max + 1, dtype=np.float64)
    values = np.rint(levels * grey.scale.slope + grey.scale.offset).astype(np.int64)
    pixels = modality.narrow(table.apply(values)[grey.pixels], table.bits)
    bits = table.top.bit_length()
    shown = (of_bits(bits),)
    return Grey(pixels=pixels, bits=bits, scale=ValueScale(), windows=shown)


def _turned(grey: Grey, stored: Stored, given: tuple[Window, ...]) -> Grey:
    """Turns dark and bright where 0 is brightest: MONOCHROME1 or falling values, but not both."""
    windows = grey.windows + tuple(in_pixels(window, grey.scale) for window in given)
    if not windows:
        eight = grey.pixels.dtype == np.uint8
        windows = (of_bits(grey.bits) if eight else of_data(grey.pixels, grey.padding),)
    if (grey.scale.slope < 0) == (stored.photometric == "MONOCHROME1"):
        return replace(grey, windows=windows)
    values = [in_values(window, grey.scale) for window in windows]
    pixels, scale = modality.turn(grey.pixels, grey.bits, grey.scale)
    turned = tuple(in_pixels(window, scale) for window in values)
    return replace(grey, pixels=pixels, scale=scale, windows=turned, padding=None)


def _windows(header: Header, frame: int, notes: list[str]) -> tuple[Window, ...]:
    """The windows of a frame in the modality's values, without those that make no sense."""
    group = header.macro("FrameVOILUTSequence", frame)
    centers, widths = group.numbers("WindowCenter"), group.numbers("WindowWidth")
    names = group.texts("WindowCenterWidthExplanation")
    function = group.code("VOILUTFunction") or "LINEAR"
    if function not in FUNCTIONS:
        notes.append("VOILUTFunction is unknown: windows are taken as LINEAR.")
        function = "LINEAR"
    found = []
    for i, (center, width) in enumerate(zip(centers, widths, strict=False)):
        name = window_name(names[i]) if i < len(names) else ""
        name = name or ("window" if len(centers) == 1 else f"window {i + 1}")
        try:
            found.append(Window(center=center, width=width, function=function, name=name))
        except ValueError:
            notes.append(f"A window of width {width:g} makes no sense and was left out.")
    if len(centers) != len(widths):
        notes.append("WindowCenter and WindowWidth differ in number: the rest was left out.")
    return tuple(found)


def _table(header: Header, keyword: str, notes: list[str]) -> Table | None:
    """The first look-up table of a sequence, None where there is none that can be read."""
    for item in header.items(keyword)[:1]:
        descriptor = item.numbers("LUTDescriptor")
        outputs = _outputs(item, header)
        if len(descriptor) == 3 and outputs.size:
            count, first, bits = (int(number) for number in descriptor)
            bits = bits if 1 <= bits <= 16 else 16
            # 0 stands for 65,536 entries, and signed files write the count signed.
            return Table(first=first, outputs=outputs[: count % 65_536 or 65_536], bits=bits)
        notes.append(f"{keyword} cannot be read and was left out.")
    return None


def _outputs(item: Header, header: Header) -> "np.ndarray[tuple[int], np.dtype[np.uint16]]":
    data = item.raw("LUTData")
    if not isinstance(data, bytes):
        return np.array([int(n) % 65_536 for n in item.numbers("LUTData")], dtype=np.uint16)
    count = int((item.numbers("LUTDescriptor") or (0,))[0]) % 65_536 or 65_536
    if len(data) < 2 * count:
        return np.frombuffer(data, dtype=np.uint8).astype(np.uint16)
    little = header.dataset.original_encoding[1] is not False
    return np.frombuffer(data[: 2 * count], dtype="<u2" if little else ">u2").astype(np.uint16)
