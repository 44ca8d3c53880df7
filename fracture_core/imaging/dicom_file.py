"""Bytes to a DICOM dataset, and its pixel data to numbers: the border to pydicom."""

import io
import logging
import zlib
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.pixels.processing import apply_color_lut
from pydicom.pixels.utils import pixel_array
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from fracture_core.errors import PictureError
from fracture_core.imaging import luma
from fracture_core.imaging.codestream import declared_size
from fracture_core.imaging.header import Header
from fracture_core.imaging.modality import Numbers
from fracture_core.settings import settings

# pydicom's log repeats values of the header, which must not reach anybody's console.
logging.getLogger("pydicom").propagate = False

GREY = ("MONOCHROME1", "MONOCHROME2")
COLOUR = ("PALETTE COLOR", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
PIXEL_DATA = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
NOT_PICTURES = ("Segmentation", "Parametric Map", "Surface", "Waveform")

_CONVERT = "Convert it to Explicit VR Little Endian (dcmdjpeg, gdcmconv --raw), or export it anew."
_ANEW = "Export or copy the file anew."


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """The numbers of the pixel data: grey (F, H, W) as stored, or colour already made grey."""

    numbers: Numbers
    bits: int
    photometric: str
    was_coloured: bool = False


def parse(data: bytes, name: str) -> Dataset:
    """The dataset of a file, with or without a preamble."""
    plain = _inflated(data, name)
    try:
        dataset = dcmread(io.BytesIO(plain), force=True)
        empty = not any(element.tag.group > 2 for element in dataset.elements())
        _name_syntax(dataset)
        _convert_unguarded(dataset)
    # A damaged file can make pydicom raise anything; nothing of ours runs in here.
    except Exception as error:
        raise _damaged(name, error) from error
    if empty:
        raise PictureError(
            name, expected="a DICOM file", found="a file without any DICOM element", advice=_ANEW
        )
    return dataset


def _convert_unguarded(dataset: Dataset) -> None:
    """Convert what is read later outside of `Header`: pydicom converts on first access, and raises
    NotImplementedError for a damaged value representation.
    """
    for keyword in PIXEL_DATA:
        dataset.get(keyword)
    dataset.file_meta.get("MediaStorageSOPClassUID")


def _name_syntax(dataset: Dataset) -> None:
    """A file without meta information is plain, and pydicom has found out in which way."""
    if "TransferSyntaxUID" in dataset.file_meta:
        return
    implicit, little = dataset.original_encoding
    plain = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    dataset.file_meta.TransferSyntaxUID = plain if little else ExplicitVRBigEndian


def decode(header: Header, name: str) -> Stored:
    """The pixel data of a dataset; its declared size is checked before anything is allocated."""
    photometric = header.text("PhotometricInterpretation").upper()
    _check_kind(header, name)
    shape = _shape(header, name)
    bits = _bits(header, name)
    if photometric not in GREY + COLOUR:
        _refuse(name, "a grey or colour picture", f"PhotometricInterpretation {photometric!r}")
    _check_data(header, name, shape)
    array = _decoded(header.dataset, name)
    coloured = photometric in COLOUR
    grey, differs = _grey(array, header.dataset, photometric, name) if coloured else (array, False)
    if grey.size != np.prod(shape):
        _refuse(name, f"{shape} pixels", f"{grey.shape} once decoded")
    if grey.dtype.kind == "f" and not np.isfinite(grey).all():
        _refuse(name, "finite numbers", "NaN or infinity in the pixel data")
    if photometric == "PALETTE COLOR":
        bits = 8 * grey.dtype.itemsize
    return Stored(
        numbers=grey.reshape(shape), bits=bits, photometric=photometric, was_coloured=differs
    )


def _inflated(data: bytes, name: str) -> bytes:
    """Undoes the deflated transfer syntax here, in bounds: pydicom would inflate without any."""
    deflated = DeflatedExplicitVRLittleEndian.encode()
    if deflated not in data:
        return data
    start = 144 + int.from_bytes(data[140:144], "little")
    head = data[:start].replace(
        deflated, ExplicitVRLittleEndian.encode().ljust(len(deflated), b"\0")
    )
    limit = 16 * settings().max_pixels
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        body = inflater.decompress(data[start:], limit)
    except zlib.error as error:
        raise _damaged(name, error) from error
    if inflater.unconsumed_tail or deflated in head + body:
        _refuse(name, f"at most {limit:,} bytes once inflated", "a deflated file that holds more")
    return head + body


def _check_kind(header: Header, name: str) -> None:
    meta = getattr(header.dataset, "file_meta", Dataset())
    uid = header.text("SOPClassUID") or str(meta.get("MediaStorageSOPClassUID", ""))
    kind = UID(uid).name or "a header without SOP class"
    if kind.startswith(NOT_PICTURES):
        _refuse(name, "a DICOM file with a picture in it", kind, "Choose an image series.")
    if any(keyword in header.dataset for keyword in PIXEL_DATA):
        return
    if "Image Storage" in kind or "Rows" in header.dataset:
        _refuse(name, "pixel data", f"none in {kind}: the file is cut short or a header", _ANEW)
    _refuse(name, "a DICOM file with a picture in it", kind, "Choose an image series.")


def _shape(header: Header, name: str) -> tuple[int, int, int]:
    rows, columns = header.whole("Rows") or 0, header.whole("Columns") or 0
    frames = header.whole("NumberOfFrames")
    frames = 1 if frames is None else frames
    size = f"{rows} rows × {columns} columns × {frames} frames"
    if min(rows, columns, frames) < 1:
        _refuse(name, "a picture with at least one pixel", size)
    limit = settings().max_pixels
    if rows * columns * frames > limit:
        advice = "Raise FRACTURE_MAX_PIXELS if the file is to be trusted."
        _refuse(name, f"at most {limit:,} pixels", size, advice)
    return frames, rows, columns


def _bits(header: Header, name: str) -> int:
    allocated = header.whole("BitsAllocated") or 0
    stored = header.whole("BitsStored")
    stored = allocated if stored is None else stored
    if allocated not in (1, 8, 16, 32, 64) or not 1 <= stored <= allocated:
        found = f"BitsAllocated {allocated}, BitsStored {stored}"
        _refuse(name, "1 to 64 bits a pixel", found)
    high = header.whole("HighBit")
    if high is not None and high != stored - 1:
        _refuse(name, f"HighBit {stored - 1} with BitsStored {stored}", f"HighBit {high}")
    return stored


def _check_data(header: Header, name: str, shape: tuple[int, int, int]) -> None:
    dataset = header.dataset
    if "PixelData" not in dataset:
        return
    if not _is_encapsulated(dataset):
        _check_length(header, name, shape)
        return
    samples = header.whole("SamplesPerPixel") or 1
    try:
        # The frames' sizes are declared in their own headers, and decoders trust those.
        frames = generate_frames(dataset.PixelData, number_of_frames=shape[0])
        sizes = [declared_size(frame) for frame in frames]
    except Exception as error:
        raise _damaged(name, error) from error
    if len(sizes) < shape[0]:
        _refuse(name, f"{shape[0]} frames", f"{len(sizes)}: the file is cut short", _ANEW)
    expected = (*shape[1:], samples)
    for size in sizes:
        if size is not None and size != expected:
            _refuse(
                name,
                "{} rows × {} columns × {} samples in every frame".format(*expected),
                "a compressed frame of {} × {} × {}".format(*size),
                _ANEW,
            )


def _check_length(header: Header, name: str, shape: tuple[int, int, int]) -> None:
    samples = header.whole("SamplesPerPixel") or 1
    bits = int(np.prod(shape, dtype=np.int64)) * samples * (header.whole("BitsAllocated") or 0)
    if header.text("PhotometricInterpretation") == "YBR_FULL_422":
        bits = bits * 2 // 3
    expected, found = (bits + 7) // 8, len(header.dataset.PixelData or b"")
    if found < expected:
        what = f"{found:,} bytes: the file is cut short" if found else "an empty element"
        _refuse(name, f"{expected:,} bytes of pixel data", what, _ANEW)


def _decoded(dataset: Dataset, name: str) -> Numbers:
    try:
        return pixel_array(dataset)
    # Each decoder has errors of its own, down to plain RuntimeError.
    except Exception as error:
        syntax = UID(str(dataset.file_meta.TransferSyntaxUID))
        if not _is_encapsulated(dataset):
            raise _damaged(name, error) from error
        raise PictureError(
            name,
            expected="pixel data that can be decoded",
            found=f"{syntax.name} ({syntax}), which no decoder here could read",
            advice=_CONVERT,
        ) from error


def _grey(array: Numbers, dataset: Dataset, photometric: str, name: str) -> tuple[Numbers, bool]:
    try:
        rgb = apply_color_lut(array, dataset) if photometric == "PALETTE COLOR" else array
    except Exception as error:
        raise _damaged(name, error) from error
    if rgb.shape[-1] not in (3, 4) or rgb.dtype not in (np.uint8, np.uint16):
        _refuse(name, "8 or 16 bit colour in 3 samples", f"{rgb.shape[-1]} of {rgb.dtype}")
    rgb = rgb[..., :3]
    return luma.to_grey(rgb), luma.is_coloured(rgb)


def _is_encapsulated(dataset: Dataset) -> bool:
    syntax = UID(str(dataset.file_meta.TransferSyntaxUID))
    # Syntaxes pydicom does not know are newer or private, and all of those are compressed.
    return not syntax.is_transfer_syntax or syntax.is_encapsulated


def _damaged(name: str, error: Exception) -> PictureError:
    return PictureError(
        name,
        expected="a whole DICOM file",
        found=f"damage that makes it unreadable ({type(error).__name__})",
        advice=_ANEW,
    )


def _refuse(name: str, expected: str, found: str, advice: str = "") -> NoReturn:
    raise PictureError(name, expected=expected, found=found, advice=advice)
