"""Writing files and folders so that they are whole or not there, and the errors of the disk.

What is written lies beside its place until it is whole, and is renamed then: no reader meets half a
file, and where the disk is full the old file stays. A file is on the disk (fsync) before it is
renamed, so that a loss of power leaves the old or the new one, and an error that a network disk
tells late still finds the old one in its place; that takes some milliseconds a file. Files of a
folder that is made as a whole can be made again and are not synced.

An error of the disk or of rights becomes a StorageError: one sentence for the reader.
"""

import errno
import glob
import hashlib
import os
import re
import shutil
import tempfile
import time
import uuid
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
# Libraries in Rust raise the system's errors as text, not as OSError with its number.
_IN_WORDS = re.compile(r"\(os error (\d+)\)")
# A folder without a lock may have been made just now and be locked in a moment.
_LEFT_AFTER_SECONDS = 60.0
# A part that was not written to for so long belongs to a process that was killed.
_PART_LEFT_AFTER_SECONDS = 3_600.0
_LOCK = ".lock"


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    with path.open("rb") as reader:
        return hashlib.file_digest(reader, "sha256").hexdigest()


def storage_error(error: Exception, place: Path | None = None) -> StorageError | None:
    """Turn an error of the disk or of rights into a StorageError; None for any other error.

    The sentence names the file that the error tells of, or else `place`.
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
    """Raise StorageError for what the disk refuses in the block; see `storage_error`."""
    try:
        yield
    except Exception as error:
        told = None if isinstance(error, WorkbenchError) else storage_error(error, place)
        if told is None:
            raise
        raise told from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path beside `path`; the file written there replaces it when the block ends.

        with replacing(run.config) as part:
            part.write_text(text)

    Where the block fails or writes nothing, `path` stays as it was and nothing else is left.
    Several processes may write the same file: the last one's stays. Raises StorageError.
    """
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    with storing(path):
        _remove_abandoned_parts(path)
        try:
            yield part
            if part.exists():
                _sync(part)
                part.replace(path)
        except OSError as error:
            if error.filename == str(part):
                # The reader knows the name of the file, not that of the part beside it.
                error.filename = str(path)
            raise
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 file by rename; where that raises StorageError, the old file stays."""
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")


def write_once(path: Path, content: bytes) -> None:
    """Write a file, readable by its owner alone, unless it is there already.

    Where several processes write at once, the first one's file stays. Raises StorageError.
    """
    with replacing(path) as part:
        part.touch(mode=0o600)
        part.write_bytes(content)
        _sync(part)
        with suppress(FileExistsError):
            os.link(part, path)
        part.unlink()


def append_line(path: Path, text: str) -> None:
    """Append a line to a UTF-8 file; where that raises StorageError, the file is as before."""
    with storing(path), path.open("ab", buffering=0) as file:
        before, left = file.tell(), f"{text}\n".encode()
        try:
            while left:
                left = left[file.write(left) :]
        except OSError:
            os.truncate(path, before)
            raise


def make_folder(folder: Path) -> None:
    """Make a folder and its parents unless they are there; raises StorageError."""
    with storing(folder):
        folder.mkdir(parents=True, exist_ok=True)


@contextmanager
def making_folder(folder: Path) -> Iterator[Path]:
    """Give a folder to fill, which becomes `folder` when the block ends.

    `folder` must not be there yet, or be empty. Where the block fails nothing is left of it. Raises
    StorageError.
    """
    with working_folder(folder.parent, "adding") as part:
        yield part
        part.rename(folder)


def remove_folder(folder: Path) -> None:
    """Remove a folder; it is hidden by a rename first, so that no reader meets half of it.

    It needs no room on the disk, as it may be called to make room. What a process that was killed
    here left hidden is removed with the next folder beside it. Raises StorageError.
    """
    hidden = folder.with_name(f".deleting-{uuid.uuid4().hex}")
    with storing(folder):
        folder.rename(hidden)
        shutil.rmtree(hidden)
    for left in folder.parent.glob(".deleting-*"):
        with suppress(OSError):
            if time.time() - left.stat().st_ctime > _PART_LEFT_AFTER_SECONDS:
                shutil.rmtree(left)


@contextmanager
def working_folder(parent: Path, purpose: str) -> Iterator[Path]:
    """Give an empty folder, hidden in `parent`, that is removed when the block ends.

    What is to stay is moved out of it by a rename. Folders that processes left when they were
    killed are removed by the next call with the same `purpose`. Raises StorageError.
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
    """Remove folders whose lock nobody holds, unless made just now and perhaps not locked yet."""
    with importing.LOCK:
        from filelock import FileLock, Timeout

    for folder in parent.glob(f".{purpose}-*"):
        # Another process may remove it at the same time.
        with suppress(OSError, Timeout):
            if time.time() - folder.stat().st_mtime < _LEFT_AFTER_SECONDS:
                continue
            with FileLock(folder / _LOCK, timeout=0):
                shutil.rmtree(folder)


def _remove_abandoned_parts(path: Path) -> None:
    """Remove what processes that were killed left beside the same file."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        # Another process may remove it at the same time.
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > _PART_LEFT_AFTER_SECONDS:
                left.unlink()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
