"""The raw RSNA 2022 cervical spine download: which slices are taken, and what is known of each.

`train_images/<StudyInstanceUID>/<slice>.dcm` · `train_bounding_boxes.csv` with x, y, width and
height in pixels of the slice · `train.csv` with `patient_overall`. Every slice with a box is taken,
and for each, split by split, a number of slices without. Only some fractured studies were given
boxes; in the others a slice without a box proves nothing. So negatives come from studies that are
healthy or have boxes, unless any are asked for, as in the published subset.
"""

import csv
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fracture_core import boxes
from fracture_core.conversion.options import Options
from fracture_core.datasets.findings import Finding
from fracture_core.datasets.images import open_still
from fracture_core.datasets.issues import counted, quoted
from fracture_core.datasets.layout import DEFAULT_SHARES, SPLITS, assign_splits, ranked_by
from fracture_core.datasets.rsna import ATTRIBUTES, CLASSES
from fracture_core.datasets.writing import Findings, Item, LeftOut, Source
from fracture_core.errors import DatasetError
from fracture_core.types import Sample

# ---- the two tables ------------------------------------------------------------------------------


BOXES, STUDIES = "train_bounding_boxes.csv", "train.csv"
_MAX_BYTES = 2**28
_SIDES = ("x", "y", "width", "height")

Boxes = Mapping[str, Mapping[int, list[Finding]]]


def read_boxes(path: Path) -> Boxes:
    """Returns findings in pixels of the slice by study and slice number; raises DatasetError."""
    found: dict[str, dict[int, list[Finding]]] = {}
    for place, row in _rows(path, ("StudyInstanceUID", *_SIDES, "slice_number")):
        xywh = np.array([[_number(row, side, place) for side in _SIDES]])
        number = _number(row, "slice_number", place)
        if not number.is_integer() or number < 0:
            found_text = quoted(row["slice_number"])
            raise DatasetError(place, expected="a whole 'slice_number'", found=found_text)
        finding = Finding(label=0, xyxy=boxes.xywh_to_xyxy(xywh)[0], place=place)
        found.setdefault(row["StudyInstanceUID"], {}).setdefault(int(number), []).append(finding)
    if not found:
        raise DatasetError(path, expected="a row for each box", found="no row")
    return found


def read_studies(path: Path) -> Mapping[str, bool]:
    """Returns whether the patient has a fracture, by study; raises DatasetError."""
    fractured = {}
    for place, row in _rows(path, ("StudyInstanceUID", "patient_overall")):
        value = _number(row, "patient_overall", place)
        if value not in (0, 1):
            text = quoted(row["patient_overall"])
            raise DatasetError(place, expected="'patient_overall' of 0 or 1", found=text)
        fractured[row["StudyInstanceUID"]] = value == 1
    return fractured


def _rows(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[str, dict[str, str]]]:
    if path.stat().st_size > _MAX_BYTES:
        raise DatasetError(path, expected=f"at most {_MAX_BYTES:,} bytes", found="more")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            absent = [name for name in columns if name not in (reader.fieldnames or ())]
            if absent:
                expected = f"the columns {', '.join(columns)}"
                raise DatasetError(path, expected=expected, found=f"no {', '.join(absent)}")
            for row in reader:
                # Short rows are filled with None, which no column of these tables may be.
                cells = {name: row[name] or "" for name in columns}
                yield f"{path.name} line {reader.line_num}", cells
    except (csv.Error, UnicodeDecodeError) as error:
        raise DatasetError(
            path, expected="a table of comma-separated values", found="another kind of file"
        ) from error


def _number(row: Mapping[str, str], name: str, place: str) -> float:
    try:
        value = float(row[name].replace("_", "?"))
    except ValueError as error:
        found = quoted(row[name])
        raise DatasetError(place, expected=f"a number as '{name}'", found=found) from error
    if not np.isfinite(value):
        raise DatasetError(place, expected=f"a number as '{name}'", found=quoted(row[name]))
    return value


# ---- slices --------------------------------------------------------------------------------------


IMAGES = "train_images"
DEFAULT_NEGATIVES = 3.0
_Slices = Mapping[str, Sequence[int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class DicomSlice:
    """One DICOM file, decoded once each time its sample is asked for."""

    path: Path
    name: str

    def sample(self) -> Sample:
        """Returns the slice with the attributes of the challenge; raises ImageError, and
        DatasetError for a stack.
        """
        (sample,) = open_still(self.path, self.name).samples()
        return replace(sample, attributes={**sample.attributes, **ATTRIBUTES})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Download:
    """`slices` are those on disk by study, rising, `others` the files that are none; `fractured`
    is what train.csv says.
    """

    folder: Path
    slices: _Slices
    others: int
    boxes: Boxes
    fractured: Mapping[str, bool]

    def boxed(self, study: str) -> set[int]:
        return set(self.boxes.get(study, {}))


def is_download(path: Path) -> bool:
    """Tells whether a folder is the raw download, or a part of it."""
    return (path / IMAGES).is_dir()


def read_download(folder: Path, options: Options) -> Source:
    """Returns the chosen slices with their splits; raises DatasetError for tables of no use."""
    download = _read(folder, options.any_negatives)
    kinds = {s: (s in download.boxes, download.fractured.get(s)) for s in download.slices}
    splits = assign_splits(kinds, options.shares or DEFAULT_SHARES, options.seed)
    candidates = _candidates(download, options.any_negatives)
    ratio = DEFAULT_NEGATIVES if options.negatives is None else options.negatives
    items: list[Item] = []
    notes = [*_issues(download, options.any_negatives)]
    for split in SPLITS:
        studies = [study for study in download.slices if splits[study] == split]
        positives = [
            f"{study}/{number}"
            for study in studies
            for number in download.slices[study]
            if number in download.boxed(study)
        ]
        pool = [f"{study}/{number}" for study in studies for number in candidates[study]]
        wanted = round(ratio * len(positives))
        chosen = {*positives, *ranked_by(pool, options.seed)[:wanted]}
        items += _items(download, studies, chosen, split)
        if wanted > len(pool):
            what = counted(wanted, "slice")
            notes.append(f"{split}: {what} without a box were asked for, all {len(pool):,} taken.")
    return Source(
        path=folder,
        found=_found(download),
        classes=CLASSES,
        items=items,
        notes=tuple(notes),
        left_out=tuple(_absent(download)),
    )


def _read(folder: Path, any_negatives: bool) -> _Download:
    for name in (BOXES, STUDIES):
        if not (folder / name).is_file() and not (name == STUDIES and any_negatives):
            raise DatasetError(
                folder, expected=f"{name} beside {IMAGES}, as downloaded", found="no such file"
            )
    slices, others = _list_slices(folder / IMAGES)
    if not slices:
        expected = "slices named <StudyInstanceUID>/<number>.dcm"
        raise DatasetError(folder / IMAGES, expected=expected, found="none")
    has_studies = (folder / STUDIES).is_file()
    return _Download(
        folder=folder,
        slices=slices,
        others=others,
        boxes=read_boxes(folder / BOXES),
        fractured=read_studies(folder / STUDIES) if has_studies else {},
    )


def _list_slices(images: Path) -> tuple[_Slices, int]:
    """Returns slices by study, and how many other files lie among them."""
    slices, others = {}, 0
    for study in sorted(each.name for each in images.iterdir()):
        if study.startswith(".") or not study.isprintable() or not (images / study).is_dir():
            continue
        with os.scandir(images / study) as entries:
            names = [entry.name for entry in entries if not entry.name.startswith(".")]
        numbers = sorted(_numbers(names))
        others += len(names) - len(numbers)
        if numbers:
            slices[study] = numbers
    return slices, others


def _numbers(names: Iterable[str]) -> Iterator[int]:
    for name in names:
        stem = name.removesuffix(".dcm")
        # "007.dcm" would be found here and not be opened as 7.
        if stem != name and stem.isdecimal() and str(int(stem)) == stem:
            yield int(stem)


def _candidates(download: _Download, any_negatives: bool) -> _Slices:
    """Returns the slices without a box that may count as "nothing there", by study."""
    candidates = {}
    for study, numbers in download.slices.items():
        is_sure = study in download.boxes or download.fractured.get(study) is False
        free = [number for number in numbers if number not in download.boxed(study)]
        candidates[study] = free if is_sure or any_negatives else []
    return candidates


def _items(
    download: _Download, studies: Sequence[str], chosen: set[str], split: str
) -> Iterator[Item]:
    for study in studies:
        for number in download.slices[study]:
            sample_id = f"{study}/{number}"
            if sample_id not in chosen:
                continue
            findings: Findings = tuple(download.boxes.get(study, {}).get(number, ()))
            path = download.folder / IMAGES / study / f"{number}.dcm"
            yield Item(
                opener=DicomSlice(path=path, name=sample_id),
                sample_id=sample_id,
                group_id=study,
                split=split,
                findings=findings,
                is_normalised=False,
                image_class=0 if findings else None,
            )


def _absent(download: _Download) -> Iterator[LeftOut]:
    for study, boxed in sorted(download.boxes.items()):
        there = set(download.slices.get(study, ()))
        for number in sorted(set(boxed) - there):
            reason = f"{study}/{number}: expected the slice its box is on, found no such file."
            yield LeftOut(sample_id=f"{study}/{number}", reason=reason)


def _issues(download: _Download, any_negatives: bool) -> Iterator[str]:
    fractured = [study for study, is_so in download.fractured.items() if is_so]
    unboxed = [s for s in fractured if s in download.slices and s not in download.boxes]
    healthy = [s for s in download.boxes if download.fractured.get(s) is False]
    untold = [s for s in download.slices if s not in download.fractured and s not in download.boxes]
    done = "may be among the slices without" if any_negatives else "give no slice"
    if download.others:
        yield f"Files that are not named <number>.dcm, left out: {download.others:,}."
    if unboxed:
        yield f"Fractured studies without any box {done}: {len(unboxed):,}."
    if untold:
        yield f"Studies that {STUDIES} does not list {done}: {len(untold):,}."
    if healthy:
        yield f"Studies called healthy that have boxes, boxes kept: {len(healthy):,}."


def _found(download: _Download) -> str:
    slices = sum(map(len, download.slices.values()))
    boxed = sum(len(set(n) & download.boxed(s)) for s, n in download.slices.items())
    studies = counted(len(download.slices), "study", "studies")
    return (
        f"Raw RSNA 2022 download: {counted(slices, 'DICOM slice')} in {studies}, "
        f"{boxed:,} of them with a box."
    )
