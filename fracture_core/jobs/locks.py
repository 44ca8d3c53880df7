"""Locks of the operating system: held as long as any process lives that has the descriptor.

A child that inherits the descriptor holds the lock as well, so one lock can stand for a whole tree
of processes, and there is no number that another process could get, and no moment between starting
a process and writing down that it was started. A zombie holds nothing.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from fracture_core.errors import ConfigError
from fracture_core.settings import settings

# Whoever looks whether a lock is held has it for a moment.
_PATIENCE_SECONDS = 1.0
_QUEUE_PATIENCE_SECONDS = 30.0


def take_lock(path: Path) -> int | None:
    """A descriptor that holds the lock until all copies of it are closed; None = another has it."""
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
    """Whether any process has the lock; False where there is no such file."""
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
    """The right to change what jobs there are; one process at a time, whichever app it is.

    Raises ConfigError where another one does not let go, and for files that cannot be changed.
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
