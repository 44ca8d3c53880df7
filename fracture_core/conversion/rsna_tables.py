"""The two tables of the RSNA 2022 download, read and checked line by line."""

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from fracture_core import boxes
from fracture_core.datasets.findings import Finding
from fracture_core.datasets.tally import quoted
from fracture_core.errors import DatasetError

BOXES, STUDIES = "train_bounding_boxes.csv", "train.csv"
_MAX_BYTES = 2**28
_SIDES = ("x", "y", "width", "height")

Boxes = Mapping[str, Mapping[int, list[Finding]]]


def read_boxes(path: Path) -> Boxes:
    """Study → slice number → findings in pixels of the slice; raises DatasetError."""
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
    """Study → whether the patient has a fracture; raises DatasetError."""
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
