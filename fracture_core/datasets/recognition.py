"""Opening a data set in whatever format it is, with what its tables and its reader tell of it.

What a person tells of all images of a data set, such as that they are radiographs, is kept in
`data_sets.json` under `settings().home` by the data set's absolute path, so that it is asked once.
It counts where no table, annotation or tag says otherwise.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from pydantic import Field

from fracture_core.attributes import in_words
from fracture_core.datasets.attributes import join_tables
from fracture_core.datasets.formats import DatasetFormat, installed
from fracture_core.datasets.records import RecordedDataset
from fracture_core.errors import DatasetError
from fracture_core.home_files import HomeFile

# ---- what a person told --------------------------------------------------------------------------


class _File(HomeFile):
    NAME = "data_sets.json"
    HOLDS = "what was told of data sets"
    ADVICE = "Tell it again, or delete the file."

    told: dict[str, dict[str, str]] = Field(default_factory=dict)


def told_file() -> Path:
    """Returns where the attributes that people told are kept."""
    return _File.path()


def told_of(path: Path) -> dict[str, str]:
    """Returns the attributes told of the data set at this path; raises ConfigError if the file is
    invalid.
    """
    return dict(_File.read().told.get(str(path.absolute()), {}))


def tell(path: Path, attributes: Mapping[str, str]) -> None:
    """Keeps the attributes of all images of a data set; an empty mapping forgets what was told.

    Raises ConfigError if the file is invalid, StorageError if it cannot be written.
    """
    kept = {
        name: words for name, words in _File.read().told.items() if name != str(path.absolute())
    }
    if attributes:
        kept[str(path.absolute())] = dict(in_words(attributes))
    _File(told=kept).write()


def join_told(dataset: RecordedDataset) -> RecordedDataset:
    """Returns the data set with what was told of it, where its own files do not say it."""
    told = told_of(dataset.path)
    if not told:
        return dataset
    records = {
        sample_id: record.with_attributes({**told, **record.attributes})
        for sample_id, record in dataset.records.items()
    }
    words = ", ".join(f"{name} {value}" for name, value in told.items())
    return replace(dataset, records=records, found=f"{dataset.found} You told of it: {words}.")


# ---- recognising and opening ---------------------------------------------------------------------


def open_dataset(path: Path | str) -> RecordedDataset:
    """Opens a data set, a file or a folder; raises DatasetError.

    A folder with several formats is opened as the first in the order of `formats`: HDF5, COCO,
    YOLO, VOC and then those of other packages; name the JSON file or data.yaml itself to choose.
    Tables of attributes in its folder are joined (see `attributes`), and so is what a person told
    of the whole set (see `tell`).
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
    """Tells whether a path looks like a data set rather than images; nothing is opened in full."""
    return _format_of(path) is not None


def formats_beside(path: Path, own: str) -> Iterator[DatasetFormat]:
    """Yields the other formats that a folder looks like, beside the one it is opened as."""
    for each in installed().formats.values():
        try:
            if each.name != own and each.looks_like(path):
                yield each
        except DatasetError:
            # A folder that cannot be examined as that format is not of it; its own still opens.
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
