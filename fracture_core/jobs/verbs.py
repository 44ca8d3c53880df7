"""What people do with jobs: submit, stop, resume, move, delete, and look at them.

Each of these may be called twice, or by two apps at once. A job that crashed is started again by
itself, as often as the settings allow.
"""

import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

from fracture_core.errors import ConfigError
from fracture_core.files import remove_folder
from fracture_core.jobs.job import (
    TAIL_BYTES,
    Attempt,
    Job,
    Record,
    State,
    read_record,
    read_tail,
    write_record,
    write_text,
)
from fracture_core.jobs.locks import is_held, queue_lock
from fracture_core.jobs.reading import find_runner, list_jobs, read_job, read_listed, result_of
from fracture_core.runs import EVALUATION, RunFolder, open_run
from fracture_core.settings import RUNNERS, settings

# ---- starting again after a crash ----------------------------------------------------------------


BAD_INPUT = 2
"""The exit code of an error that only a person can correct."""


def is_crash(job: Job) -> bool:
    """Tells whether another try may succeed: the job was lost, killed by a signal, or met a bug."""
    if job.state is State.FAILED:
        return job.exit_code not in (None, 0, BAD_INPUT)
    return job.state is State.LOST


def may_retry(job: Job) -> bool:
    """Tells whether a job crashed and may be started again by itself once more."""
    return job.settled and is_crash(job) and job.retries < job.max_retries


def retried(job: Job) -> Record | None:
    """Returns the record to start a crashed job with again; None if it may not be started again."""
    if not may_retry(job):
        return None
    again = requeued(read_record(job.run.job), job)
    return again.model_copy(update={"retries": job.retries + 1})


def requeued(record: Record, job: Job) -> Record:
    """Returns the record of an ended job as one that waits; how it ended is kept in `attempts`."""
    attempt = Attempt(
        started=job.started or job.submitted,
        ended=job.ended or time.time(),
        state=str(job.state),
        detail=job.detail,
    )
    return record.model_copy(
        update={"queued": True, "device": "", "attempts": (*record.attempts, attempt)}
    )


# ---- verbs ---------------------------------------------------------------------------------------


Where = Literal["first", "up", "down", "last"]


def submit(path: Path, *, command: Sequence[str] | None = None) -> Job:
    """Queues a training or an evaluation, and starts it if there is room.

    A second call changes nothing. A run that lies elsewhere is linked into `settings().runs`.
    Raises ConfigError for a folder that is no run, and for a job that has ended, which can be
    resumed instead.
    """
    with queue_lock():
        run = _enlist(open_run(path))
        job = read_job(run)
        if job is None:
            _submit_new(run, command)
        elif job.state.is_over:
            advice = "Resume it." if job.state.can_resume else _anew(run)
            raise ConfigError(
                run.path,
                expected=_to_do(run),
                found=f"a job that is over ({job.state})",
                advice=advice,
            )
    tend()
    return find_job(run.path)


def stop(path: Path) -> Job:
    """Asks a job to stop after a checkpoint; a waiting job is taken out of the queue.

    It does not wait. Called again, or after the end, it changes nothing.
    """
    with queue_lock():
        job = find_job(path)
        if job.state is State.QUEUED and job.runner != "ray":
            _withdraw(job.run)
        elif job.state in (State.QUEUED, State.RUNNING):
            _refuse_by_hand(job)
            find_runner(job.runner).stop(job.run, read_record(job.run.job))
    tend()
    return find_job(path)


def resume(path: Path) -> Job:
    """Queues a job that stopped, failed or was lost; it continues from its last checkpoint.

    It runs on the runner of the present settings. Raises ConfigError for a job that succeeded, and
    while nobody can say whether it still runs, as on a Ray cluster that does not answer.
    """
    tend()
    with queue_lock():
        job = find_job(path)
        if job.state is State.SUCCEEDED:
            raise ConfigError(
                job.run.path,
                expected="a job to resume",
                found="one that succeeded",
                advice=_anew(job.run),
            )
        if job.state.can_resume:
            _resume(job)
    tend()
    return find_job(path)


def move(path: Path, where: Where) -> Job:
    """Changes a waiting job's place in the queue; raises ConfigError where it does not wait."""
    with queue_lock():
        job = find_job(path)
        if job.state is not State.QUEUED or job.runner == "ray":
            found = "one in Ray's own queue" if job.runner == "ray" else f"one that is {job.state}"
            raise ConfigError(job.run.path, expected="a waiting job", found=found)
        waiting = [each for each in list_jobs() if each.state is State.QUEUED]
        _reorder(waiting, job.name, where)
    return find_job(path)


def delete(path: Path) -> None:
    """Ends a job and all its processes, and removes its folder with all checkpoints."""
    with queue_lock():
        job = find_job(path)
        _refuse_by_hand(job)
        # Where the record is unreadable, local processes are found without it.
        record = read_record(job.run.job) if job.runner else None
        find_runner(job.runner or "local").kill(job.run, record)
        _remove(job.run)
    tend()


def logs(path: Path, limit: int = TAIL_BYTES) -> str:
    """Returns the end of what a job printed, at most `limit` bytes."""
    job = find_job(path)
    if job.settled or not job.runner:
        return read_tail(job.run, limit)
    return find_runner(job.runner).logs(job.run, read_record(job.run.job), limit)


def tend() -> None:
    """Clears up after jobs that ended, restarts crashed ones, and starts those that are next.

    It is cheap, and anybody may call it at any time; raises ConfigError where it cannot be done.
    """
    due = {job.runner for job in list_jobs() if not job.settled or may_retry(job)}
    if settings().runner != "inline":
        # Only a process whose settings say so runs jobs in itself.
        due.discard("inline")
    for name in sorted(due & set(RUNNERS)):
        find_runner(name).tend()


def find_job(path: Path) -> Job:
    """Returns the job of a run folder as it stands; raises ConfigError if it was not submitted."""
    job = read_listed(_listed(path))
    if job is None:
        found = "one that was not" if path.is_dir() else "no such folder"
        advice = "Submit it with: python -m trainers submit RUN_FOLDER"
        raise ConfigError(path, expected="a submitted run", found=found, advice=advice)
    return job


def wait_for_end(path: Path, *, timeout_seconds: float) -> Job:
    """Tends the queue and returns the job once it is over or the time is up.

    It is meant for commands and tests.
    """
    until = time.monotonic() + timeout_seconds
    while True:
        tend()
        job = find_job(path)
        if job.settled or time.monotonic() > until:
            return job
        time.sleep(0.1)


def _listed(path: Path) -> RunFolder:
    """Returns the run as it is listed, also for the folder that a link leads to."""
    listed = settings().runs / path.name
    with suppress(FileNotFoundError):
        if listed.samefile(path):
            return RunFolder(path=listed)
    return RunFolder(path=path.absolute())


def _enlist(run: RunFolder) -> RunFolder:
    listed = settings().runs / run.name
    if _listed(run.path).path == listed:
        return RunFolder(path=listed)
    if listed.exists():
        advice = "Rename the folder."
        raise ConfigError(
            run.path, expected="a name that no other job has", found=run.name, advice=advice
        )
    # A link may be left whose folder was deleted.
    listed.unlink(missing_ok=True)
    listed.symlink_to(run.path, target_is_directory=True)
    return RunFolder(path=listed)


def _submit_new(run: RunFolder, command: Sequence[str] | None) -> None:
    if run.result.exists():
        found = "a card" if run.result == run.card else "a complete one"
        raise ConfigError(run.path, expected=_to_do(run), found=found, advice=_anew(run))
    record = _new_record(run, tuple(command or _command_of(run)))
    find_runner(record.runner).submit(run, record)


def _command_of(run: RunFolder) -> tuple[str, ...]:
    if run.kind == EVALUATION:
        return (sys.executable, "-m", "fracture_core", "evaluate", "--resume", str(run.path))
    return (sys.executable, "-m", "trainers", "train", str(run.path))


def _to_do(run: RunFolder) -> str:
    return "an evaluation to run" if run.kind == EVALUATION else "a run to train"


def _anew(run: RunFolder) -> str:
    if run.kind == EVALUATION:
        return "Make a new evaluation to ask again."
    return "Make a new run to train again."


def _new_record(run: RunFolder, command: tuple[str, ...]) -> Record:
    now = time.time()
    return Record(
        runner=settings().runner,
        command=command,
        result=result_of(run),
        submitted=now,
        position=now,
        max_retries=settings().retries,
    )


def _withdraw(run: RunFolder) -> None:
    """Takes a job out of the queue; the record comes last, as until then the job waits."""
    run.stopped.touch()
    write_text(run.exit_code, "0")
    record = read_record(run.job)
    write_record(record.model_copy(update={"queued": False}), run.job)


def _resume(job: Job) -> None:
    if not job.runner:
        record = _new_record(job.run, _command_of(job.run))
    else:
        record = requeued(read_record(job.run.job), job)
        asked = {"runner": settings().runner, "position": time.time(), "retries": 0}
        record = record.model_copy(update=asked | {"max_retries": settings().retries})
    find_runner(record.runner).submit(job.run, record)


def _reorder(waiting: list[Job], name: str, where: Where) -> None:
    names = [job.name for job in waiting]
    old = names.index(name)
    new = {"first": 0, "up": max(0, old - 1), "down": old + 1, "last": len(names)}[where]
    order = [*waiting[:old], *waiting[old + 1 :]]
    order.insert(new, waiting[old])
    for job, position in zip(order, sorted(job.position for job in waiting), strict=True):
        if job.position != position:
            record = read_record(job.run.job)
            write_record(record.model_copy(update={"position": position}), job.run.job)


def _refuse_by_hand(job: Job) -> None:
    if job.runner == "ray" or is_held(job.run.job_lock) or not is_held(job.run.trainer_lock):
        return
    raise ConfigError(
        job.run.path,
        expected="a job of the queue",
        found="one that was started by hand and goes on",
        advice="Stop it where it was started.",
    )


def _remove(run: RunFolder) -> None:
    folder = run.path
    if folder.is_symlink():
        folder = folder.resolve()
        run.path.unlink()
    remove_folder(folder)
