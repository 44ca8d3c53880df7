"""The frames of a DICOM file's pixel data: checked before they are decoded, then decoded.

Decoders trust and allocate what a compressed frame declares of itself, so that is read first.
Neither plain pixel data nor JPEG, JPEG 2000 or RLE have a checksum: frames that are lost, cut short
or of wrong length are noticed, but a changed value within a frame cannot be. RLE is that of DICOM
PS3.5 annex G.
"""

import struct
from collections.abc import Sequence
from typing import NoReturn

import numpy as np
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels.utils import pixel_array
from pydicom.uid import UID, JPEGExtended12Bit, RLELossless

from fracture_core.errors import ImageError
from fracture_core.imaging import jpeg, jpeg_2000
from fracture_core.imaging.header import Header
from fracture_core.imaging.jpeg import Size
from fracture_core.imaging.modality import Numbers

# ---- one compressed frame -----------------------------------------------------------------------


def declared_size(code: bytes) -> Size | None:
    """Return (rows, columns, components) of a JPEG, JPEG-LS or JPEG 2000 stream, or None."""
    return jpeg.size(code) if code.startswith(jpeg.SOI) else jpeg_2000.size(code)


def codestream_fault(code: bytes) -> str:
    """Return in words what shows that such a stream is damaged, "" where nothing does."""
    if code.startswith(jpeg.SOI):
        return jpeg.fault(code)
    return jpeg_2000.fault(code) if jpeg_2000.start(code) >= 0 else ""


_RLE_HEADER = 64


def rle_fault(code: bytes, segments: int) -> str:
    """Return in words what shows that an RLE frame of so many segments is damaged, or ""."""
    if len(code) < _RLE_HEADER:
        return "an RLE header that is cut short"
    count, *offsets = struct.unpack("<16L", code[:_RLE_HEADER])
    if count != segments:
        return f"{count} RLE segments where {segments} are due"
    used, unused = offsets[:count], offsets[count:]
    rising = all(one < other for one, other in zip(used, [*used[1:], len(code)], strict=True))
    if used[0] != _RLE_HEADER or not rising or any(unused):
        return "RLE segments whose offsets make no sense"
    return ""


# ---- the pixel data of a file -------------------------------------------------------------------

ANEW = "Export or copy the file anew."

_CONVERT = "Convert it to Explicit VR Little Endian (dcmdjpeg, gdcmconv --raw), or export it anew."

# Spectral selection, progression and arithmetic coding, which DICOM has retired: libjpeg decodes
# them as it does JPEG Extended, but pydicom does not hand them to it.
_RETIRED = frozenset(f"1.2.840.10008.1.2.4.{number}" for number in range(52, 57))

Shape = tuple[int, int, int]


def refuse(name: str, expected: str, found: str, advice: str = "") -> NoReturn:
    """Raise ImageError about the file of this name."""
    raise ImageError(name, expected=expected, found=found, advice=advice)


def damaged(name: str, error: Exception) -> ImageError:
    """Return the ImageError to raise where pydicom failed on a damaged file."""
    return ImageError(
        name,
        expected="a whole DICOM file",
        found=f"damage that makes it unreadable ({type(error).__name__})",
        advice=ANEW,
    )


def check_frames(header: Header, name: str, shape: Shape) -> None:
    """Raise ImageError unless the pixel data hold the (frames, rows, columns) of the header."""
    dataset = header.dataset
    if "PixelData" not in dataset:
        return
    if not is_encapsulated(dataset):
        _check_length(header, name, shape)
        return
    try:
        frames = list(generate_frames(dataset.PixelData, number_of_frames=shape[0]))
    except Exception as error:
        raise damaged(name, error) from error
    if len(frames) < shape[0]:
        refuse(name, f"{shape[0]} frames", f"{len(frames)}: the file is cut short", ANEW)
    _check_sizes(frames, header, name, shape)
    for number, frame in enumerate(frames, start=1):
        if fault := _fault(frame, header):
            whole = f"a whole frame {number}" if len(frames) > 1 else "whole pixel data"
            syntax = UID(str(dataset.file_meta.TransferSyntaxUID)).name
            refuse(name, whole, f"{syntax} with {fault}", ANEW)


def decoded(dataset: Dataset, name: str, *, raw: bool = False) -> Numbers:
    """Decode all frames to numbers, colour to RGB unless `raw`; raises ImageError."""
    syntax = UID(str(dataset.file_meta.TransferSyntaxUID))
    try:
        make_decodable(dataset)
        return pixel_array(dataset, raw=raw)
    # Each decoder has errors of its own, down to plain RuntimeError.
    except Exception as error:
        if not is_encapsulated(dataset):
            raise damaged(name, error) from error
        raise ImageError(
            name,
            expected="pixel data that can be decoded",
            found=f"{syntax.name} ({syntax}), which no decoder here could read",
            advice=_CONVERT,
        ) from error


def make_decodable(dataset: Dataset) -> None:
    """Change a dataset in place so that pydicom has its JPEG frames decoded.

    Retired syntaxes are named JPEG Extended, and wrong spectral selections are put right.
    """
    syntax = str(dataset.file_meta.TransferSyntaxUID)
    if syntax in _RETIRED:
        dataset.file_meta.TransferSyntaxUID = JPEGExtended12Bit
    if syntax in _RETIRED or syntax == JPEGExtended12Bit:
        count = int(dataset.get("NumberOfFrames") or 1)
        frames = list(generate_frames(dataset.PixelData, number_of_frames=count))
        mended = [jpeg.with_spectrum(frame) for frame in frames]
        if mended != frames:
            dataset.PixelData = encapsulate(mended)


def is_encapsulated(dataset: Dataset) -> bool:
    """Whether the pixel data lie in fragments, as all compressed ones do."""
    syntax = UID(str(dataset.file_meta.TransferSyntaxUID))
    # Syntaxes that pydicom does not know are newer or private ones, which all are compressed.
    return not syntax.is_transfer_syntax or syntax.is_encapsulated


def _check_sizes(frames: Sequence[bytes], header: Header, name: str, shape: Shape) -> None:
    """Raises ImageError where a frame declares another size than the header: decoders trust it."""
    expected = (*shape[1:], header.whole("SamplesPerPixel") or 1)
    for size in map(declared_size, frames):
        if size is not None and size != expected:
            refuse(
                name,
                "{} rows × {} columns × {} samples in every frame".format(*expected),
                "a compressed frame of {} × {} × {}".format(*size),
                ANEW,
            )


def _fault(frame: bytes, header: Header) -> str:
    if str(header.dataset.file_meta.TransferSyntaxUID) != RLELossless:
        return codestream_fault(frame)
    samples, bits = header.whole("SamplesPerPixel") or 1, header.whole("BitsAllocated") or 0
    return rle_fault(frame, samples * ((bits + 7) // 8))


def _check_length(header: Header, name: str, shape: Shape) -> None:
    samples = header.whole("SamplesPerPixel") or 1
    bits = int(np.prod(shape, dtype=np.int64)) * samples * (header.whole("BitsAllocated") or 0)
    if header.text("PhotometricInterpretation") == "YBR_FULL_422":
        bits = bits * 2 // 3
    expected, found = (bits + 7) // 8, len(header.dataset.PixelData or b"")
    if found < expected:
        what = f"{found:,} bytes: the file is cut short" if found else "an empty element"
        refuse(name, f"{expected:,} bytes of pixel data", what, ANEW)
