"""A job: its record (job.json, what was asked for), its state and the end of what it printed.

How a job went stands in the other files of its run folder; `reading` makes a `Job` of them.
"""

import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from fracture_core import files
from fracture_core.errors import ConfigError, first_fault
from fracture_core.runs import EVALUATION, Kind, RunFolder

# ---- the record ----------------------------------------------------------------------------------


Result = Literal["card.json", "evaluation.json"]
CARD: Result = "card.json"


class Attempt(BaseModel):
    """A start that came to its end; times are in seconds since 1970."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    started: float
    ended: float
    state: str
    detail: str


class Record(BaseModel):
    """Everything in job.json; times are in seconds since 1970.

    `position` orders the queue, lowest first · `started` and `device` belong to the last start ·
    `retries` counts the automatic restarts since the job was last submitted or resumed · `result`
    is the file that only a complete success leaves.
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
    """Returns the record in a file.

    Raises ConfigError for a file that cannot be read or is invalid, FileNotFoundError where none
    is.
    """
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
    """Writes a record as a whole or not at all; raises ConfigError where that is impossible."""
    write_text(path, record.model_dump_json(indent=1) + "\n")


def write_text(path: Path, text: str) -> None:
    """Writes a text as a whole or not at all; raises ConfigError where that is impossible."""
    try:
        files.write_text(path, text)
    except OSError as error:
        found = error.strerror or type(error).__name__
        advice = "Make room on the disk, or give yourself the right to write there."
        raise ConfigError(
            path.parent, expected="a run folder to write in", found=found, advice=advice
        ) from error


# ---- the job -------------------------------------------------------------------------------------


class State(StrEnum):
    """Where a job stands.

    `stopped` was asked to stop, and none of its processes is left · `failed` ended by an error of
    its own or by a signal · `lost` left no word of how it ended, as after a power cut.
    """

    QUEUED = "queued"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"
    LOST = "lost"
    SUCCEEDED = "succeeded"

    @property
    def is_over(self) -> bool:
        """Tells whether the job has ended, however it did."""
        return self not in (State.QUEUED, State.RUNNING, State.STOPPING)

    @property
    def can_resume(self) -> bool:
        """Tells whether the job can be resumed: it stopped, failed or was lost."""
        return self in (State.STOPPED, State.FAILED, State.LOST)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A submitted run as it stands now; times are in seconds since 1970.

    `detail` is a sentence for people, or empty · `exit_code` is None if the job has not ended or
    nobody knows how · `settled` says that the job is over and nothing of it is left.
    """

    run: RunFolder
    state: State
    detail: str = ""
    runner: str = ""
    submitted: float = 0.0
    position: float = 0.0
    started: float | None = None
    ended: float | None = None
    device: str = ""
    exit_code: int | None = None
    retries: int = 0
    max_retries: int = 0
    attempts: tuple[Attempt, ...] = ()
    result: Result = CARD
    settled: bool = False

    @property
    def name(self) -> str:
        """Returns the name of the run."""
        return self.run.name

    @property
    def kind(self) -> Kind:
        """Returns "training" or "evaluation", by the file that a success leaves."""
        return "training" if self.result == CARD else EVALUATION


# ---- the log -------------------------------------------------------------------------------------


TAIL_BYTES = 64_000


def read_tail(run: RunFolder, limit: int = TAIL_BYTES) -> str:
    """Returns the last whole lines of log.txt, at most `limit` bytes, or "" where there is none."""
    try:
        with run.log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - limit))
            data = file.read(limit)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    if size > limit:
        data = data.partition(b"\n")[2] or data
    return data.decode("utf-8", errors="replace").replace("\r\n", "\n")


def last_line(run: RunFolder) -> str:
    """Returns the last line of log.txt with anything in it, at most 300 characters, or ""."""
    lines = read_tail(run, 4_000).split("\n")
    return next((line.strip()[:300] for line in reversed(lines) if line.strip()), "")
