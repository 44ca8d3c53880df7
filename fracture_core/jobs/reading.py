"""The state of a job, read from its folder and its locks, so that nothing remembered can be wrong.

Runners start jobs. Their functions are called as those of Ray Jobs: submit, status, logs, stop, and
so on.
"""

import os
import shutil
import signal
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Protocol, cast

from fracture_core import importing
from fracture_core.errors import ConfigError
from fracture_core.jobs.job import CARD, Job, Record, Result, State, last_line, read_record
from fracture_core.jobs.locks import is_held
from fracture_core.runs import EVALUATION, RunFolder
from fracture_core.settings import settings

# ---- runners -------------------------------------------------------------------------------------


_MODULES = {
    "local": "fracture_core.jobs.local",
    "inline": "fracture_core.jobs.inline",
    "ray": "fracture_core.jobs.ray_jobs",
}


class Runner(Protocol):
    """One way to run command lines.

    All functions but `status`, `logs` and `tend` are called by whoever holds the queue's lock. They
    raise ConfigError where the runner cannot be reached or cannot do what is asked.
    """

    def submit(self, run: RunFolder, record: Record) -> None:
        """Takes over a job, which may start at once or later, by `tend`."""

    def status(self, run: RunFolder, record: Record) -> tuple[State | None, str]:
        """Returns "queued" or "running" with a sentence, or None for a job that is over.

        Where the runner cannot be reached, it raises nothing: the state is "lost", and the sentence
        says why.
        """

    def logs(self, run: RunFolder, record: Record, limit: int) -> str:
        """Returns the end of what the job printed, at most `limit` long."""

    def stop(self, run: RunFolder, record: Record) -> None:
        """Asks a running job to write a checkpoint and stop; it does not wait."""

    def kill(self, run: RunFolder, record: Record | None) -> None:
        """Ends every process of a job now and waits for that; `record` is None if unreadable."""

    def tend(self) -> None:
        """Clears up after jobs that ended and starts the next; it takes the queue's lock itself."""


def find_runner(name: str) -> Runner:
    """Returns the runner of a name; raises ConfigError for an unknown one."""
    if name not in _MODULES:
        raise ConfigError("runner", expected=f"one of {', '.join(_MODULES)}", found=repr(name))
    return cast(Runner, importing.load(_MODULES[name]))


# ---- states --------------------------------------------------------------------------------------


UNKNOWN = "unknown"
"""What exit_code holds where no process saw how the job ended."""
_CRASHED = (
    " A library crashed, not the training itself: resume it; where it ends so again, set "
    "channels_last=false or compile=false, or choose another device."
)
_WHAT_TO_TRY: dict[int, str] = {
    signal.SIGKILL: " The system does so where memory runs out: with a smaller batch or input_size "
    "a new run needs less.",
    **dict.fromkeys((signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS, signal.SIGILL), _CRASHED),
}
_Print = tuple[tuple[int, int], ...]
_FILES: tuple[str, ...] = (
    "job.json",
    "card.json",
    "evaluation.json",
    "exit_code",
    "stopped",
    "stopping",
)
_known: dict[Path, tuple[_Print, Job]] = {}


def list_jobs() -> list[Job]:
    """Returns every submitted run under `settings().runs`, as it stands now.

    Runs that were trained by hand or copied there are listed as well. Those under way come first,
    then those that wait in order, then the rest, newest first. It never raises: a job that cannot
    be read is a failed one with a sentence.
    """
    runs = [RunFolder(path=folder) for folder in _folders()]
    jobs = [job for run in runs if (job := read_listed(run)) is not None]
    for gone in _known.keys() - {job.run.path for job in jobs}:
        _known.pop(gone, None)
    return sorted(jobs, key=_place)


def ahead_of(job: Job) -> list[Job]:
    """Returns what a waiting job waits for: of its kind those that run, then those that are to
    start before it; without any, those of the other kind that leave it no memory.

    It is empty for a job that does not wait.
    """
    listed = list_jobs() if job.state is State.QUEUED else []
    before = [each for each in listed if not each.state.is_over and _place(each) < _place(job)]
    own = [each for each in before if each.kind == job.kind]
    return own or [each for each in before if each.state is not State.QUEUED]


def read_job(run: RunFolder) -> Job | None:
    """Returns the job of a run as it stands; None if it was not submitted or its folder is gone."""
    try:
        job = _read_steady(run)
        # A run can be continued by hand, without the queue.
        if job.state.can_resume and is_held(run.trainer_lock):
            return _with_state(job, State.RUNNING, "Started by hand, not by the queue.")
        return job
    except FileNotFoundError:
        return None
    except (ConfigError, OSError) as error:
        state = _state_without_record(run)
        return Job(run=run, state=state, detail=str(error), result=result_of(run))


def read_listed(run: RunFolder) -> Job | None:
    """Returns the job of a run, also of one that was never submitted but has come to something.

    Such a run was trained by hand, or copied from elsewhere without its job.json. None stands for a
    folder without a run, or with one that was only made.
    """
    job = read_job(run)
    if job is not None or not run.config.is_file():
        return job
    if is_held(run.trainer_lock):
        return _not_submitted(run, State.RUNNING, "Started by hand, not by the queue.")
    if run.result.is_file():
        return _not_submitted(run, State.SUCCEEDED, "")
    if run.stopped.is_file() or (run.checkpoints / "last.pt").is_file():
        return _not_submitted(run, State.STOPPED, "Not of the queue: trained by hand or copied.")
    return None


def _not_submitted(run: RunFolder, state: State, detail: str) -> Job:
    made = run.config.stat().st_mtime
    over = state is not State.RUNNING
    return Job(
        run=run,
        state=state,
        detail=detail,
        submitted=made,
        started=made,
        ended=made if over else None,
        result=result_of(run),
        settled=over,
    )


def _read_steady(run: RunFolder) -> Job:
    """Returns the job, read again where a file changed meanwhile: files must belong together."""
    folder = str(run.path)
    before, job = _known.get(run.path, (None, None))
    if job is not None and before == _finger_print(folder, job):
        return job
    seen = _finger_print(folder)
    while True:
        job, before = _read(run), seen
        seen = _finger_print(folder)
        if before == seen:
            break
    _known.pop(run.path, None)
    if job.settled:
        _known[run.path] = (_finger_print(folder, job), job)
    return job


def _folders() -> list[Path]:
    # `tend`, which cannot work in such a folder either, reports the error.
    with suppress(OSError), os.scandir(settings().runs) as entries:
        return [Path(each.path) for each in entries if not each.name.startswith(".")]
    return []


def _place(job: Job) -> tuple[int, float]:
    if job.state is State.QUEUED:
        return (1, job.position)
    if not job.state.is_over:
        return (0, job.started or 0.0)
    return (2, -(job.ended or job.started or job.submitted))


def _finger_print(folder: str, job: Job | None = None) -> _Print:
    """Returns what changes with every file that the state of a job without processes depends on."""
    # Where the result is there, the job has succeeded, whatever the other files say.
    names = _FILES
    if job is not None and job.state is State.SUCCEEDED:
        names = ("job.json", job.result)
    return tuple(_modified(f"{folder}/{name}") for name in names)


def _modified(path: str) -> tuple[int, int]:
    try:
        status = os.stat(path)  # noqa: PTH116 - a thousand runs are five thousand of these
    except (FileNotFoundError, NotADirectoryError):
        return 0, 0
    return status.st_mtime_ns, status.st_ino


def _read(run: RunFolder) -> Job:
    record = read_record(run.job)
    if record.queued:
        return _build(run, record, State.QUEUED, "")
    ended = _read_exit_code(run)
    if ended is None:
        live, detail = find_runner(record.runner).status(run, record)
        if live is not None:
            asked = live is not State.LOST and run.stopping.exists()
            return _build(run, record, State.STOPPING if asked else live, detail)
        # It is written before the last process ends, so that it may be there by now.
        ended = _read_exit_code(run)
    code, when = ended or (None, None)
    state, detail = _how_it_ended(run, record, code)
    settled = ended is not None
    return _build(run, record, state, detail, ended=when, exit_code=code, settled=settled)


def _build(
    run: RunFolder,
    record: Record,
    state: State,
    detail: str,
    *,
    ended: float | None = None,
    exit_code: int | None = None,
    settled: bool = False,
) -> Job:
    return Job(
        run=run,
        state=state,
        detail=detail,
        runner=record.runner,
        submitted=record.submitted,
        position=record.position,
        started=record.started,
        ended=ended,
        device=record.device,
        exit_code=exit_code,
        retries=record.retries,
        max_retries=record.max_retries,
        attempts=record.attempts,
        result=record.result,
        settled=settled,
    )


def _read_exit_code(run: RunFolder) -> tuple[int | None, float] | None:
    """Returns the code (None for unknown) and when it was written; None if there is none yet."""
    try:
        text = run.exit_code.read_text(encoding="utf-8").strip()
        when = run.exit_code.stat().st_mtime
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        return None, 0.0
    number = text.removeprefix("-")
    return (int(text) if number.isdecimal() and len(number) < 10 else None), when


def _how_it_ended(run: RunFolder, record: Record, code: int | None) -> tuple[State, str]:
    """Returns the final state; the files of a full success or a wanted stop precede the code."""
    if (run.path / record.result).exists():
        return State.SUCCEEDED, ""
    if run.stopped.exists():
        return State.STOPPED, ""
    if run.stopping.exists():
        return State.STOPPED, "Ended without a checkpoint of its own; it goes on from the last one."
    if code is None:
        return State.LOST, f"Its processes ended without a word.{_room(run.path)}"
    return State.FAILED, _why(run, record, code)


def _why(run: RunFolder, record: Record, code: int) -> str:
    if code == 0:
        return f"Ended as if all were well, but there is no {record.result}."
    # A shell in between returns 128 + the number of the signal.
    number = -code if code < 0 else code - 128
    if code < 0 or number in _WHAT_TO_TRY:
        return f"Killed by {_signal_name(number)}.{_room(run.path)}{_WHAT_TO_TRY.get(number, '')}"
    return last_line(run) or f"Ended with exit code {code} and said nothing."


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _room(path: Path) -> str:
    free = shutil.disk_usage(path).free
    return f" There are {free / 1e6:.0f} MB free on the disk." if free < 100_000_000 else ""


def result_of(run: RunFolder) -> Result:
    """Returns the file that a run leaves where it succeeds, by its config."""
    return "evaluation.json" if run.kind == EVALUATION else CARD


def _state_without_record(run: RunFolder) -> State:
    return State.RUNNING if is_held(run.job_lock) else State.FAILED


def _with_state(job: Job, state: State, detail: str) -> Job:
    return replace(job, state=state, detail=detail, settled=False)
