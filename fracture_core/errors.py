"""The errors that this project raises on purpose, each one sentence for the reader.

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
    """The base of every error that is shown to a person as one sentence."""


class BadInput(WorkbenchError):
    """Input that cannot be used; its message reads "NAME: expected E, found F. ADVICE".

    Text from files may stand in it: characters that cannot be printed are shown as escapes. Of a
    path only the last part is shown.

    Example:
        >>> str(BadInput("size", expected="a whole number", found="'ten'"))
        "size: expected a whole number, found 'ten'."
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
        # Errors pass between processes, and default pickling loses keyword-only arguments.
        return _rebuild, (type(self), self.name, self.expected, self.found, self.advice)


def _printable(text: str) -> str:
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


def first_fault(error: "ValidationError", whole: str = "the file") -> str:
    """Return the first fault that pydantic found as "PLACE: MESSAGE", at most 200 characters.

    The place is that of the value in the stored data, or `whole` where the fault is of the whole.
    """
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"]) or whole
    return f"{where}: {first['msg']}"[:200]


def _rebuild(kind: type[BadInput], name: str, expected: str, found: str, advice: str) -> BadInput:
    return kind(name, expected=expected, found=found, advice=advice)


class ImageError(BadInput):
    """An image or DICOM file that cannot be read."""


class DatasetError(BadInput):
    """A data set that cannot be opened, or annotations or labels that cannot be used."""


class WeightsError(BadInput):
    """A weights file or a model card that cannot be used."""


class ConfigError(BadInput):
    """A setting or an option that cannot be used, or a name that is not known."""


class StorageError(ConfigError):
    """A place on the disk that is full, read-only or closed to this user."""


class TrainingError(BadInput):
    """A training that cannot go on."""
