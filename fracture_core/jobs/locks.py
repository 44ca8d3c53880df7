"""Locks of the operating system, each held as long as any process lives that has its descriptor.

A child that inherits the descriptor holds the lock as well, so that one lock can stand for a whole
tree of processes. Unlike a process id, a lock cannot pass to an unrelated process, and there is no
moment between starting a process and recording it. A zombie holds no lock.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from fracture_core.errors import ConfigError
from fracture_core.settings import settings

# A process that checks whether a lock is held takes it for a moment.
_PATIENCE_SECONDS = 1.0
_QUEUE_PATIENCE_SECONDS = 30.0


def take_lock(path: Path) -> int | None:
    """Returns a descriptor that holds the lock until all its copies are closed; None if taken."""
    import fcntl

    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    until = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                os.close(descriptor)
                return None
            time.sleep(0.005)
        else:
            return descriptor


def is_held(path: Path) -> bool:
    """Tells whether any process holds the lock; False where there is no such file."""
    import fcntl

    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)


@contextmanager
def queue_lock() -> Iterator[None]:
    """Holds the right to change which jobs there are, for one process at a time on this machine.

    Raises ConfigError where another process keeps it for 30 s, and for files that cannot be
    changed.
    """
    runs = settings().runs
    try:
        runs.mkdir(parents=True, exist_ok=True)
        with FileLock(runs / ".queue.lock", timeout=_QUEUE_PATIENCE_SECONDS):
            yield
    except Timeout as error:
        raise ConfigError(
            runs,
            expected="a queue that can be changed",
            found=f"another process has held it for {_QUEUE_PATIENCE_SECONDS:.0f} s",
            advice="Try again; if it stays so, end that process.",
        ) from error
    except OSError as error:
        raise ConfigError(
            error.filename or runs,
            expected="a file that is there and can be written",
            found=error.strerror or type(error).__name__,
            advice="Look at the folder, its rights and the room on the disk.",
        ) from error
