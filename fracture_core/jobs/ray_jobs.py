"""The runner "ray": jobs on a Ray cluster, here or elsewhere, at RAY_ADDRESS (http://HOST:8265).

The cluster keeps the queue and the processes. Its machines must see the run folder, the data set
and this package under the same paths. A cluster that does not answer raises ConfigError. The
functions are those of `reading.Runner`.
"""

import json
import os
import shlex
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from fracture_core import importing
from fracture_core.errors import ConfigError
from fracture_core.jobs.job import Job, Record, State, read_record, write_record, write_text
from fracture_core.jobs.locks import queue_lock
from fracture_core.jobs.processes import TRAINER_MARK
from fracture_core.jobs.reading import UNKNOWN, list_jobs, read_job
from fracture_core.jobs.verbs import next_attempt
from fracture_core.runs import RunFolder
from fracture_core.settings import settings

if TYPE_CHECKING:
    from ray.job_submission import JobDetails, JobSubmissionClient

_CONNECT_SECONDS = 3.0
_LISTING_SECONDS = 1.0
_KILL_SECONDS = 10.0
_LOG_BYTES = 10_000_000
_Listing = dict[str, "JobDetails"]
_last_listing: tuple[float, _Listing | ConfigError] | None = None


def submit(run: RunFolder, record: Record) -> None:
    """Hands a run to the cluster; where that fails, its folder is as it was before."""
    client = _connect()
    name = f"{run.name}-{uuid.uuid4().hex[:8]}"
    sent = {"queued": False, "started": time.time(), "ray_id": name}
    environment = {
        "FRACTURE_HOME": str(settings().home),
        # The cluster asks by SIGTERM, and kills after 3 s unless told otherwise.
        "RAY_JOB_STOP_WAIT_TIME_S": str(settings().stop_seconds),
        TRAINER_MARK: str(run.path),
    }
    traces = (run.job, run.exit_code, run.stopped, run.stopping)
    with _restored_on_error(traces), _spoken_plainly():
        write_record(record.model_copy(update=sent), run.job)
        for trace in traces[1:]:
            trace.unlink(missing_ok=True)
        client.submit_job(
            entrypoint=shlex.join(record.command),
            submission_id=name,
            entrypoint_num_gpus=_gpus_of(run),
            runtime_env={"env_vars": environment},
        )
    _forget_listing()


def status(_run: RunFolder, record: Record) -> tuple[State | None, str]:
    """Returns the state as the cluster tells it; "lost" where it does not answer."""
    try:
        details = _list_cached().get(record.ray_id)
    except ConfigError as error:
        return State.LOST, str(error)
    if details is None or details.status.is_terminal():
        return None, ""
    if details.status == "PENDING":
        return State.QUEUED, details.message or ""
    return State.RUNNING, ""


def logs(_run: RunFolder, record: Record, limit: int) -> str:
    """Returns the end of what the job printed, at most `limit` characters, from the cluster."""
    client = _connect()
    with _spoken_plainly():
        return client.get_job_logs(record.ray_id)[-limit:]


def stop(run: RunFolder, record: Record) -> None:
    """Lets the cluster send SIGTERM, and SIGKILL after the grace time given at submission."""
    client = _connect()
    with _spoken_plainly():
        client.stop_job(record.ray_id)
    run.stopping.touch()
    _forget_listing()


def kill(run: RunFolder, record: Record | None) -> None:
    """Stops a job and waits; raises ConfigError where it does not end."""
    if record is None or run.exit_code.exists():
        return
    until = time.monotonic() + settings().stop_seconds + _KILL_SECONDS
    _forget_listing()
    if status(run, record)[0] is not None:
        stop(run, record)
    while not _is_over(record):
        if time.monotonic() > until:
            raise ConfigError(
                run.path, expected="a job that can be ended", found="one that Ray does not end"
            )
        time.sleep(0.2)


def tend() -> None:
    """Writes down how jobs ended, with their logs, and starts crashed ones again."""
    with queue_lock():
        mine = [each for each in list_jobs() if each.runner == "ray" and not each.settled]
        if not mine:
            return
        _forget_listing()
        listing = _list_cached()
        for job in mine:
            _settle(job, listing)


def _settle(job: Job, listing: _Listing) -> None:
    run, record = job.run, read_record(job.run.job)
    details = listing.get(record.ray_id)
    if details is not None and not details.status.is_terminal():
        return
    code = UNKNOWN if details is None else _write_down(run, record, details)
    write_text(run.exit_code, code)
    ended = read_job(run)
    again = next_attempt(ended) if ended is not None else None
    if again is not None:
        submit(run, again)


def _write_down(run: RunFolder, record: Record, details: "JobDetails") -> str:
    """Keeps a job's log, and a wish to stop by Ray's own pages; returns the exit code."""
    said = logs(run, record, limit=_LOG_BYTES)
    if details.status == "FAILED" and details.driver_exit_code is None:
        said = f"{said}{details.message}\n"
    with run.log.open("a", encoding="utf-8") as log:
        log.write(said)
    if details.status == "STOPPED":
        run.stopping.touch()
        return UNKNOWN
    succeeded = details.status == "SUCCEEDED"
    otherwise = 0 if succeeded else 1
    return str(otherwise if details.driver_exit_code is None else details.driver_exit_code)


def _is_over(record: Record) -> bool:
    _forget_listing()
    details = _list_cached().get(record.ray_id)
    return details is None or details.status.is_terminal()


def _gpus_of(run: RunFolder) -> int:
    """Returns how many GPUs the job asks for; the trainer itself refuses an invalid config."""
    try:
        on_cpu = json.loads(run.config.read_text(encoding="utf-8")).get("device") == "cpu"
    except (ValueError, AttributeError):
        on_cpu = False
    return 0 if on_cpu else settings().ray_gpus


def _list_cached() -> _Listing:
    """Returns all jobs of the cluster, asked for at most once a second; raises ConfigError."""
    global _last_listing  # noqa: PLW0603 - one cluster a process
    if _last_listing is None or time.monotonic() - _last_listing[0] > _LISTING_SECONDS:
        _last_listing = (time.monotonic(), _list())
    found = _last_listing[1]
    if isinstance(found, ConfigError):
        raise found
    return found


def _forget_listing() -> None:
    global _last_listing  # noqa: PLW0603 - one cluster a process
    _last_listing = None


def _list() -> _Listing | ConfigError:
    try:
        client = _connect()
        with _spoken_plainly():
            return {each.submission_id: each for each in client.list_jobs() if each.submission_id}
    except ConfigError as error:
        return error


def _connect() -> "JobSubmissionClient":
    address = os.environ.get("RAY_ADDRESS", "")
    url = urlsplit(address)
    if url.scheme not in ("http", "https") or not url.hostname:
        raise ConfigError(
            "RAY_ADDRESS",
            expected="the address of a Ray cluster, such as http://127.0.0.1:8265",
            found=repr(address) if address else "nothing",
        )
    # Ray's own client would wait for ever, so a bare connection is tried first.
    with _spoken_plainly():
        port = url.port or (443 if url.scheme == "https" else 80)
        socket.create_connection((url.hostname, port), _CONNECT_SECONDS).close()
    try:
        with importing.LOCK:
            from ray.job_submission import JobSubmissionClient
    except ImportError as error:
        raise ConfigError(
            "FRACTURE_RUNNER",
            expected="Ray to be installed",
            found="no module named ray",
            advice="Install it with: pip install 'fracture-workbench[ray]'",
        ) from error
    with _spoken_plainly():
        return JobSubmissionClient(address)


@contextmanager
def _spoken_plainly() -> Iterator[None]:
    """Turns Ray's many errors for a cluster that refuses or does not answer into ConfigError."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, OSError | RuntimeError | _ray_errors()):
            raise
        said = str(error).strip().split("\n")[0][:200]
        raise ConfigError(
            "RAY_ADDRESS",
            expected=f"a Ray cluster that answers at {os.environ.get('RAY_ADDRESS', '')}",
            found=said or type(error).__name__,
            advice="Nothing was started here. Start the cluster, or correct the address or token.",
        ) from error


def _ray_errors() -> type[Exception]:
    with importing.LOCK:
        from ray.exceptions import RayError

    return cast(type[Exception], RayError)


@contextmanager
def _restored_on_error(paths: tuple[Path, ...]) -> Iterator[None]:
    before = {path: path.read_bytes() for path in paths if path.exists()}
    try:
        yield
    except BaseException:
        for path in paths:
            if path in before:
                path.write_bytes(before[path])
            else:
                path.unlink(missing_ok=True)
        raise
