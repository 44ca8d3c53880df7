"""What of a DICOM file is kept: pixels, what is needed to show and measure them, and no identity.

An allow list, stricter than the Basic Application Level Confidentiality Profile (PS3.15 Annex E):
what is not listed is gone, so dates, names, free text, private elements, overlays and icons are.
Kept are numbers and code strings only; a code string that holds free text is dropped. Not kept
although the profile would allow it: manufacturer and model, as nothing here needs them, except
that of this package's own synthetic files.
Of the explanations of windows only those made of usual words stay. The file's own name is not part
of the header and is left as it is.
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
    """Another UID for this one: always the same within one installation, and no way back.

    A keyed hash (HMAC-SHA-256) in the form of a UUID-derived UID, `2.25.…` (PS3.5 B.2).
    """
    digest = hmac.new(_key(), uid.strip("\0 ").encode(), hashlib.sha256).digest()
    return f"2.25.{uuid.UUID(bytes=digest[:16], version=4).int}"


def kept_tags(header: Header) -> dict[str, str]:
    """Keyword → value of what is kept of the header's top level, apart from tables and UIDs."""
    kept = {name: header.code(name) for name in CODES}
    kept |= {name: "\\".join(f"{n:.10g}" for n in header.numbers(name)) for name in NUMBERS}
    kept |= {name: unit(header, name) for name in UNIT_NAMES}
    kept["Manufacturer"] = SYNTHETIC_MAKER if header.text("Manufacturer") == SYNTHETIC_MAKER else ""
    return {name: value for name, value in kept.items() if value}


def unit(header: Header, keyword: str) -> str:
    """The modality's unit, where it is one of DICOM's defined terms, else ""."""
    term = header.text(keyword).upper()
    return term if term in UNITS else ""


def window_name(text: str) -> str:
    """An explanation of a window if only usual words and numbers are in it, else ""."""
    words = re.findall(r"[^\W\d_]+", text.upper())
    return text if len(text) <= 64 and all(word in WINDOW_WORDS for word in words) else ""


def burned_in_warning(header: Header) -> str:
    """A sentence where the file does not rule out text in the pixels, else ""."""
    flag = header.code("BurnedInAnnotation")
    if flag == "NO":
        return ""
    if flag == "YES":
        return "The file says that text is burned into the image: it may name the patient."
    said = "is absent" if not header.text("BurnedInAnnotation") else "is neither YES nor NO"
    return f"Text may be burned into the image (BurnedInAnnotation {said}): look before sharing."


def deidentify(dataset: Dataset, *, pixels_are_clean: bool = False) -> Dataset:
    """A small clean dataset, uncompressed (a codestream can carry comments), ready to be saved.

    `pixels_are_clean` says that someone looked and found no identity in the pixels; only then the
    Clean Pixel Data Option (113101) is claimed beside the Basic Profile (113100).
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
    """Overlays once lived in the bits above BitsStored."""
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
        # An image is not refused because there is no key yet and no room for one.
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
    """What a reader is told where the secret could not be kept; "" where it was."""
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
    """Used until it can be written, and written then, so that the UIDs of a session agree."""
    return secrets.token_bytes(_KEY_BYTES)


def _create_key(path: Path) -> None:
    make_folder(path.parent)
    # Whoever comes second finds a whole key, and it is the first one's.
    write_once(path, _new_key(path))
    # Kept now: whoever deletes the file asks for another secret.
    _new_key.cache_clear()
