"""python -m fracture_core.jobs.wrapper RUN_FOLDER JOB_LOCK WRAPPER_LOCK: sees one job through.

It starts the trainer in a session of its own, passes on the wish to stop, makes sure that no
process is left, writes exit_code and starts what waits. It outlives the app. If it is killed, the
trainer goes on, and whoever tends the queue next does the rest.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from fracture_core.errors import ConfigError
from fracture_core.jobs.job import Record, read_record, write_text
from fracture_core.jobs.local import tend
from fracture_core.jobs.processes import CPU, TRAINER_MARK, WRAPPER_MARK, kill_trainers
from fracture_core.runs import RunFolder
from fracture_core.settings import settings

POLL_SECONDS = 0.1
_NOT_STARTED = 127


def watch(run: RunFolder, job_lock: int, wrapper_lock: int) -> None:
    """Sees a job through until none of its processes is left, and then tends the queue.

    The locks are descriptors that the process which started the wrapper has handed over.
    """
    _stop_on_signals(run)
    record = read_record(run.job)
    try:
        trainer = _start_trainer(run, record, job_lock)
    except OSError as error:
        print(f"The job cannot be started: {error}", file=sys.stderr, flush=True)
        code = _NOT_STARTED
    else:
        code = _see_through(run, trainer, job_lock)
    try:
        if _is_there(run, job_lock):
            write_text(run.exit_code, str(code))
    finally:
        # The trainer's processes have gone, so that these were the last descriptors of the locks.
        os.close(job_lock)
        os.close(wrapper_lock)
        tend()


def _start_trainer(run: RunFolder, record: Record, job_lock: int) -> subprocess.Popen[bytes]:
    environment = {name: value for name, value in os.environ.items() if name != WRAPPER_MARK}
    environment |= {TRAINER_MARK: str(run.path), "PYTHONUNBUFFERED": "1"}
    if record.device not in ("", CPU):
        environment["CUDA_VISIBLE_DEVICES"] = record.device
    return subprocess.Popen(  # noqa: S603 - the command line that was submitted
        record.command,
        stdin=subprocess.DEVNULL,
        env=environment,
        pass_fds=(job_lock,),
        start_new_session=True,
    )


def _see_through(run: RunFolder, trainer: subprocess.Popen[bytes], job_lock: int) -> int:
    """Returns the trainer's exit code once it and all that came from it have gone."""
    asked_at: float | None = None
    # Not waited for yet: as a zombie the trainer keeps its process id, which names its session.
    while not _has_exited(trainer.pid):
        if not _is_there(run, job_lock):
            break
        if asked_at is None and run.stopping.exists():
            asked_at = time.monotonic()
            trainer.send_signal(signal.SIGTERM)
        if asked_at is not None and time.monotonic() - asked_at > settings().stop_seconds:
            seconds = settings().stop_seconds
            print(f"Not stopped after {seconds} s: killed.", file=sys.stderr, flush=True)
            break
        time.sleep(POLL_SECONDS)
    if not kill_trainers(run.path, (trainer.pid,)):
        print("A process of the job does not die.", file=sys.stderr, flush=True)
    return trainer.wait()


def _has_exited(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _is_there(run: RunFolder, job_lock: int) -> bool:
    """Tells whether this is still the folder that the job was started in."""
    return os.fstat(job_lock).st_nlink > 0 and run.path.is_dir()


def _stop_on_signals(run: RunFolder) -> None:
    """Takes SIGTERM, as at a shutdown, for a wish to stop, and ignores what a terminal sends.

    Handlers are set for it because, unlike ignored signals, they are not inherited by the trainer.
    """

    def stop(*_: object) -> None:
        if run.path.is_dir():
            run.stopping.touch()

    signal.signal(signal.SIGTERM, stop)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)


def main() -> None:
    """The entry point of the process."""
    folder, job_lock, wrapper_lock = sys.argv[1:]
    try:
        watch(RunFolder(path=Path(folder)), int(job_lock), int(wrapper_lock))
    except (ConfigError, FileNotFoundError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
