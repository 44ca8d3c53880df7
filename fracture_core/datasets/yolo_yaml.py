"""The `data.yaml` of a YOLO data set: class names, and where the pictures of each split lie.

Only folders inside the folder of the file itself are used. A `path` that leads elsewhere is not
followed: it is that of the machine the file was written on.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from fracture_core.datasets.layout import SPLIT_NAMES, Folders
from fracture_core.datasets.tally import Tally, quoted
from fracture_core.datasets.yolo_labels import MAX_CLASSES
from fracture_core.errors import DatasetError

DATA_FILES = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
_MAX_BYTES = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFile:
    """`numbers` maps a class number as written to 0…K−1; `places` are (split, folder)."""

    path: Path
    classes: tuple[str, ...]
    numbers: Mapping[int, int]
    places: tuple[tuple[str, Path], ...]


def read_data_file(path: Path, folders: Folders, tally: Tally) -> DataFile:
    """Read a data.yaml; raises DatasetError where it makes no sense or leads out of its folder."""
    data = _load(path, folders)
    names = _names(data.get("names"), path)
    count = data.get("nc", len(names))
    if count != len(names):
        tally.add(f"Class count (nc) in {path.name}, expected {len(names)} as names", quoted(count))
    return DataFile(
        path=path,
        classes=tuple(names[number] for number in sorted(names)),
        numbers={number: place for place, number in enumerate(sorted(names))},
        places=tuple(_places(data, path, folders, tally)),
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
    data: Mapping[object, object], path: Path, folders: Folders, tally: Tally
) -> list[tuple[str, Path]]:
    base = _base(data.get("path"), path, folders, tally)
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
                tally.add(f"Folders named in {path.name} but absent", f"{key}: {quoted(entry)}")
    return places


def _base(entry: object, path: Path, folders: Folders, tally: Tally) -> Path:
    if entry in (None, "", "."):
        return folders.root
    base = _joined(folders.root, entry, "path", path)
    if folders.contains(base) and base.is_dir():
        return base.resolve()
    tally.add(f"Path in {path.name} that leads out of its folder, not followed", quoted(entry))
    return folders.root


def _folder(entry: object, key: str, base: Path, path: Path, folders: Folders) -> Path:
    folder = _joined(base, entry, key, path)
    if folders.contains(folder):
        return folder.resolve()
    # Roboflow writes "../train/images" for folders beside the file.
    beside = _joined(base, str(entry).removeprefix("../"), key, path)
    if folders.contains(beside) and beside.is_dir():
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
