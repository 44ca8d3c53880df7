"""The RSNA 2022 cervical spine subset: CT slices, boxes, labels and splits in one HDF5 file, read.

`images` (N, H, W) float32 in [0, 1] · `bboxes` (N, M, 4) · `labels` (N,) 0 healthy, 1 fracture ·
`split` (N,) 0 train, 1 val, 2 test · `StudyInstanceUID`, `SliceNumber` (N,) texts. Two conventions
for boxes are in use, and the values tell which (see `read_box_rows`).

Slices become uint16, v × 65,535. A slice is named study/slice, its group is the study. A slice
called healthy is a ground truth without boxes; one called fracture without a box is unknown. All
are CT slices of the cervical spine, unless the file's own attribute `attributes`, a JSON object,
says otherwise: files converted from other images carry it.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from fracture_core.attributes import in_words
from fracture_core.datasets import issues
from fracture_core.datasets.findings import Finding, gt_of, keep_usable
from fracture_core.datasets.hdf5 import (
    check_storage,
    find_array,
    has_checksums,
    open_hdf5,
    read_numbers,
    read_texts,
)
from fracture_core.datasets.issues import IssueLog, counted
from fracture_core.datasets.layout import SPLITS
from fracture_core.datasets.records import RecordedDataset, warn_of_issues
from fracture_core.errors import DatasetError
from fracture_core.settings import settings
from fracture_core.types import Pixels, Sample

# ---- boxes ---------------------------------------------------------------------------------------


_Floats = npt.NDArray[np.float64]
_Bools = npt.NDArray[np.bool_]
_XYWH = "x, y, width, height with unused rows of −1"
_XYXY = "x1, y1, x2, y2 with unused rows of 0"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BoxRows:
    """The boxes of all slices. `xyxy` (N, M, 4) float64 corners in pixels · `used` (N, M) marks the
    rows that hold a box · `convention` is in words.
    """

    xyxy: _Floats
    used: _Bools
    convention: str


def read_box_rows(bboxes: _Floats, height: int, width: int, path: Path) -> BoxRows:
    """Returns rows (N, M, 4) as written as corners; raises DatasetError where they fit no
    convention.

    Unused rows of −1 or 0 name the convention, and the boxes have to agree: a file is refused where
    the other convention fits more boxes, or where more than half of the boxes are invalid. Without
    unused rows the boxes alone decide, and must fit exactly one convention.
    """
    is_minus, is_zero = (bboxes == -1).all(axis=2), (bboxes == 0).all(axis=2)
    used = ~(is_minus | is_zero)
    corners = {_XYWH: _with_far_corner(bboxes), _XYXY: bboxes}
    misfits = {
        words: int((~_fits(xyxy[used], height, width)).sum()) for words, xyxy in corners.items()
    }
    convention = _choose(bool(is_minus.any()), bool(is_zero.any()), int(used.sum()), misfits)
    if convention is None:
        padding = " and ".join(
            word for word, there in (("−1", is_minus.any()), ("0", is_zero.any())) if there
        )
        raise DatasetError(
            path,
            expected=f"'bboxes' as {_XYWH}, or as {_XYXY}",
            found=(
                f"{used.sum():,} boxes, unused rows of {padding or 'neither'}, "
                f"{misfits[_XYWH]:,} boxes that make no sense the first way "
                f"and {misfits[_XYXY]:,} the second"
            ),
        )
    return BoxRows(xyxy=corners[convention], used=used, convention=convention)


def _choose(minus: bool, zero: bool, boxes: int, misfits: dict[str, int]) -> str | None:
    if minus and zero:
        return None
    if minus or zero:
        named, other = (_XYWH, _XYXY) if minus else (_XYXY, _XYWH)
        is_sound = misfits[named] <= misfits[other] and 2 * misfits[named] <= boxes
        return named if is_sound else None
    fitting = [words for words, count in misfits.items() if count == 0]
    return fitting[0] if len(fitting) == 1 else None


def _with_far_corner(xywh: _Floats) -> _Floats:
    return np.concatenate([xywh[..., :2], xywh[..., :2] + xywh[..., 2:]], axis=2)


def _fits(xyxy: _Floats, height: int, width: int) -> _Bools:
    """Tells of each box (K,) whether it has an area and lies in the image, a pixel of rounding
    allowed.
    """
    starts, ends = xyxy[:, :2], xyxy[:, 2:]
    limits = np.array([width, height]) + 1.0
    fits: _Bools = np.all((starts < ends) & (starts >= -1.0) & (ends <= limits), axis=1)
    return fits


# ---- slices --------------------------------------------------------------------------------------


CLASSES = ("fracture",)
ATTRIBUTES: Mapping[str, str] = {"modality": "CT", "body part": "cervical spine", "view": "axial"}
"""What is known of every slice of the challenge."""
SUFFIXES = frozenset({".h5", ".hdf5"})
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
MAX_ROWS = 10_000_000
NO_CHECKSUMS = " It holds no checksums for its values: one that was changed cannot be noticed."
# The chunks of the published files hold as many rows.
_BLOCK_ROWS = 32
_MAX_BLOCK_PIXELS = 2**24


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceRecord:
    """One row of the file; `findings` None = unknown."""

    path: Path
    row: int
    height: int
    width: int
    sample_id: str
    group_id: str
    split: str
    is_fractured: bool
    findings: tuple[Finding, ...] | None
    attributes: Mapping[str, str] = field(default_factory=dict)

    @property
    def findings_size(self) -> tuple[float, float]:
        """Returns the image's height and width in the unit of the findings, which is pixels."""
        return self.height, self.width

    def with_attributes(self, attributes: Mapping[str, str]) -> Self:
        """Returns the same record with other attributes."""
        return replace(self, attributes=attributes)

    def sample(self) -> Sample:
        """Returns the sample; its pixels are read from the file when they are asked for."""
        ground_truth = None
        if self.findings is not None:
            ground_truth = gt_of(self.findings, self.height, self.width, is_normalised=False)
        return Sample(
            sample_id=self.sample_id,
            group_id=self.group_id,
            height=self.height,
            width=self.width,
            read=partial(_read_slice, self.path, self.row),
            ground_truth=ground_truth,
            image_class=0 if self.is_fractured else None,
            split=self.split,
            attributes=self.attributes,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Columns:
    has_checksums: bool
    height: int
    width: int
    boxes: BoxRows
    labels: npt.NDArray[np.int64]
    splits: npt.NDArray[np.int64]
    studies: list[str]
    slices: list[str]
    attributes: Mapping[str, str]


def looks_like_rsna(path: Path) -> bool:
    """Tells whether a path is an HDF5 file, by name or first bytes, or a folder that holds one."""
    if path.is_dir():
        return bool(_hdf5_files(path))
    with path.open("rb") as file:
        return path.suffix.lower() in SUFFIXES or file.read(8) == _SIGNATURE


def open_rsna(path: Path) -> RecordedDataset:
    """Opens the file, or the only one of a folder, as a data set.

    Raises DatasetError, which names the key, what was expected and what was found.
    """
    if path.is_dir():
        path = _only_file(path)
    with open_hdf5(path) as file:
        columns = _read_columns(file, path)
    issue_log = IssueLog()
    records = {record.sample_id: record for record in _records(columns, path, issue_log)}
    warn_of_issues(records, CLASSES, issue_log)
    return RecordedDataset(
        name=path.stem,
        path=path,
        format="hdf5",
        stacked=True,
        classes=CLASSES,
        records=records,
        found=_describe(columns, records),
        warnings=issue_log.sentences(),
        issues=issue_log.issues(),
    )


def _hdf5_files(folder: Path) -> list[Path]:
    return sorted(each for each in folder.iterdir() if each.suffix.lower() in SUFFIXES)


def _only_file(folder: Path) -> Path:
    paths = _hdf5_files(folder)
    if len(paths) != 1:
        names = ", ".join(path.name for path in paths) or "none"
        advice = "Name the file itself."
        raise DatasetError(folder, expected="one HDF5 file", found=names, advice=advice)
    return paths[0]


def _describe(columns: _Columns, records: Mapping[str, SliceRecord]) -> str:
    findings = sum(len(record.findings or ()) for record in records.values())
    studies = len({record.group_id for record in records.values()})
    size = f"{columns.width} × {columns.height} pixels"
    return (
        f"RSNA HDF5 file: {counted(len(records), 'slice')} of {size} "
        f"in {counted(studies, 'study', 'studies')}, {counted(findings, 'finding')}; "
        f"boxes are {columns.boxes.convention}." + ("" if columns.has_checksums else NO_CHECKSUMS)
    )


def _read_columns(file: Any, path: Path) -> _Columns:
    images = _find_images(file, path)
    rows, height, width = images.shape
    arrays = {
        "bboxes": find_array(file, path, "bboxes", ndim=3, kinds="f"),
        "labels": find_array(file, path, "labels", ndim=1, kinds="iu"),
        "split": find_array(file, path, "split", ndim=1, kinds="iu"),
        "StudyInstanceUID": find_array(file, path, "StudyInstanceUID", ndim=1, kinds="OS"),
        "SliceNumber": find_array(file, path, "SliceNumber", ndim=1, kinds="OSiu"),
    }
    for key, array in arrays.items():
        expected = (rows, *array.shape[1:2], 4) if key == "bboxes" else (rows,)
        if array.shape != expected:
            raise DatasetError(
                path, expected=f"'{key}' of shape {expected}", found=f"{array.shape}"
            )
    check_storage({"images": images, **arrays}, file, path)
    boxes = read_numbers(arrays["bboxes"], path).astype(np.float64)
    return _Columns(
        has_checksums=all(map(has_checksums, [images, *arrays.values()])),
        height=height,
        width=width,
        boxes=read_box_rows(boxes, height, width, path),
        labels=_read_codes(arrays["labels"], 2, path),
        splits=_read_codes(arrays["split"], len(SPLITS), path),
        studies=read_texts(arrays["StudyInstanceUID"], path),
        slices=read_texts(arrays["SliceNumber"], path),
        attributes=_read_attributes(file, path),
    )


def _read_attributes(file: Any, path: Path) -> Mapping[str, str]:
    if "attributes" not in file.attrs:
        return ATTRIBUTES
    try:
        told = json.loads(file.attrs["attributes"])
        return in_words({str(name): str(value) for name, value in told.items()})
    except (ValueError, TypeError, AttributeError) as error:
        raise DatasetError(
            path, expected="the attribute 'attributes' to be a JSON object", found="something else"
        ) from error


def _find_images(file: Any, path: Path) -> Any:
    images = find_array(file, path, "images", ndim=3, kinds="f")
    rows, height, width = images.shape
    if images.dtype.itemsize != 4:
        raise DatasetError(path, expected="'images' of float32", found=f"{images.dtype}")
    if not 0 < rows <= MAX_ROWS or not 0 < height * width <= settings().max_pixels:
        raise DatasetError(
            path,
            expected=(
                f"'images' with 1 to {MAX_ROWS:,} slices "
                f"of 1 to {settings().max_pixels:,} pixels each"
            ),
            found=f"shape {images.shape}",
        )
    return images


def _read_codes(array: Any, count: int, path: Path) -> npt.NDArray[np.int64]:
    codes = read_numbers(array, path).astype(np.int64)
    strange = np.flatnonzero((codes < 0) | (codes >= count))
    if len(strange):
        raise DatasetError(
            path,
            expected=f"'{array.name[1:]}' from 0 to {count - 1}",
            found=f"{codes[strange[0]]} in row {strange[0]}",
        )
    return codes


def _records(columns: _Columns, path: Path, issue_log: IssueLog) -> Iterator[SliceRecord]:
    seen = set()
    for row, (study, number) in enumerate(zip(columns.studies, columns.slices, strict=True)):
        sample_id = f"{study}/{number}"
        if sample_id in seen:
            issue_log.add("Rows that repeat a slice, left out", f"row {row}, {sample_id}")
            continue
        seen.add(sample_id)
        yield SliceRecord(
            path=path,
            row=row,
            height=columns.height,
            width=columns.width,
            sample_id=sample_id,
            group_id=study,
            split=SPLITS[columns.splits[row]],
            is_fractured=bool(columns.labels[row]),
            findings=_findings(columns, row, sample_id, issue_log),
            attributes=columns.attributes,
        )


def _findings(
    columns: _Columns, row: int, sample_id: str, issue_log: IssueLog
) -> tuple[Finding, ...] | None:
    corners = columns.boxes.xyxy[row][columns.boxes.used[row]]
    listed = [Finding(label=0, xyxy=xyxy, place=f"row {row}") for xyxy in corners]
    if listed and not columns.labels[row]:
        issue_log.add(issues.HEALTHY_WITH_BOX, f"row {row}", sample_id)
    if columns.labels[row] and not listed:
        issue_log.add(issues.FRACTURE_WITHOUT_BOX, f"row {row}", sample_id)
        return None
    return keep_usable(listed, columns.height, columns.width, issue_log, sample_id)


def read_slices(path: Path, rows: Sequence[int]) -> Iterator[Pixels]:
    """Yields (H, W) uint16 for each row, with the file opened once and read in blocks.

    `rows` must rise. Raises DatasetError where values are not in [0, 1].
    """
    with open_hdf5(path) as file:
        images = _find_images(file, path)
        _, height, width = images.shape
        block_rows = max(1, min(_BLOCK_ROWS, _MAX_BLOCK_PIXELS // (height * width)))
        for _, group in groupby(rows, key=lambda row: row // block_rows):
            block = list(group)
            values = np.asarray(images[block[0] : block[-1] + 1])
            yield from (_to_pixels(values[row - block[0]], path, row) for row in block)


def _read_slice(path: Path, row: int) -> Pixels:
    [pixels] = read_slices(path, [row])
    return pixels


def _to_pixels(values: npt.NDArray[np.float32], path: Path, row: int) -> Pixels:
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= 1):
        raise DatasetError(
            path, expected=f"'images' row {row} in [0, 1]", found=f"values from {low} to {high}"
        )
    return np.rint(values.astype(np.float64) * 65_535).astype(np.uint16)
