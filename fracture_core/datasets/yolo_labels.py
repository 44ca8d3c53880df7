"""YOLO label files: `class cx cy w h` or `class x1 y1 x2 y2 …` a line, in shares of the sides."""

from collections.abc import Mapping, Sequence

import numpy as np

from fracture_core import boxes
from fracture_core.datasets.findings import Finding
from fracture_core.datasets.tally import quoted
from fracture_core.errors import DatasetError

MAX_CLASSES = 10_000
MAX_LABEL_BYTES = 8 * 2**20
_LINE_FORM = "'class cx cy w h' or 'class x1 y1 x2 y2 x3 y3 …'"


def parse_label(
    content: bytes, name: str, classes: Mapping[int, int] | None
) -> tuple[Finding, ...]:
    """The objects a label file lists, in shares of the picture's sides.

    `classes` maps the numbers written to 0…K−1; None takes them as they are. Raises DatasetError
    that names the file and the line where a line is not of the format.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetError(name, expected="text in UTF-8", found="other bytes") from error
    lines = ((number, line.split()) for number, line in enumerate(text.split("\n"), start=1))
    return tuple(
        _finding(columns, f"{name} line {number}", classes) for number, columns in lines if columns
    )


def _finding(columns: Sequence[str], place: str, classes: Mapping[int, int] | None) -> Finding:
    count = len(columns)
    if count != 5 and (count < 7 or count % 2 == 0):
        raise DatasetError(place, expected=_LINE_FORM, found=f"{count} columns")
    label = _label(columns[0], place, classes)
    values = np.array([_number(column, place) for column in columns[1:]], dtype=np.float64)
    if count == 5:
        # Letters are refused above; sums of infinities become NaN and are counted as no number.
        with np.errstate(invalid="ignore", over="ignore"):
            return Finding(label=label, xyxy=boxes.cxcywh_to_xyxy(values[None])[0], place=place)
    ring = values.reshape(-1, 2)
    corners = np.concatenate([ring.min(axis=0), ring.max(axis=0)])
    return Finding(label=label, xyxy=corners, place=place, outline=(ring,))


def _label(text: str, place: str, classes: Mapping[int, int] | None) -> int:
    value = _number(text, place)
    if not value.is_integer() or not 0 <= value < MAX_CLASSES:
        raise DatasetError(place, expected="a class number", found=quoted(text))
    if classes is None:
        return int(value)
    if int(value) not in classes:
        known = f"{min(classes)} to {max(classes)}" if classes else "none"
        raise DatasetError(place, expected=f"a class from {known}", found=quoted(text))
    return classes[int(value)]


def _number(text: str, place: str) -> float:
    try:
        # Python reads 1_000 as a number, YOLO does not.
        return float(text.replace("_", "?"))
    except ValueError as error:
        raise DatasetError(place, expected="numbers", found=quoted(text)) from error
