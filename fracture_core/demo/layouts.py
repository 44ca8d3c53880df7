"""Demo data sets on disk, in four formats that can be read back.

COCO: `train/ val/ test/` of 16-bit PNG files and a JSON file for each split in `annotations/`.

YOLO: `{train,valid,test}/{images,labels}` of 8-bit PNG files and a `data.yaml`. An image is named
`<group>.rf.<hash>.png`, the only way the format has to tell which images belong together. An image
without a finding has an empty label file.

HDF5: CT slices in the RSNA layout, see `datasets.hdf5`.

DICOM: radiographs as Digital X-Ray images (PS3.3 A.26), CT slices as one series (A.3). Every file
says that it is synthetic: in the patient's name, the comments and the manufacturer.
"""

import hashlib
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from fracture_core import importing
from fracture_core.attributes import SYNTHETIC_MAKER
from fracture_core.datasets.coco import add_image, as_objects, empty_file
from fracture_core.datasets.hdf5 import Slice, normed, write_rsna
from fracture_core.datasets.layout import SPLITS
from fracture_core.datasets.writing import findings_of, write_png
from fracture_core.datasets.yolo import FOLDERS, label_text, write_data_file
from fracture_core.demo.classes import CLASSES
from fracture_core.demo.ct import HU_OFFSET, SLICE_MM
from fracture_core.demo.samples import (
    CT_ATTRIBUTES,
    CT_SCALE,
    SLICES,
    demo_sample,
    demo_study,
    synthetic_uid,
)
from fracture_core.errors import ConfigError, DatasetError
from fracture_core.files import making_folder
from fracture_core.types import Detections, Pixels, Sample

# ---- PNG and HDF5 --------------------------------------------------------------------------------


def spread(pixels: Pixels) -> npt.NDArray[np.uint16]:
    """Returns 12-bit pixels (H, W) spread over the range of 16 bits, so that 4095 becomes 65,535.

    Example:
        >>> spread(np.array([[0, 4095]], dtype=np.uint16)).tolist()
        [[0, 65535]]
    """
    wide = pixels.astype(np.uint16)
    return np.asarray((wide << 4) | (wide >> 8), dtype=np.uint16)


def write_coco(samples: Iterable[Sample], classes: Sequence[str], folder: Path) -> None:
    """Writes a COCO data set with masks as run-length codes; `patient_id` is an image's group."""
    files = {split: empty_file(classes) for split in SPLITS}
    for split in SPLITS:
        (folder / split).mkdir(parents=True)
    for number, sample in enumerate(samples, start=1):
        name = f"{sample.sample_id.replace('/', '-')}.png"
        write_png(spread(sample.pixels), folder / sample.split / name)
        entry = {
            "id": number,
            "file_name": name,
            "height": sample.height,
            "width": sample.width,
            "patient_id": sample.group_id,
            "attributes": dict(sample.attributes),
        }
        found = findings_of(sample.ground_truth or Detections.empty())
        add_image(files[sample.split], entry, as_objects(found))
    (folder / "annotations").mkdir()
    for split, content in files.items():
        path = folder / "annotations" / f"{split}.json"
        path.write_text(json.dumps(content), encoding="utf-8")


def write_yolo_folder(
    samples: Iterable[Sample], classes: Sequence[str], folder: Path, *, outlines: bool
) -> None:
    """Writes a YOLO data set; a finding is a polygon where `outlines`, else a box."""
    for name in FOLDERS.values():
        (folder / name / "images").mkdir(parents=True)
        (folder / name / "labels").mkdir()
    for sample in samples:
        place = folder / FOLDERS[sample.split]
        stem = image_stem(sample)
        write_png(sample.shown(), place / "images" / f"{stem}.png")
        found = findings_of(sample.ground_truth or Detections.empty())
        if not outlines:
            found = tuple(replace(finding, outline=None) for finding in found)
        text = label_text(found, sample.height, sample.width)
        (place / "labels" / f"{stem}.txt").write_text(text, encoding="utf-8")
    write_data_file(folder, classes, FOLDERS)


def image_stem(sample: Sample) -> str:
    """Returns the stem of a sample's files, which begins with its group."""
    digest = hashlib.blake2b(sample.sample_id.encode(), digest_size=8).hexdigest()
    return f"{sample.group_id}.rf.{digest}"


def write_hdf5(samples: Iterable[Sample], path: Path, *, corners: bool) -> None:
    """Writes an HDF5 file in the RSNA layout; for `corners` see `write_rsna`."""
    write_rsna(map(_as_slice, samples), path, attributes=CT_ATTRIBUTES, corners=corners)


def _as_slice(sample: Sample) -> Slice:
    ground_truth = sample.ground_truth or Detections.empty()
    return Slice(
        image=normed(sample.pixels),
        xyxy=ground_truth.xyxy,
        fractured=len(ground_truth) > 0,
        split=sample.split,
        study=sample.group_id,
        number=sample.sample_id.rpartition("/")[2],
    )


# ---- DICOM ---------------------------------------------------------------------------------------


_DATE, _TIME = "20000101", "120000"
_COMMENT = "Synthetic image, no patient. Research use only."


def write_dicom(samples: Iterable[Sample], folder: Path) -> None:
    """Writes `radiographs/<id>.dcm`, and `ct/<slice>.dcm` for the slices of one study."""
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
    """Adds the sample's windows, whose function is DICOM's LINEAR_EXACT."""
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


# ---- whole data sets -----------------------------------------------------------------------------


Format = Literal["coco", "yolo", "hdf5", "dicom"]
FORMATS: tuple[str, ...] = get_args(Format)
MAX_COUNT = 100_000
SIDES_PX = (128, 4096)
Writer = Callable[[Iterable[Sample], Path], None]


def write_demo(
    folder: Path,
    *,
    count: int,
    seed: int = 0,
    format: str = "coco",  # noqa: A002
    size: tuple[int, int] | None = None,
    outlines: bool = True,
    corners: bool = False,
) -> Path:
    """Writes `count` radiographs, or CT studies for "hdf5"; "dicom" adds one CT series to them.

    `size` is (height, width) of the radiographs in pixels · `outlines` writes YOLO polygons in
    place of boxes · `corners` writes HDF5 boxes as xyxy padded with 0 in place of xywh padded with
    −1. The folder appears when it is complete. Raises DatasetError if there is something in it
    already, ConfigError for an unknown format or a count or size out of range.
    """
    writer = _writer(format, outlines=outlines, corners=corners)
    if not 1 <= count <= MAX_COUNT:
        raise ConfigError("count", expected=f"1 to {MAX_COUNT:,}", found=f"{count:,}")
    if size is not None and not all(SIDES_PX[0] <= side <= SIDES_PX[1] for side in size):
        found = f"{size[1]} × {size[0]} pixels"
        expected = f"sides of {SIDES_PX[0]} to {SIDES_PX[1]} pixels"
        raise ConfigError("size", expected=expected, found=found)
    samples = _studies(count, seed) if format == "hdf5" else _radiographs(count, seed, size)
    if format == "dicom":
        samples = _with_study(samples, seed)
    return _write_whole(folder, lambda part: writer(_shown(samples, format, count), part))


def _writer(format: str, *, outlines: bool, corners: bool) -> Writer:  # noqa: A002
    writers: dict[str, Writer] = {
        "coco": lambda samples, part: write_coco(samples, CLASSES, part),
        "yolo": lambda samples, part: write_yolo_folder(samples, CLASSES, part, outlines=outlines),
        "hdf5": lambda samples, part: write_hdf5(samples, part / "demo.h5", corners=corners),
        "dicom": write_dicom,
    }
    if format not in writers:
        raise ConfigError("format", expected=f"one of {', '.join(FORMATS)}", found=repr(format))
    return writers[format]


def _radiographs(count: int, seed: int, size: tuple[int, int] | None) -> Iterator[Sample]:
    return (demo_sample(seed, number, size=size) for number in range(count))


def _studies(count: int, seed: int) -> Iterator[Sample]:
    return (sample for number in range(count) for sample in demo_study(seed, number))


def _with_study(samples: Iterator[Sample], seed: int) -> Iterator[Sample]:
    yield from samples
    yield from demo_study(seed, 0)


def _shown(samples: Iterable[Sample], format: str, count: int) -> Iterable[Sample]:  # noqa: A002
    total = count * SLICES if format == "hdf5" else count + SLICES * (format == "dicom")
    # disable=None: a bar on a terminal, silence elsewhere.
    return tqdm(samples, total=total, unit="image", disable=None, file=sys.stderr)


def _write_whole(folder: Path, write: Callable[[Path], None]) -> Path:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        found = "files in it" if folder.is_dir() else "a file"
        raise DatasetError(
            folder,
            expected="a folder that is new or empty",
            found=found,
            advice="Nothing was written; choose another folder.",
        )
    with making_folder(folder) as part:
        write(part)
    return folder


def run(folder: Path, *, count: int, seed: int, format: str, size: str, boxes: bool) -> str:  # noqa: A002
    """Writes the set for `python -m fracture_core demo`; returns a sentence on what was written.

    `size` is "" or WIDTHxHEIGHT in pixels; raises ConfigError where it is neither.
    """
    written = write_demo(
        folder, count=count, seed=seed, format=format, size=_parse_size(size), outlines=not boxes
    )
    things = {"hdf5": "CT studies", "dicom": "radiographs and a CT series"}
    return f"{written}: {count:,} {things.get(format, 'radiographs')}, {format}, seed {seed}."


def _parse_size(text: str) -> tuple[int, int] | None:
    """Returns (height, width), or None for an empty text."""
    if not text:
        return None
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise ConfigError("size", expected="WIDTHxHEIGHT such as 640x768", found=repr(text))
    return int(height), int(width)
