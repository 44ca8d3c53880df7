"""Small DICOM files made on the fly."""

import io
from typing import Any

import numpy as np
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    CTImageStorage,
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
)

STUDY, SERIES = "1.2.3.4", "1.2.3.4.5"


def ramp(height: int = 16, width: int = 16, top: int = 4095, dtype: str = "uint16") -> np.ndarray:
    """(H, W) from 0 to `top`, row by row."""
    return np.linspace(0, top, height * width).round().astype(dtype).reshape(height, width)


def dataset(pixels: np.ndarray, *, bits: int | None = None, **elements: Any) -> Dataset:
    """A dataset around (H, W), (F, H, W) or (F, H, W, 3) numbers; `elements` are added last."""
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.SOPClassUID = ComputedRadiographyImageStorage
    made.SOPInstanceUID, made.StudyInstanceUID, made.SeriesInstanceUID = "1.2.3", STUDY, SERIES
    made.Modality, made.BurnedInAnnotation = "CR", "NO"
    colour = pixels.ndim == 4
    stack = pixels if pixels.ndim > 2 else pixels[None]
    made.Rows, made.Columns = stack.shape[1:3]
    if len(stack) > 1:
        made.NumberOfFrames = len(stack)
    made.SamplesPerPixel = 3 if colour else 1
    made.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        made.PlanarConfiguration = 0
    made.BitsAllocated = 8 * pixels.dtype.itemsize
    made.BitsStored = bits or made.BitsAllocated
    made.HighBit = made.BitsStored - 1
    made.PixelRepresentation = int(pixels.dtype.kind == "i")
    raw = stack.tobytes()
    made.PixelData = raw + b"\0" * (len(raw) % 2)
    made["PixelData"].VR = "OB" if made.BitsAllocated == 8 else "OW"
    for keyword, value in elements.items():
        setattr(made, keyword, value)
    return made


def as_file(made: Dataset, syntax: UID = ExplicitVRLittleEndian, *, preamble: bool = True) -> bytes:
    """The dataset as a file's bytes."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    meta.MediaStorageSOPClassUID = made.SOPClassUID
    meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    made.file_meta = meta
    buffer = io.BytesIO()
    if preamble:
        dcmwrite(buffer, made, enforce_file_format=True)
    else:
        del made.file_meta
        dcmwrite(
            buffer,
            made,
            implicit_vr=syntax.is_implicit_VR,
            little_endian=syntax.is_little_endian,
            force_encoding=True,
        )
    return buffer.getvalue()


def dicom(pixels: np.ndarray, *, bits: int | None = None, **elements: Any) -> bytes:
    """Straight to the bytes of a file."""
    return as_file(dataset(pixels, bits=bits, **elements))


def table(first: int, outputs: list[int], bits: int, **elements: Any) -> Sequence:
    """A modality or VOI LUT sequence of one item."""
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if first < 0 else "US", [len(outputs), first, bits])
    item.add_new("LUTData", "US", outputs)
    for keyword, value in elements.items():
        setattr(item, keyword, value)
    return Sequence([item])


def slice_of_ct(z: float, number: int, pixels: np.ndarray | None = None, **elements: Any) -> bytes:
    """One axial slice; its pixels all hold `number` unless given."""
    given = np.full((8, 8), number, dtype=np.uint16) if pixels is None else pixels
    made = dataset(given, bits=12 if given.dtype.kind == "u" else None)
    made.SOPClassUID, made.Modality = CTImageStorage, "CT"
    made.SOPInstanceUID = f"1.2.3.{number}"
    made.InstanceNumber = number
    made.ImagePositionPatient = [-10, -20, z]
    made.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    made.PixelSpacing = [0.5, 0.25]
    made.RescaleSlope, made.RescaleIntercept = 1, -1024
    made.WindowCenter, made.WindowWidth = 400, 1800
    for keyword, value in elements.items():
        if value is None:
            delattr(made, keyword)
        else:
            setattr(made, keyword, value)
    return as_file(made)


def item(**elements: Any) -> Dataset:
    """One item of a sequence."""
    made = Dataset()
    for keyword, value in elements.items():
        setattr(made, keyword, value)
    return made


def enhanced_ct(places: list[float], slopes: list[float], intercepts: list[float]) -> bytes:
    """A multi-frame CT whose frame i holds i + 1 everywhere, with groups for each frame."""
    count = len(places)
    stack = np.stack([np.full((8, 8), i + 1, dtype=np.uint16) for i in range(count)])
    made = dataset(stack, bits=12, Modality="CT", SOPClassUID=EnhancedCTImageStorage)
    shared = item(
        PixelMeasuresSequence=Sequence([item(PixelSpacing=[0.7, 0.6])]),
        PlaneOrientationSequence=Sequence([item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])]),
        FrameVOILUTSequence=Sequence([item(WindowCenter=40, WindowWidth=400)]),
    )
    frames = [
        item(
            PlanePositionSequence=Sequence([item(ImagePositionPatient=[0, 0, place])]),
            PixelValueTransformationSequence=Sequence(
                [item(RescaleSlope=slope, RescaleIntercept=intercept, RescaleType="HU")]
            ),
        )
        for place, slope, intercept in zip(places, slopes, intercepts, strict=True)
    ]
    made.SharedFunctionalGroupsSequence = Sequence([shared])
    made.PerFrameFunctionalGroupsSequence = Sequence(frames)
    return as_file(made)
