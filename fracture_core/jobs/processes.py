"""What local jobs run on, and their processes: the GPUs of this machine and the process table.

The processes of a job are found by a mark in their environment. Children inherit it, even those
that left their parent, process group or session.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Collection
from contextlib import suppress
from functools import cache
from pathlib import Path

import psutil

from fracture_core.errors import ConfigError

# ---- devices -------------------------------------------------------------------------------------


CPU = "cpu"
DRIVER_SECONDS = 20.0


def list_devices() -> tuple[str, ...]:
    """Returns the GPUs as CUDA_VISIBLE_DEVICES names them, or the CPU alone.

    The driver is asked without CUDA, which would take seconds and memory on every GPU. Raises
    ConfigError for a driver that does not answer.
    """
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is None:
        return _ask_driver() or (CPU,)
    names = tuple(name.strip() for name in named.split(",") if name.strip() not in ("", "-1"))
    return names or (CPU,)


@cache
def _ask_driver() -> tuple[str, ...]:
    lines = _ask("--query-gpu=index", "--format=csv,noheader").splitlines()
    return tuple(line.strip() for line in lines if line.strip())


def _ask(*arguments: str) -> str:
    """Returns what the driver's program prints, "" where there is none or it finds no GPU."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ""
    command = [program, *arguments]
    try:
        asked = subprocess.run(  # noqa: S603 - the driver's own program, names of devices
            command, capture_output=True, text=True, timeout=DRIVER_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(
            "nvidia-smi",
            expected="the GPUs of this machine",
            found=f"no answer ({type(error).__name__})",
            advice="Repair the driver, or name the GPUs in CUDA_VISIBLE_DEVICES; empty = the CPU.",
        ) from error
    # The machine has the driver's tools but no GPU.
    return asked.stdout if asked.returncode == 0 else ""


def free_gb(device: str) -> float:
    """Returns the free memory of a device of `list_devices` in GB; 0 where nobody can tell.

    Raises ConfigError for a driver that does not answer.
    """
    if device == CPU:
        return psutil.virtual_memory().available / 1e9
    asked = _ask(f"--id={device}", "--query-gpu=memory.free", "--format=csv,noheader,nounits")
    mebibytes = asked.strip()
    return int(mebibytes) * 2**20 / 1e9 if mebibytes.isdecimal() else 0.0


# ---- processes -----------------------------------------------------------------------------------


TRAINER_MARK = "FRACTURE_JOB"
WRAPPER_MARK = "FRACTURE_JOB_WRAPPER"


def find_trainers(folder: Path, sessions: Collection[int] = ()) -> list[psutil.Process]:
    """Returns every live process of a run's job but its wrapper.

    `sessions` are ids of sessions known to be the job's.
    """
    marked = _find_marked(TRAINER_MARK, folder)
    known = {session for each in marked if (session := _session_of(each.pid))} | set(sessions)
    if not known:
        return marked
    found = {each.pid: each for each in marked}
    for process in psutil.process_iter():
        if _session_of(process.pid) in known and _is_alive(process):
            found.setdefault(process.pid, process)
    found.pop(os.getpid(), None)
    return list(found.values())


def find_leader(processes: list[psutil.Process]) -> psutil.Process | None:
    """Returns the process that leads the others' session, if it lives: the one they come from."""
    return next((each for each in processes if _session_of(each.pid) == each.pid), None)


def kill_trainers(folder: Path, sessions: Collection[int] = (), patience: float = 10.0) -> bool:
    """Sends SIGKILL to all processes of a job until none is left.

    Returns False where some still live after `patience` seconds.
    """
    until = time.monotonic() + patience
    while left := find_trainers(folder, sessions):
        _kill(left)
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def kill_wrapper(folder: Path) -> None:
    """Sends SIGKILL to the job's wrapper, if there is one."""
    _kill(_find_marked(WRAPPER_MARK, folder))


def _kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        # psutil compares creation times first: a process that got a reused id is not killed.
        with suppress(psutil.NoSuchProcess):
            process.kill()


def _find_marked(mark: str, folder: Path) -> list[psutil.Process]:
    me = os.getpid()
    return [
        each for each in psutil.process_iter() if each.pid != me and _has_mark(each, mark, folder)
    ]


def _has_mark(process: psutil.Process, mark: str, folder: Path) -> bool:
    try:
        return process.environ().get(mark) == str(folder) and _is_alive(process)
    except (psutil.Error, OSError):
        # The process has gone meanwhile, is a zombie, or belongs to another user.
        return False


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.Error:
        return False


def _session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None
