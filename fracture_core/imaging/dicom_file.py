"""The border to pydicom: bytes to a DICOM dataset, and its pixel data to numbers."""

import io
import logging
import zlib
from dataclasses import dataclass

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from fracture_core.errors import ImageError
from fracture_core.imaging import decoding
from fracture_core.imaging.dicom_frames import ANEW, check_frames, damaged, decoded, refuse
from fracture_core.imaging.header import Header
from fracture_core.imaging.modality import Numbers
from fracture_core.settings import settings

# pydicom's log repeats values of the header, which must not reach anybody's console.
logging.getLogger("pydicom").propagate = False

GREY = ("MONOCHROME1", "MONOCHROME2")
COLOUR = ("PALETTE COLOR", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
PIXEL_DATA = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
NOT_IMAGES = ("Segmentation", "Parametric Map", "Surface", "Waveform")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """The numbers of the pixel data, grey (F, H, W) as stored or made of colour, and their form.

    `bits` are those stored for each number · `photometric` is DICOM's PhotometricInterpretation.
    """

    numbers: Numbers
    bits: int
    photometric: str
    was_coloured: bool = False


def parse(data: bytes, name: str) -> Dataset:
    """Parse a file with or without a preamble; raises ImageError."""
    plain = _inflated(data, name)
    try:
        dataset = dcmread(io.BytesIO(plain), force=True)
        empty = not any(element.tag.group > 2 for element in dataset.elements())
        _name_syntax(dataset)
        _convert_unguarded(dataset)
    # A damaged file can make pydicom raise anything; nothing of ours runs in here.
    except Exception as error:
        raise damaged(name, error) from error
    if empty:
        raise ImageError(
            name, expected="a DICOM file", found="a file without any DICOM element", advice=ANEW
        )
    return dataset


def _convert_unguarded(dataset: Dataset) -> None:
    """Converts what is read later outside of `Header`, so that a damaged element fails here.

    pydicom converts on first access, and raises NotImplementedError for a damaged value
    representation.
    """
    for keyword in PIXEL_DATA:
        dataset.get(keyword)
    dataset.file_meta.get("MediaStorageSOPClassUID")


def _name_syntax(dataset: Dataset) -> None:
    """Names the transfer syntax of a file without meta information, as pydicom has guessed it."""
    if "TransferSyntaxUID" in dataset.file_meta:
        return
    implicit, little = dataset.original_encoding
    plain = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    dataset.file_meta.TransferSyntaxUID = plain if little else ExplicitVRBigEndian


def decode(header: Header, name: str) -> Stored:
    """Decode the pixel data of a dataset; raises ImageError.

    Kind, size and bits that the header declares are checked before anything is allocated.
    """
    photometric = header.text("PhotometricInterpretation").upper()
    _check_kind(header, name)
    shape = _shape(header, name)
    bits = _bits(header, name)
    if photometric not in GREY + COLOUR:
        refuse(name, "a grey or colour image", f"PhotometricInterpretation {photometric[:16]!r}")
    check_frames(header, name, shape)
    grey, differs = _decoded(header.dataset, photometric, bits, name)
    if grey.size != np.prod(shape):
        refuse(name, f"{shape} pixels", f"{grey.shape} once decoded")
    if grey.dtype.kind == "f" and not np.isfinite(grey).all():
        refuse(name, "finite numbers", "NaN or infinity in the pixel data")
    if photometric == "PALETTE COLOR":
        bits = 8 * grey.dtype.itemsize
    return Stored(
        numbers=grey.reshape(shape), bits=bits, photometric=photometric, was_coloured=differs
    )


def _inflated(data: bytes, name: str) -> bytes:
    """Inflates a deflated file up to a limit, which pydicom does not have."""
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
        raise damaged(name, error) from error
    if not inflater.eof and not inflater.unconsumed_tail:
        refuse(name, "a whole deflated file", "one that is cut short", ANEW)
    if inflater.unconsumed_tail or deflated in head + body:
        refuse(name, f"at most {limit:,} bytes once inflated", "a deflated file that holds more")
    return head + body


def _check_kind(header: Header, name: str) -> None:
    meta = getattr(header.dataset, "file_meta", Dataset())
    uid = header.text("SOPClassUID") or str(meta.get("MediaStorageSOPClassUID", ""))
    kind = _sop_class(uid)
    if kind.startswith(NOT_IMAGES):
        refuse(name, "a DICOM file with an image in it", kind, "Choose an image series.")
    if any(keyword in header.dataset for keyword in PIXEL_DATA):
        return
    if "Image Storage" in kind or "Rows" in header.dataset:
        refuse(name, "pixel data", f"none in {kind}: the file is cut short or a header", ANEW)
    refuse(name, "a DICOM file with an image in it", kind, "Choose an image series.")


def _sop_class(uid: str) -> str:
    """The SOP class in words for a message, which must not quote what a damaged header holds."""
    if not uid:
        return "a header without SOP class"
    return UID(uid).name if UID(uid).is_valid else "a header whose SOP class is no UID"


def _shape(header: Header, name: str) -> tuple[int, int, int]:
    rows, columns = header.whole("Rows") or 0, header.whole("Columns") or 0
    frames = header.whole("NumberOfFrames")
    frames = 1 if frames is None else frames
    size = f"{rows} rows × {columns} columns × {frames} frames"
    if min(rows, columns, frames) < 1:
        refuse(name, "an image with at least one pixel", size)
    limit = settings().max_pixels
    if rows * columns * frames > limit:
        advice = "Raise FRACTURE_MAX_PIXELS if the file is to be trusted."
        refuse(name, f"at most {limit:,} pixels", size, advice)
    return frames, rows, columns


def _bits(header: Header, name: str) -> int:
    allocated = header.whole("BitsAllocated") or 0
    stored = header.whole("BitsStored")
    stored = allocated if stored is None else stored
    if allocated not in (1, 8, 16, 32, 64) or not 1 <= stored <= allocated:
        found = f"BitsAllocated {allocated}, BitsStored {stored}"
        refuse(name, "1 to 64 bits a pixel", found)
    high = header.whole("HighBit")
    if high is not None and high != stored - 1:
        refuse(name, f"HighBit {stored - 1} with BitsStored {stored}", f"HighBit {high}")
    return stored


def _decoded(dataset: Dataset, photometric: str, bits: int, name: str) -> tuple[Numbers, bool]:
    """The numbers, colour made grey, and whether there was any colour."""
    if photometric not in COLOUR:
        return decoded(dataset, name), False
    if photometric.startswith("YBR_FULL") and bits > 8:
        # pydicom converts 8 bits only. The first sample is the luma, all that is needed for grey.
        luma_first = decoded(dataset, name, raw=True)
        middle = 2 ** (bits - 1)
        return luma_first[..., 0], bool((luma_first[..., 1:] != middle).any())
    return _grey(decoded(dataset, name), dataset, photometric, name)


def _grey(array: Numbers, dataset: Dataset, photometric: str, name: str) -> tuple[Numbers, bool]:
    try:
        rgb = apply_color_lut(array, dataset) if photometric == "PALETTE COLOR" else array
    except Exception as error:
        raise damaged(name, error) from error
    if rgb.shape[-1] not in (3, 4) or rgb.dtype.kind != "u" or rgb.dtype.itemsize > 2:
        refuse(name, "8 or 16 bit colour in 3 samples", f"{rgb.shape[-1]} of {rgb.dtype}")
    # Files of either byte order are read in this machine's.
    rgb = rgb[..., :3].astype(rgb.dtype.newbyteorder("="), copy=False)
    return decoding.to_grey(rgb), decoding.is_coloured(rgb)
