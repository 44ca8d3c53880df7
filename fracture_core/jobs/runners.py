"""What starts jobs. The verbs are those of Ray Jobs: submit, status, logs, stop, list."""

from typing import Protocol, cast

from fracture_core import importing
from fracture_core.errors import ConfigError
from fracture_core.jobs.job import State
from fracture_core.jobs.records import Record
from fracture_core.runs import RunFolder

_MODULES = {
    "local": "fracture_core.jobs.local",
    "inline": "fracture_core.jobs.inline",
    "ray": "fracture_core.jobs.ray_jobs",
}


class Runner(Protocol):
    """One way to run command lines. All but `status` and `logs` are called by whoever holds the
    queue's lock; they raise ConfigError where the runner cannot be reached or cannot do it.
    """

    def submit(self, run: RunFolder, record: Record) -> None:
        """Hand it over; it may start at once or later, by `tend`."""

    def status(self, run: RunFolder, record: Record) -> tuple[State | None, str]:
        """queued or running, and a sentence; None = over. Raises nothing for what it cannot reach:
        that is lost, and the sentence says so."""

    def logs(self, run: RunFolder, record: Record, limit: int) -> str:
        """The end of what it printed."""

    def stop(self, run: RunFolder, record: Record) -> None:
        """Ask a running job to stop: a checkpoint first. Does not wait."""

    def kill(self, run: RunFolder, record: Record | None) -> None:
        """End every process of it now and wait for that; its record may be unreadable."""

    def tend(self) -> None:
        """Do what is due: clear up after jobs that ended, start the next. Takes the lock itself."""


def find_runner(name: str) -> Runner:
    """Raises ConfigError for a name that is none."""
    if name not in _MODULES:
        raise ConfigError("runner", expected=f"one of {', '.join(_MODULES)}", found=repr(name))
    return cast(Runner, importing.load(_MODULES[name]))
