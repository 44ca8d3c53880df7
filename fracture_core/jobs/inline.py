"""The runner "inline": jobs in this process, one after the other, while the caller waits.

It is meant for tests and debugging. The functions are those of `reading.Runner`.
"""

import io
import os
import runpy
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout

from fracture_core.errors import ConfigError
from fracture_core.jobs.job import Record, State, read_record, read_tail, write_record, write_text
from fracture_core.jobs.locks import is_held, queue_lock, take_lock
from fracture_core.jobs.reading import list_jobs
from fracture_core.runs import RunFolder


def submit(run: RunFolder, record: Record) -> None:
    """Adds a run to the end of the queue; `tend` runs it."""
    write_record(record, run.job)


def status(run: RunFolder, _record: Record) -> tuple[State | None, str]:
    """Returns "running" while the process that runs the job lives, else None."""
    return (State.RUNNING if is_held(run.job_lock) else None), ""


def logs(run: RunFolder, _record: Record, limit: int) -> str:
    """Returns the end of log.txt."""
    return read_tail(run, limit)


def stop(run: RunFolder, _record: Record) -> None:
    """Raises ConfigError, as there is no process that could be asked."""
    raise ConfigError(
        run.path,
        expected="a job in a process of its own",
        found="one that runs inside another program",
        advice="Stop that program.",
    )


def kill(run: RunFolder, record: Record | None) -> None:
    """Raises ConfigError while the job runs, and does nothing otherwise."""
    if is_held(run.job_lock):
        stop(run, record or read_record(run.job))


def tend() -> None:
    """Runs all waiting jobs to their end."""
    while _run_next():
        continue


def _run_next() -> bool:
    """Runs the first waiting job; returns False where none waits."""
    with queue_lock():
        waiting = [each for each in list_jobs() if each.runner == "inline" and not each.settled]
        waiting = [each for each in waiting if each.state is State.QUEUED]
        if not waiting:
            return False
        run = waiting[0].run
        lock = take_lock(run.job_lock)
        if lock is None:
            return False
        for trace in (run.exit_code, run.stopped, run.stopping):
            trace.unlink(missing_ok=True)
        record = read_record(run.job)
        started = {"queued": False, "started": time.time()}
        write_record(record.model_copy(update=started), run.job)
    try:
        write_text(run.exit_code, str(_execute(run, record.command)))
    finally:
        os.close(lock)
    return True


def _execute(run: RunFolder, command: tuple[str, ...]) -> int:
    """Returns the exit code of `python -m MODULE …` or `python FILE …`, run in this process."""
    with run.log.open("a", encoding="utf-8") as log, redirect_stdout(log), redirect_stderr(log):
        try:
            with _arguments(command[2:] if command[1] == "-m" else command[1:]):
                if command[1] == "-m":
                    # runpy warns of a module that was imported before.
                    sys.modules.pop(f"{command[2]}.__main__", None)
                    runpy.run_module(command[2], run_name="__main__", alter_sys=True)
                else:
                    runpy.run_path(command[1], run_name="__main__")
        except SystemExit as end:
            return _code_of(end, log)
        except Exception:
            traceback.print_exc(file=log)
            return 1
    return 0


def _code_of(end: SystemExit, log: io.TextIOBase) -> int:
    if isinstance(end.code, int) or end.code is None:
        return end.code or 0
    log.write(f"{end.code}\n")
    return 1


@contextmanager
def _arguments(arguments: tuple[str, ...]) -> Iterator[None]:
    before = sys.argv
    sys.argv = list(arguments)
    try:
        yield
    finally:
        sys.argv = before
