"""Data sets in the cache: how long they stay, and how much room they may take together.

    cache/packed/FINGERPRINT/    packs of the loop (trainers.packing)
    cache/yolo/FINGERPRINT/      folders for Ultralytics (trainers.yolo.folder)

Each can be made again from its data set. One is in use as long as a process that called `hold` for
it lives; what is in use is never removed.
"""

import fcntl
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fracture_core.errors import StorageError
from fracture_core.files import remove_folder
from fracture_core.settings import settings

KINDS = ("packed", "yolo")
_USED = ".used"
_DAY_SECONDS = 86_400
# Another process may just be writing it, and holds it only when it is whole.
_YOUNG_SECONDS = 3_600


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    folder: Path
    size: int
    used: float


def hold(folder: Path) -> None:
    """Note that a data set is used now, and keep it until this process ends.

    On a read-only disk nothing is noted, and nothing is removed either.
    """
    with suppress(OSError):
        (folder / _USED).touch()
        # Never closed: the system lets the lock go with the process, however that ends.
        descriptor = os.open(folder / _USED, os.O_RDONLY | os.O_CLOEXEC)
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)


def make_room(needed_bytes: int = 0) -> None:
    """Remove what is too old, then the longest unused until `needed_bytes` more fit.

    They have to fit in the limit of the cache and on the disk. What was removed is said on stderr.
    """
    now = time.time()
    entries = sorted(_entries(), key=lambda each: each.used)
    total = sum(each.size for each in entries)
    removed, freed = 0, 0
    for each in entries:
        is_old = now - each.used > settings().cache_days * _DAY_SECONDS
        is_too_much = total - freed + needed_bytes > settings().cache_gb * 10**9
        if not (is_old or is_too_much or _free_bytes() < needed_bytes):
            continue
        if now - each.used > _YOUNG_SECONDS and _remove(each.folder):
            removed, freed = removed + 1, freed + each.size
    if removed:
        print(f"cache: {removed} unused removed, {freed / 1e9:.1f} GB", file=sys.stderr)


def _entries() -> Iterator[_Entry]:
    for kind in KINDS:
        place = settings().cache / kind
        for folder in place.iterdir() if place.is_dir() else ():
            # Another process may remove it meanwhile.
            with suppress(OSError):
                if folder.is_dir():
                    yield _entry(folder)


def _entry(folder: Path) -> _Entry:
    mark = folder / _USED
    used = (mark if mark.exists() else folder).stat().st_mtime
    files = (path for path in folder.rglob("*") if path.is_file())
    return _Entry(folder=folder, size=sum(path.stat().st_size for path in files), used=used)


def _free_bytes() -> int:
    return shutil.disk_usage(settings().cache).free


def _remove(folder: Path) -> bool:
    """Whether it is gone; one in use stays, and so does one that cannot be removed."""
    try:
        descriptor = os.open(folder / _USED, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        remove_folder(folder)
    except (OSError, StorageError):
        return False
    else:
        return True
    finally:
        os.close(descriptor)
