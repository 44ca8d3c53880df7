"""Which format a data set is in."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from fracture_core.datasets.attributes import join_tables
from fracture_core.datasets.base import Dataset
from fracture_core.datasets.formats import DatasetFormat, installed
from fracture_core.datasets.records import RecordedDataset
from fracture_core.datasets.told import join_told
from fracture_core.errors import DatasetError


def open_dataset(path: Path | str) -> Dataset:
    """Open a data set: a file or a folder; raises DatasetError.

    A folder with several formats is opened as the first in the order of `formats`, HDF5, COCO,
    YOLO and so on; name the JSON file or data.yaml itself to choose. Tables of attributes in its
    folder are joined, see `attributes`, and what a reader told of the whole set, see `told`.
    """
    path = Path(path)
    try:
        if path.is_dir() or path.is_file():
            return _open(path)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise DatasetError(
            path, expected="files that can be read", found=f"{reason}: {error.filename}"
        ) from error
    raise _unknown(path, "no such file or folder")


def is_dataset(path: Path) -> bool:
    """Whether a path looks like a data set rather than pictures; nothing is opened in full."""
    return _format_of(path) is not None


def formats_beside(path: Path, own: str) -> Iterator[DatasetFormat]:
    """Other formats that a folder looks like, beside the one it is opened as."""
    for each in installed().formats.values():
        try:
            if each.name != own and each.looks_like(path):
                yield each
        except DatasetError:
            # What cannot be looked at as that format is none of it: its own is opened all the same.
            continue


def _open(path: Path) -> RecordedDataset:
    found = _format_of(path)
    if found is None:
        raise _unknown(path, _words(path))
    dataset = found.open(path)
    others = formats_beside(path, found.name) if path.is_dir() else ()
    words = " ".join([dataset.found, *(_said(path, other) for other in others)])
    # A format is known by the name it is registered under, whatever its reader calls itself.
    dataset = replace(dataset, format=found.name, found=words)
    return join_told(join_tables(dataset, found.root(path)))


def _format_of(path: Path) -> DatasetFormat | None:
    return next((each for each in installed().formats.values() if each.looks_like(path)), None)


def _said(folder: Path, other: DatasetFormat) -> str:
    chosen = other.choose(folder)
    advice = f"; open {chosen.name} for them" if chosen else ""
    return f"{other.title} lie beside it{advice}."


def _unknown(path: Path, found: str) -> DatasetError:
    examples = ", ".join(each.example for each in installed().formats.values())
    return DatasetError(
        path,
        expected=f"{examples}, or a folder that holds one of them",
        found=found,
        advice=" ".join(installed().broken),
    )


def _words(path: Path) -> str:
    return "a folder without any" if path.is_dir() else f"a file of {path.stat().st_size:,} bytes"
