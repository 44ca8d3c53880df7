"""Files that are whole or not there, and one sentence where the disk refuses.

What is written lies beside its place until it is whole, and is renamed then: nobody meets half a
file, and what was there before stays where the disk is full.
"""

import errno
import hashlib
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fracture_core import importing
from fracture_core.errors import StorageError, WorkbenchError

_ROOM = "Make room and do it again: what was there before is as it was."
_RIGHTS = "Give yourself the right, or set FRACTURE_HOME to a folder of yours."
_REFUSALS = {
    errno.ENOSPC: ("room on the disk", "a full disk", _ROOM),
    errno.EDQUOT: ("room on the disk", "a quota that is used up", _ROOM),
    errno.EFBIG: ("room for the file", "a limit on the size of files", _ROOM),
    errno.EROFS: (
        "a place that can be written",
        "a read-only file system",
        "Set FRACTURE_HOME to a folder that can be written.",
    ),
    errno.EACCES: ("the right to read and write it", "none", _RIGHTS),
    errno.EPERM: ("the right to change it", "none", _RIGHTS),
}
# Libraries in Rust tell of the system's errors in words alone.
_IN_WORDS = re.compile(r"\(os error (\d+)\)")
_LEFT_AFTER_SECONDS = 60.0
_LOCK = ".lock"


def storage_error(error: Exception, place: Path | None = None) -> StorageError | None:
    """The sentence for an error of the disk or of rights; None for any other error.

    It names the error's own file, or else `place`.
    """
    said = _IN_WORDS.search(str(error))
    number = error.errno if isinstance(error, OSError) else int(said[1]) if said else None
    if number not in _REFUSALS:
        return None
    named = error.filename if isinstance(error, OSError) else None
    where = Path(str(named)) if named else place or Path("a file")
    expected, found, advice = _REFUSALS[number]
    return StorageError(str(where), expected=expected, found=found, advice=advice)


@contextmanager
def storing(place: Path) -> Iterator[None]:
    """What the disk refuses in this block is a StorageError; it names `place` if nothing else."""
    try:
        yield
    except Exception as error:
        told = None if isinstance(error, WorkbenchError) else storage_error(error, place)
        if told is None:
            raise
        raise told from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A place beside `path`; what was written there takes its place when the block ends.

        with replacing(run.config) as part:
            part.write_text(text)

    Where the block fails nothing is left of it and `path` is as before. Raises StorageError.
    """
    part = path.with_name(f"{path.name}.part")
    with storing(path):
        try:
            yield part
            part.replace(path)
        except BaseException:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            raise


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 by rename; raises StorageError, and the old file stays."""
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")


def hash_file(path: Path) -> str:
    """The sha256 of a file, as hexadecimal digits."""
    with path.open("rb") as reader:
        return hashlib.file_digest(reader, "sha256").hexdigest()


@contextmanager
def working_folder(parent: Path, purpose: str) -> Iterator[Path]:
    """An empty folder, hidden in `parent`, that is gone when the block ends.

    What is made in it is put in place by a rename. Those of processes that were killed are removed
    by the next who asks for one. Raises StorageError.
    """
    with importing.LOCK:
        from filelock import FileLock

    with storing(parent):
        parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(parent, purpose)
        outer = Path(tempfile.mkdtemp(prefix=f".{purpose}-", dir=parent))
        try:
            with FileLock(outer / _LOCK):
                inner = outer / "folder"
                inner.mkdir()
                yield inner
        finally:
            shutil.rmtree(outer, ignore_errors=True)


def _remove_abandoned(parent: Path, purpose: str) -> None:
    """A folder whose lock nobody holds, unless it was made just now and is not locked yet."""
    with importing.LOCK:
        from filelock import FileLock, Timeout

    for folder in parent.glob(f".{purpose}-*"):
        # Another process may remove it at the same time.
        with suppress(OSError, Timeout):
            if time.time() - folder.stat().st_mtime < _LEFT_AFTER_SECONDS:
                continue
            with FileLock(folder / _LOCK, timeout=0):
                shutil.rmtree(folder)
