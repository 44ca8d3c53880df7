"""The runner "local": jobs on this machine, a training and an evaluation on each GPU or the CPU.

A short evaluation need not wait behind a long training: they are two lanes of the queue, and share
a device that has the memory for both.

There is no server. The queue is the job.json files of the runs, and whoever calls `tend` does what
is due: a page, a command, or the wrapper of the job that just ended. Each job has a wrapper process
that outlives the app. Two locks tell what lives: the job's, held by the wrapper, the trainer and
all its children, and the wrapper's own. The functions are those of `reading.Runner`.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Set
from contextlib import suppress

from fracture_core.errors import ConfigError
from fracture_core.jobs.job import (
    Job,
    Record,
    State,
    read_record,
    read_tail,
    write_record,
    write_text,
)
from fracture_core.jobs.locks import is_held, queue_lock, take_lock
from fracture_core.jobs.processes import (
    TRAINER_MARK,
    WRAPPER_MARK,
    find_leader,
    find_trainers,
    free_gb,
    kill_trainers,
    kill_wrapper,
    list_devices,
)
from fracture_core.jobs.reading import UNKNOWN, list_jobs, read_job
from fracture_core.jobs.verbs import next_attempt
from fracture_core.runs import EVALUATION, Kind, RunFolder
from fracture_core.settings import settings

_KILL_SECONDS = 10.0


def submit(run: RunFolder, record: Record) -> None:
    """Adds a run to the end of the queue; `tend` starts it. Raises ConfigError on Windows."""
    if sys.platform == "win32":
        raise ConfigError(
            "FRACTURE_RUNNER",
            expected="Linux or macOS for local jobs",
            found="Windows",
            advice="Use the Windows Subsystem for Linux, or a Ray cluster.",
        )
    write_record(record, run.job)


def status(run: RunFolder, _record: Record) -> tuple[State | None, str]:
    """Returns "running" as long as any process of the job lives, else None."""
    return (State.RUNNING if is_held(run.job_lock) else None), ""


def logs(run: RunFolder, _record: Record, limit: int) -> str:
    """Returns the end of log.txt."""
    return read_tail(run, limit)


def stop(run: RunFolder, _record: Record) -> None:
    """Asks the wrapper to stop the job, by a file; without a wrapper, `tend` stops it."""
    write_text(run.stopping, "")


def kill(run: RunFolder, _record: Record | None) -> None:
    """Kills every process of a job; raises ConfigError where one does not die."""
    kill_wrapper(run.path)
    until = time.monotonic() + _KILL_SECONDS
    while not kill_trainers(run.path) or is_held(run.job_lock):
        if time.monotonic() > until:
            raise ConfigError(
                run.path,
                expected="a job that can be ended",
                found="a process that does not die",
                advice="Nothing was deleted. Try again, or restart the machine.",
            )
        time.sleep(0.02)


def tend() -> None:
    """Clears up after jobs that ended and starts those there is room for; raises ConfigError."""
    with queue_lock():
        mine = [job for job in list_jobs() if job.runner in ("local", "")]
        _clear_up(mine)
        # Clearing up changes the state of jobs, so they are read again.
        _start_waiting([job for each in mine if (job := read_job(each.run)) is not None])


def _clear_up(jobs: list[Job]) -> None:
    for job in jobs:
        if job.runner and not job.settled:
            _settle(job)
        now = read_job(job.run)
        again = next_attempt(now) if now is not None else None
        if again is not None:
            write_record(again, job.run.job)
            # Only now: without it nobody would know that the job is to wait again.
            job.run.pausing.unlink(missing_ok=True)


def _settle(job: Job) -> None:
    """Does what a wrapper that was killed left undone."""
    run = job.run
    if job.state is State.QUEUED or not run.path.is_dir():
        return
    if is_held(run.job_lock):
        if not is_held(run.wrapper_lock):
            _mind_orphans(run)
        return
    if run.exit_code.exists():
        # The wrapper has done everything but end.
        return
    # Children that closed the lock's descriptor may still live.
    kill_trainers(run.path)
    write_text(run.exit_code, UNKNOWN)


def _mind_orphans(run: RunFolder) -> None:
    orphans = find_trainers(run.path)
    leader = find_leader(orphans)
    if leader is None or _is_overdue(run):
        kill_trainers(run.path)
    elif run.stopping.exists():
        leader.terminate()


def _is_overdue(run: RunFolder) -> bool:
    with suppress(FileNotFoundError):
        return time.time() - run.stopping.stat().st_mtime > settings().stop_seconds
    return False


def _start_waiting(jobs: list[Job]) -> None:
    live = [job for job in jobs if not job.state.is_over]
    busy: dict[str, set[Kind]] = {device: set() for device in list_devices()}
    for job in live:
        if job.state is not State.QUEUED and job.runner:
            busy.setdefault(job.device, set()).add(job.kind)
    # A live job whose record is unreadable runs on one of those that seem free.
    free = [device for device, kinds in busy.items() if not kinds]
    for unknown in free[: sum(not job.runner for job in live)]:
        busy[unknown] = {"training", EVALUATION}
    waiting = [job for job in live if job.state is State.QUEUED]
    waiting.sort(key=lambda job: job.position)
    for job in waiting:
        device = _device_for(job.kind, busy)
        if device is not None:
            _start(job.run, device)
            busy[device].add(job.kind)


def _device_for(kind: Kind, busy: Mapping[str, Set[Kind]]) -> str | None:
    """Returns a device without a job, else one that has room beside a job of the other kind."""
    for device, kinds in busy.items():
        if not kinds:
            return device
    for device, kinds in busy.items():
        if kind not in kinds and free_gb(device) >= settings().share_gb:
            return device
    return None


def _start(run: RunFolder, device: str) -> None:
    """Starts a job, whose locks this process and then the wrapper hold without a gap."""
    job_lock, wrapper_lock = take_lock(run.job_lock), take_lock(run.wrapper_lock)
    try:
        if job_lock is None or wrapper_lock is None:
            # What is left of an earlier start still holds it; the next `tend` tries again.
            return
        for trace in (run.exit_code, run.stopped, run.stopping, run.pausing):
            trace.unlink(missing_ok=True)
        record = read_record(run.job)
        started = record.model_copy(
            update={"queued": False, "started": time.time(), "device": device}
        )
        write_record(started, run.job)
        _start_wrapper(run, job_lock, wrapper_lock)
    except OSError as error:
        found = error.strerror or type(error).__name__
        raise ConfigError(run.path, expected="a job that starts", found=found) from error
    finally:
        for lock in (job_lock, wrapper_lock):
            if lock is not None:
                os.close(lock)


def _start_wrapper(run: RunFolder, job_lock: int, wrapper_lock: int) -> None:
    module = "fracture_core.jobs.wrapper"
    command = [sys.executable, "-m", module, str(run.path), str(job_lock), str(wrapper_lock)]
    environment = {name: value for name, value in os.environ.items() if name != TRAINER_MARK}
    with run.log.open("ab") as log:
        wrapper = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment | {WRAPPER_MARK: str(run.path)},
            pass_fds=(job_lock, wrapper_lock),
            start_new_session=True,
        )
    # Somebody must wait for a child, or it stays as a zombie.
    threading.Thread(target=wrapper.wait, daemon=True).start()
