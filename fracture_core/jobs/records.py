"""job.json: what was asked for. How it went stands in the other files of the run."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from fracture_core import files
from fracture_core.errors import ConfigError, first_fault

Result = Literal["card.json", "evaluation.json"]
CARD: Result = "card.json"


class Attempt(BaseModel):
    """A start that came to its end."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    started: float
    ended: float
    state: str
    detail: str


class Record(BaseModel):
    """Everything in job.json; times are seconds since 1970.

    `position` orders the queue, lowest first · `started` and `device` belong to the last start ·
    `retries` counts the automatic ones since it was last submitted or resumed · `result` is the
    file that only a whole success leaves.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    runner: str
    command: tuple[str, ...]
    result: Result = CARD
    submitted: float
    queued: bool = True
    position: float = 0.0
    started: float | None = None
    device: str = ""
    ray_id: str = ""
    retries: int = 0
    max_retries: int = 0
    attempts: tuple[Attempt, ...] = ()


def read_record(path: Path) -> Record:
    """Raises ConfigError for a file that cannot be read or makes no sense, FileNotFoundError."""
    advice = "Delete the job, or resume it to have the file written anew."
    try:
        return Record.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise
    except OSError as error:
        found = error.strerror or type(error).__name__
        raise ConfigError(path, expected="the record of a job", found=found) from error
    except ValidationError as error:
        raise ConfigError(
            path, expected="the record of a job", found=first_fault(error), advice=advice
        ) from error


def write_record(record: Record, path: Path) -> None:
    """By rename; raises ConfigError where that is not possible, and the old file stays."""
    write_text(path, record.model_dump_json(indent=1) + "\n")


def write_text(path: Path, text: str) -> None:
    """By rename; raises ConfigError where that is not possible, and the old file stays."""
    try:
        files.write_text(path, text)
    except OSError as error:
        found = error.strerror or type(error).__name__
        advice = "Make room on the disk, or give yourself the right to write there."
        raise ConfigError(
            path.parent, expected="a run folder to write in", found=found, advice=advice
        ) from error
