"""The errors this project raises on purpose.

    WorkbenchError
    └── BadInput            something handed in cannot be used: file, expected, found, what to do
        ├── ImageError      an image or DICOM file
        ├── DatasetError    a data set, its annotations or its labels
        ├── WeightsError    a weights file or a model card
        ├── ConfigError     a setting, an option or an unknown name
        │   └── StorageError    a place that cannot be read or written, a full disk
        └── TrainingError   a training that cannot go on

Everything else that escapes is a bug and keeps its stack trace.
"""

from pathlib import PurePath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


class WorkbenchError(Exception):
    """Base of every error that is shown to a person as one sentence."""


class BadInput(WorkbenchError):
    """Input that cannot be used; reads "NAME: expected E, found F. ADVICE".

    What files tell of themselves can stand in it: what cannot be printed is shown as an escape.
    """

    def __init__(
        self, name: str | PurePath, *, expected: str, found: str, advice: str = ""
    ) -> None:
        self.name = name.name if isinstance(name, PurePath) else name
        self.expected = expected
        self.found = found
        self.advice = advice
        sentence = f"{self.name}: expected {expected}, found {found}."
        super().__init__(_printable(f"{sentence} {advice}".rstrip()))

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only arguments are lost by the default pickling, and errors cross process borders.
        return _rebuild, (type(self), self.name, self.expected, self.found, self.advice)


def _printable(text: str) -> str:
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


def first_fault(error: "ValidationError", whole: str = "the file") -> str:
    """The first thing that is wrong with stored data, after where it stands or else `whole`."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"]) or whole
    return f"{where}: {first['msg']}"[:200]


def _rebuild(kind: type[BadInput], name: str, expected: str, found: str, advice: str) -> BadInput:
    return kind(name, expected=expected, found=found, advice=advice)


class ImageError(BadInput):
    """An image or DICOM file that cannot be read."""


class DatasetError(BadInput):
    """A data set that cannot be opened or a label that makes no sense."""


class WeightsError(BadInput):
    """A weights file or model card that cannot be used."""


class ConfigError(BadInput):
    """A setting, option or name that is not known."""


class StorageError(ConfigError):
    """A place that a setting names and that is full, read-only or another's."""


class TrainingError(BadInput):
    """A training that cannot go on."""
