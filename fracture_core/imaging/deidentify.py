"""De-identification: what is kept of a DICOM file, and a clean copy of it.

It goes by an allow list, stricter than the Basic Application Level Confidentiality Profile (PS3.15
Annex E): kept are the pixels and what is needed to show and measure them, as numbers and code
strings only. What is not listed is left out, and so are dates, names, free text, private elements,
overlays, icons, and code strings that hold free text. Manufacturer and model, which the profile
allows, are left out too, as nothing here needs them, except in this package's own synthetic files.
Explanations of windows stay where they are made of usual words alone. UIDs are replaced. The name
of the file is not part of the header and is left as it is.
"""

import copy
import hashlib
import hmac
import re
import secrets
import uuid
from functools import cache
from pathlib import Path

import numpy as np
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian

from fracture_core.attributes import SYNTHETIC_MAKER
from fracture_core.errors import ConfigError, ImageError, StorageError
from fracture_core.files import make_folder, write_once
from fracture_core.imaging.decoding import strictly
from fracture_core.imaging.dicom_frames import make_decodable
from fracture_core.imaging.header import Header
from fracture_core.settings import settings

CODES = (
    "Modality",
    "BodyPartExamined",
    "ViewPosition",
    "Laterality",
    "ImageLaterality",
    "PatientOrientation",
    "PresentationIntentType",
    "PhotometricInterpretation",
    "VOILUTFunction",
    "PresentationLUTShape",
    "BurnedInAnnotation",
    "LossyImageCompression",
    "LossyImageCompressionMethod",
)
NUMBERS = (
    "SamplesPerPixel",
    "PlanarConfiguration",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelPaddingValue",
    "PixelSpacing",
    "ImagerPixelSpacing",
    "PixelAspectRatio",
    "SliceThickness",
    "SpacingBetweenSlices",
    "InstanceNumber",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "WindowCenter",
    "WindowWidth",
    "RescaleSlope",
    "RescaleIntercept",
    "LossyImageCompressionRatio",
)
# Defined terms of RescaleType and ModalityLUTType (PS3.3 C.11.1.1.2), which are free text by type.
UNITS = ("OD", "HU", "US", "MGML", "Z_EFF", "ED", "EDW", "HU_MOD", "PCT")
UNIT_NAMES = ("RescaleType", "ModalityLUTType")
TABLES = (
    "LUTDescriptor",
    "LUTData",
    "RedPaletteColorLookupTableDescriptor",
    "GreenPaletteColorLookupTableDescriptor",
    "BluePaletteColorLookupTableDescriptor",
    "RedPaletteColorLookupTableData",
    "GreenPaletteColorLookupTableData",
    "BluePaletteColorLookupTableData",
    "SegmentedRedPaletteColorLookupTableData",
    "SegmentedGreenPaletteColorLookupTableData",
    "SegmentedBluePaletteColorLookupTableData",
)
SEQUENCES = (
    "ModalityLUTSequence",
    "VOILUTSequence",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    "PixelMeasuresSequence",
    "PlanePositionSequence",
    "PlaneOrientationSequence",
    "PixelValueTransformationSequence",
    "FrameVOILUTSequence",
)
UIDS = ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")

# Words that may stand in the explanation of a window; any other might be a name.
_USUAL = """
    ABDOMEN AIR ALGO ANGIO ANKLE ARM AUTO BASE BONE BONES BRAIN C CARDIAC CERVICAL CHEST
    CONTRAST CUSTOM DEFAULT DEFAULTS DETAIL EAR ELBOW EXTREMITY FACE FEMUR FINE FINGER FOOT
    FOREARM FULL HAND HARD HARDER HEAD HEART HIGH HIP HUMERUS INNER JOINT KIDNEY KNEE L LEG
    LIVER LOW LUMBAR LUNG MEDIASTINUM MEDIUM METAL NARROW NECK NORMAL OPPOSED ORTHO PELVIS
    POSTERIOR PRESET RANGE RIB RIBS SHARP SHOULDER SINUS SINUSES SKULL SMOOTH SOFT SOFTER
    SPINE SPLEEN STANDARD STERNUM STROKE SUBDURAL TEMPORAL THORAX TIBIA TISSUE USER VASCULAR
    VOI W WIDE WINDOW WINDOWING WL WRIST WW
"""
WINDOW_WORDS = frozenset(_USUAL.split())

_KEY_BYTES = 32


def remap(uid: str) -> str:
    """Replace a UID by another, always the same in one installation; there is no way back.

    It is a keyed hash (HMAC-SHA-256) in the form of a UUID-derived UID, `2.25.…` (PS3.5 B.2).
    Raises ConfigError where the key cannot be read.
    """
    digest = hmac.new(_key(), uid.strip("\0 ").encode(), hashlib.sha256).digest()
    return f"2.25.{uuid.UUID(bytes=digest[:16], version=4).int}"


def kept_tags(header: Header) -> dict[str, str]:
    """Return what is kept of the top level of a header by keyword, apart from tables and UIDs."""
    kept = {name: header.code(name) for name in CODES}
    kept |= {name: "\\".join(f"{n:.10g}" for n in header.numbers(name)) for name in NUMBERS}
    kept |= {name: unit(header, name) for name in UNIT_NAMES}
    kept["Manufacturer"] = SYNTHETIC_MAKER if header.text("Manufacturer") == SYNTHETIC_MAKER else ""
    return {name: value for name, value in kept.items() if value}


def unit(header: Header, keyword: str) -> str:
    """Return the unit of the modality where it is one of DICOM's defined terms, else ""."""
    term = header.text(keyword).upper()
    return term if term in UNITS else ""


def window_name(text: str) -> str:
    """Return the explanation of a window if it holds usual words and numbers alone, else ""."""
    words = re.findall(r"[^\W\d_]+", text.upper())
    return text if len(text) <= 64 and all(word in WINDOW_WORDS for word in words) else ""


def burned_in_warning(header: Header) -> str:
    """Return a sentence where the file does not rule out text in the pixels, else ""."""
    flag = header.code("BurnedInAnnotation")
    if flag == "NO":
        return ""
    if flag == "YES":
        return "The file says that text is burned into the image: it may name the patient."
    said = "is absent" if not header.text("BurnedInAnnotation") else "is neither YES nor NO"
    return f"Text may be burned into the image (BurnedInAnnotation {said}): look before sharing."


def deidentify(dataset: Dataset, *, pixels_are_clean: bool = False) -> Dataset:
    """Return a clean copy, ready to be saved.

    It is uncompressed, as a codestream can hold comments.
    `pixels_are_clean` says that someone looked and found no identity in the pixels; only then the
    Clean Pixel Data Option (113101) is claimed beside the Basic Profile (113100). Raises ImageError
    for pixel data that cannot be written uncompressed, and ConfigError as `remap` does.
    """
    with strictly():
        plain = _uncompressed(dataset)
        clean = _clean(Header(plain, []))
        clean.SOPClassUID = plain.SOPClassUID
        clean.PatientName = clean.PatientID = ""
        _copy_pixels(plain, clean)
        _claim(clean, pixels_are_clean)
        clean.file_meta = FileMetaDataset()
        clean.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        clean.file_meta.MediaStorageSOPClassUID = clean.SOPClassUID
        clean.file_meta.MediaStorageSOPInstanceUID = clean.get("SOPInstanceUID", UID("2.25.0"))
    return clean


def _uncompressed(dataset: Dataset) -> Dataset:
    plain = copy.deepcopy(dataset)
    syntax = UID(str(plain.file_meta.TransferSyntaxUID))
    expected = "a transfer syntax that can be written uncompressed"
    if syntax == ExplicitVRBigEndian:
        raise ImageError("DICOM data set", expected=expected, found=syntax.name)
    if not syntax.is_transfer_syntax or syntax.is_compressed:
        try:
            make_decodable(plain)
            plain.decompress()
        # Each decoder has errors of its own, down to plain RuntimeError.
        except Exception as error:
            found = f"{syntax.name} ({syntax})"
            raise ImageError("DICOM data set", expected=expected, found=found) from error
    return plain


def _clean(header: Header) -> Dataset:
    clean = Dataset()
    kept = [name for name in CODES if header.code(name)]
    kept += [name for name in NUMBERS if header.numbers(name)]
    kept += [name for name in UNIT_NAMES if unit(header, name)]
    kept += [name for name in TABLES if name in header.dataset]
    for name in kept:
        element = header.dataset[name]
        clean.add(DataElement(element.tag, element.VR, element.value))
    for name in UIDS:
        if header.text(name):
            setattr(clean, name, remap(header.text(name)))
    for name in SEQUENCES:
        if items := header.items(name):
            setattr(clean, name, Sequence([_clean(item) for item in items]))
    return clean


def _copy_pixels(plain: Dataset, clean: Dataset) -> None:
    for name in ("PhotometricInterpretation", "PlanarConfiguration"):
        if name in plain:
            setattr(clean, name, plain[name].value)
    for name in ("FloatPixelData", "DoubleFloatPixelData", "PixelData"):
        if name in plain:
            element = plain[name]
            clean.add(DataElement(element.tag, element.VR, element.value))
    _blank_unused_bits(clean)


def _blank_unused_bits(clean: Dataset) -> None:
    """Clears the bits above BitsStored, where older files keep overlays."""
    allocated, stored = int(clean.get("BitsAllocated", 0)), int(clean.get("BitsStored", 0))
    if allocated != 16 or not 0 < stored < 16 or clean.get("PixelRepresentation"):
        return
    words = np.frombuffer(clean.PixelData, dtype="<u2") & np.uint16(2**stored - 1)
    clean["PixelData"].value = words.astype("<u2").tobytes()


def _claim(clean: Dataset, pixels_are_clean: bool) -> None:
    clean.PatientIdentityRemoved = "YES"
    claims = [("113100", "Basic Application Confidentiality Profile")]
    if pixels_are_clean:
        clean.BurnedInAnnotation = "NO"
        claims.append(("113101", "Clean Pixel Data Option"))
    clean.DeidentificationMethodCodeSequence = Sequence([_code(*claim) for claim in claims])


def _code(value: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, "DCM", meaning
    return code


def _key() -> bytes:
    path = settings().home / "uid.key"
    try:
        if not path.exists():
            _create_key(path)
        key = path.read_bytes()
    except StorageError:
        if path.exists():
            raise
        # There is no key yet and no room for one: an image is not refused for that.
        return _new_key(path)
    except OSError as error:
        raise ConfigError(
            str(path),
            expected="a place for the secret that UIDs are replaced with",
            found=error.strerror or type(error).__name__,
            advice="Set FRACTURE_HOME to a folder that can be written.",
        ) from error
    if len(key) != _KEY_BYTES:
        raise ConfigError(
            str(path),
            expected=f"a secret of {_KEY_BYTES} bytes",
            found=f"{len(key)} bytes",
            advice="Put the right file back; a new one gives new UIDs to all files.",
        )
    return key


def passing_key_warning() -> str:
    """Return a sentence where the key of `remap` could not be kept on the disk, else ""."""
    _key()
    path = settings().home / "uid.key"
    if path.exists():
        return ""
    return (
        f"The secret that UIDs are replaced with could not be kept in {path.parent}: after a "
        "restart this file gets other UIDs, unless it can be written by then."
    )


@cache
def _new_key(path: Path) -> bytes:
    """A new key, the same until it can be written, so that the UIDs of one session agree."""
    return secrets.token_bytes(_KEY_BYTES)


def _create_key(path: Path) -> None:
    make_folder(path.parent)
    # Where two processes come at once, both go on with the key of the first.
    write_once(path, _new_key(path))
    # The key is on the disk now; where its file is deleted later, a new one is wanted.
    _new_key.cache_clear()
