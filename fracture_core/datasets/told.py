"""What a reader tells of all images of a data set, such as that they are radiographs.

    data_sets.json    under `settings().home`

It counts for images of which no table, annotation or tag says it, and is kept by the data set's
absolute path, so that it is asked once.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from fracture_core import files
from fracture_core.attributes import in_words
from fracture_core.datasets.records import RecordedDataset
from fracture_core.errors import ConfigError, first_fault
from fracture_core.settings import settings

TOLD_FILE = "data_sets.json"
VERSION = 1


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = VERSION
    told: dict[str, dict[str, str]] = {}


def told_file() -> Path:
    """Where it is kept."""
    return settings().home / TOLD_FILE


def told_of(path: Path) -> dict[str, str]:
    """Attributes told of the data set at this path; raises ConfigError for a file of nonsense."""
    return dict(_read().told.get(str(path.absolute()), {}))


def tell(path: Path, attributes: Mapping[str, str]) -> None:
    """Keep what all images of the data set are; nothing at all is forgotten again.

    Raises ConfigError for a file of nonsense and StorageError.
    """
    kept = {name: words for name, words in _read().told.items() if name != str(path.absolute())}
    if attributes:
        kept[str(path.absolute())] = dict(in_words(attributes))
    told_file().parent.mkdir(parents=True, exist_ok=True)
    files.write_text(told_file(), _File(told=kept).model_dump_json(indent=1) + "\n")


def join_told(dataset: RecordedDataset) -> RecordedDataset:
    """The data set with what was told of it, where its own files do not say it."""
    told = told_of(dataset.path)
    if not told:
        return dataset
    records = {
        sample_id: record.with_attributes({**told, **record.attributes})
        for sample_id, record in dataset.records.items()
    }
    words = ", ".join(f"{name} {value}" for name, value in told.items())
    return replace(dataset, records=records, found=f"{dataset.found} You told of it: {words}.")


def _read() -> _File:
    path = told_file()
    if not path.is_file():
        return _File()
    try:
        found = _File.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise ConfigError(
            path,
            expected="what was told of data sets",
            found=first_fault(error),
            advice="Tell it again, or delete the file.",
        ) from error
    if found.version != VERSION:
        raise ConfigError(path, expected=f"version {VERSION}", found=str(found.version))
    return found
