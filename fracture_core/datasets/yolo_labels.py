"""The files of a YOLO data set: label files, `data.yaml`, and the one polygon that YOLO has for a
mask.

A label file has a line `class cx cy w h` or `class x1 y1 x2 y2 …` for each object, normalised to
the image's sides. A `data.yaml` names the classes and the folders of each split. Only folders
inside the folder of that file are used: a `path` that leads elsewhere is not followed, as it is
that of the machine the file was written on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from fracture_core import boxes, importing
from fracture_core.datasets.findings import Finding
from fracture_core.datasets.issues import IssueLog, quoted
from fracture_core.datasets.layout import SPLIT_NAMES, Folders
from fracture_core.errors import DatasetError

# ---- label files ---------------------------------------------------------------------------------


MAX_CLASSES = 10_000
MAX_LABEL_BYTES = 8 * 2**20
_LINE_FORM = "'class cx cy w h' or 'class x1 y1 x2 y2 x3 y3 …'"


def parse_label(
    content: bytes, name: str, classes: Mapping[int, int] | None
) -> tuple[Finding, ...]:
    """Returns the objects that a label file lists, in shares of the image's sides.

    `classes` maps the numbers written to 0…K−1; None takes them as they are. Raises DatasetError,
    which names the file and the line, where a line is not of the format.

    Example:
        >>> parse_label(b"0 0.5 0.5 0.25 0.5", "a.txt", None)[0].xyxy.tolist()
        [0.375, 0.25, 0.625, 0.75]
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
        # A sum of infinities is NaN, which `keep_usable` leaves out later as no number.
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
        # Python reads 1_000 as a number; YOLO does not.
        return float(text.replace("_", "?"))
    except ValueError as error:
        raise DatasetError(place, expected="numbers", found=quoted(text)) from error


# ---- data.yaml -----------------------------------------------------------------------------------


DATA_FILES = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
_MAX_BYTES = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFile:
    """What a data.yaml says. `numbers` maps a class number as written to 0…K−1 · `places` are pairs
    of a split and a folder that exists.
    """

    path: Path
    classes: tuple[str, ...]
    numbers: Mapping[int, int]
    places: tuple[tuple[str, Path], ...]


def read_data_file(path: Path, folders: Folders, issue_log: IssueLog) -> DataFile:
    """Reads a data.yaml; raises DatasetError where it is invalid or a split leads out of its
    folder.
    """
    data = _load(path, folders)
    names = _names(data.get("names"), path)
    count = data.get("nc", len(names))
    if count != len(names):
        issue_log.add(
            f"Class count (nc) in {path.name}, expected {len(names)} as names", quoted(count)
        )
    return DataFile(
        path=path,
        classes=tuple(names[number] for number in sorted(names)),
        numbers={number: place for place, number in enumerate(sorted(names))},
        places=tuple(_places(data, path, folders, issue_log)),
    )


def _load(path: Path, folders: Folders) -> Mapping[object, object]:
    size = folders.files(path.parent)[path.name]
    if size > _MAX_BYTES:
        raise DatasetError(path, expected=f"at most {_MAX_BYTES:,} bytes", found=f"{size:,}")
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise DatasetError(
            path, expected="a YAML file with class names", found="no valid YAML"
        ) from error
    if not isinstance(data, dict):
        raise DatasetError(path, expected="'names' and folders", found=f"{type(data).__name__}")
    return data


def _names(names: Any, path: Path) -> Mapping[int, str]:
    listed = dict(enumerate(names)) if isinstance(names, list) else names
    is_listed = isinstance(listed, dict) and 0 < len(listed) <= MAX_CLASSES
    if is_listed and all(_is_class(*each) for each in listed.items()):
        return {number: str(name) for number, name in listed.items()}
    raise DatasetError(
        path,
        expected="'names', a list of class names or numbers with a name each",
        found=quoted(names),
    )


def _is_class(number: object, name: object) -> bool:
    if isinstance(number, bool) or not isinstance(number, int):
        return False
    is_name = isinstance(name, str | int | float) and str(name).isprintable()
    return 0 <= number < MAX_CLASSES and is_name


def _places(
    data: Mapping[object, object], path: Path, folders: Folders, issue_log: IssueLog
) -> list[tuple[str, Path]]:
    base = _base(data.get("path"), path, folders, issue_log)
    places = []
    for key, split in SPLIT_NAMES.items():
        entries = data.get(key)
        for entry in entries if isinstance(entries, list) else [entries]:
            if entry in (None, ""):
                continue
            folder = _folder(entry, key, base, path, folders)
            if folder.is_dir():
                places.append((split, folder))
            else:
                issue_log.add(f"Folders named in {path.name} but absent", f"{key}: {quoted(entry)}")
    return places


def _base(entry: object, path: Path, folders: Folders, issue_log: IssueLog) -> Path:
    if entry in (None, "", "."):
        return folders.root
    base = _joined(folders.root, entry, "path", path)
    if folders.contains(base) and base.is_dir():
        return base.resolve()
    issue_log.add(f"Path in {path.name} that leads out of its folder, not followed", quoted(entry))
    return folders.root


def _folder(entry: object, key: str, base: Path, path: Path, folders: Folders) -> Path:
    folder = _joined(base, entry, key, path)
    if folders.contains(folder):
        return folder.resolve()
    # Roboflow writes "../train/images" for folders beside the file, also for one that is not there.
    told = str(entry).replace("\\", "/")
    beside = _joined(base, told.removeprefix("../"), key, path)
    if told.startswith("../") and folders.contains(beside):
        return beside.resolve()
    raise DatasetError(
        path,
        expected=f"'{key}' to be a folder inside the folder of this file",
        found=quoted(entry),
        advice="Nothing outside the folder is opened.",
    )


def _joined(base: Path, entry: object, key: str, path: Path) -> Path:
    if not isinstance(entry, str) or "\0" in entry:
        raise DatasetError(path, expected=f"'{key}' to name a folder", found=quoted(entry))
    return base / entry.replace("\\", "/")


# ---- a mask as one polygon -----------------------------------------------------------------------


Points = npt.NDArray[np.float64]
_Mask = npt.NDArray[np.bool_]
_STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))


def ring_of(mask: _Mask) -> Points:
    """Returns the corners (P, 2) float64, x and y in pixels, of one polygon around a mask (H, W).

    The mask must not be empty. Holes are left out; parts that lie apart are joined by bridges
    without width, as the format allows one polygon for each object.

    Example:
        >>> ring_of(np.ones((1, 2), dtype=np.bool_)).tolist()
        [[0.0, 0.0], [2.0, 0.0], [2.0, 1.0], [0.0, 1.0]]
    """
    parts = _rings(mask)
    whole = parts.pop(0)
    while parts:
        gaps = [np.hypot(*(whole[:, None] - part[None]).T).T for part in parts]
        near = int(np.argmin([gap.min() for gap in gaps]))
        here, there = np.unravel_index(int(gaps[near].argmin()), gaps[near].shape)
        part = np.roll(parts.pop(near), -int(there), axis=0)
        bridge = np.concatenate([part, part[:1], whole[int(here) :][:1]])
        whole = np.concatenate([whole[: int(here) + 1], bridge, whole[int(here) + 1 :]])
    return whole


def _rings(mask: _Mask) -> list[Points]:
    """Returns the outer edges of all parts, the one with the most corners first."""
    with importing.LOCK:
        from scipy import ndimage

    named, count = ndimage.label(mask)
    filled = (ndimage.binary_fill_holes(named == part) for part in range(1, count + 1))
    return sorted((_walk(part) for part in filled), key=len, reverse=True)


def _walk(part: _Mask) -> Points:
    """Walks around a part without holes, the inside on the right, and returns its corners."""
    inside = np.pad(part, 1)
    row, column = np.argwhere(inside)[0]
    start = (int(column), int(row))
    at, heading = start, 0
    corners: list[tuple[int, int]] = []
    while True:
        for turn in (1, 0, 3):
            towards = (heading + turn) % 4
            if _is_edge(inside, at, towards):
                break
        if towards != heading or not corners:
            corners.append(at)
        heading = towards
        at = (at[0] + _STEPS[heading][0], at[1] + _STEPS[heading][1])
        if at == start:
            return np.array(corners, dtype=np.float64) - 1


def _is_edge(inside: _Mask, at: tuple[int, int], heading: int) -> bool:
    """Whether the pixel edge from a corner has the part on its right and none on its left."""
    x, y = at
    right, left = {
        0: ((y, x), (y - 1, x)),
        1: ((y, x - 1), (y, x)),
        2: ((y - 1, x - 1), (y, x - 1)),
        3: ((y - 1, x), (y - 1, x - 1)),
    }[heading]
    return bool(inside[right]) and not bool(inside[left])
