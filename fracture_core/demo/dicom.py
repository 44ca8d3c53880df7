"""DICOM: radiographs as Digital X-Ray images (PS3.3 A.26), CT slices as one series (A.3).

Every file says that it is synthetic: in the patient's name, the comments and the image type.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from fracture_core import importing
from fracture_core.attributes import SYNTHETIC_MAKER
from fracture_core.demo.ct import HU_OFFSET, SLICE_MM
from fracture_core.demo.samples import CT_SCALE, synthetic_uid
from fracture_core.types import Sample

_DATE, _TIME = "20000101", "120000"
_COMMENT = "Synthetic image, no patient. Research use only."


def write(samples: Iterable[Sample], folder: Path) -> None:
    """`radiographs/<id>.dcm` and `ct/<slice>.dcm`, the slices of one study."""
    for sample in samples:
        is_ct = sample.scale == CT_SCALE
        path = folder / "radiographs" / f"{sample.sample_id}.dcm"
        if is_ct:
            number = int(sample.sample_id.rpartition("/")[2])
            path = folder / "ct" / f"{number + 1:03d}.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        dataset = _ct_slice(sample) if is_ct else _radiograph(sample)
        dataset.save_as(path, enforce_file_format=True)


def _radiograph(sample: Sample) -> Any:
    with importing.LOCK:
        from pydicom.dataset import Dataset
        from pydicom.uid import DigitalXRayImageStorageForPresentation

    dataset = _common(sample, DigitalXRayImageStorageForPresentation, "DX", sample.group_id)
    dataset.ImageType = ["DERIVED", "PRIMARY", ""]
    dataset.PresentationIntentType = "FOR PRESENTATION"
    dataset.SeriesInstanceUID = synthetic_uid("series", sample.sample_id)
    dataset.SeriesNumber = dataset.InstanceNumber = 1
    dataset.ImagerPixelSpacing = dataset.PixelSpacing = _spacing(sample)
    dataset.PixelIntensityRelationship = "LOG"
    dataset.PixelIntensityRelationshipSign = -1
    dataset.PresentationLUTShape = "IDENTITY"
    dataset.LossyImageCompression = "00"
    dataset.DetectorType = "SCINTILLATOR"
    dataset.BodyPartExamined = sample.attributes["body part"].upper()
    dataset.ViewPosition = "AP"
    dataset.PatientOrientation = ["", ""]
    dataset.ImageLaterality = "U"
    dataset.AcquisitionContextSequence = []
    dataset.AnatomicRegionSequence = [_code(Dataset(), "66019005", "SCT", "Extremity")]
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = "0", "1", "US"
    _add_windows(dataset, sample, offset=0)
    _add_pixels(dataset, sample.pixels.astype(np.uint16), signed=False)
    return dataset


def _ct_slice(sample: Sample) -> Any:
    with importing.LOCK:
        from pydicom.uid import CTImageStorage

    number = int(sample.sample_id.rpartition("/")[2])
    dataset = _common(sample, CTImageStorage, "CT", sample.group_id)
    dataset.ImageType = ["DERIVED", "PRIMARY", "AXIAL"]
    dataset.StudyInstanceUID = sample.group_id
    dataset.SeriesInstanceUID = synthetic_uid("series", sample.group_id)
    dataset.FrameOfReferenceUID = synthetic_uid("frame", sample.group_id)
    dataset.PositionReferenceIndicator = ""
    dataset.SeriesNumber, dataset.InstanceNumber = 1, number + 1
    row_mm, column_mm = _spacing(sample)
    dataset.PixelSpacing = [row_mm, column_mm]
    dataset.SliceThickness = f"{SLICE_MM:g}"
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    half = [-(sample.width - 1) / 2 * float(column_mm), -(sample.height - 1) / 2 * float(row_mm)]
    # Slices run from head to foot, and z grows towards the head.
    place = [*half, -number * SLICE_MM]
    dataset.ImagePositionPatient = [f"{value:.4f}" for value in place]
    dataset.PatientPosition = "HFS"
    dataset.KVP = "120"
    dataset.AcquisitionNumber = 1
    dataset.BodyPartExamined = "CSPINE"
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = "0", "1", "HU"
    _add_windows(dataset, sample, offset=HU_OFFSET)
    hounsfield = sample.pixels.astype(np.int32) + HU_OFFSET
    _add_pixels(dataset, hounsfield.astype(np.int16), signed=True)
    return dataset


def _common(sample: Sample, sop_class: str, modality: str, group: str) -> Any:
    with importing.LOCK:
        from pydicom.dataset import Dataset, FileMetaDataset
        from pydicom.uid import UID, ExplicitVRLittleEndian

    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.ImplementationClassUID = UID(synthetic_uid("implementation"))
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = UID(sop_class)
    image = UID(synthetic_uid("image", sample.sample_id))
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = image
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientName = "Synthetic^Demo"
    dataset.PatientID = f"SYNTHETIC-{group[-24:]}"
    dataset.PatientBirthDate, dataset.PatientSex = "", "O"
    dataset.PatientComments = dataset.ImageComments = _COMMENT
    dataset.Manufacturer = SYNTHETIC_MAKER
    dataset.StudyInstanceUID = synthetic_uid("study", group)
    dataset.StudyID, dataset.AccessionNumber, dataset.ReferringPhysicianName = "1", "", ""
    dataset.StudyDate = dataset.ContentDate = dataset.AcquisitionDate = _DATE
    dataset.StudyTime = dataset.ContentTime = dataset.AcquisitionTime = _TIME
    dataset.Modality = modality
    dataset.BurnedInAnnotation = "NO"
    dataset.Laterality = ""
    return dataset


def _spacing(sample: Sample) -> list[str]:
    row_mm, column_mm = sample.spacing_mm or (1.0, 1.0)
    return [f"{row_mm:.6f}", f"{column_mm:.6f}"]


def _add_windows(dataset: Any, sample: Sample, *, offset: int) -> None:
    """DICOM's LINEAR_EXACT is the function of the sample's own windows."""
    dataset.WindowCenter = [f"{window.center + offset:g}" for window in sample.windows]
    dataset.WindowWidth = [f"{window.width:g}" for window in sample.windows]
    dataset.WindowCenterWidthExplanation = [window.name for window in sample.windows]
    dataset.VOILUTFunction = "LINEAR_EXACT"


def _add_pixels(dataset: Any, pixels: Any, *, signed: bool) -> None:
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.BitsAllocated = 16
    dataset.BitsStored = 16 if signed else 12
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(signed)
    dataset.PixelData = pixels.tobytes()


def _code(dataset: Any, value: str, scheme: str, meaning: str) -> Any:
    dataset.CodeValue, dataset.CodingSchemeDesignator = value, scheme
    dataset.CodeMeaning = meaning
    return dataset
