"""Data sets in the cache go when they are old or too many, and never while they are in use."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fracture_core.settings import settings
from trainers import data_set_cache
from trainers.data_set_cache import hold, make_room

DAY = 86_400
HOLDER = """
import sys, time
from pathlib import Path
from trainers.data_set_cache import hold
hold(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(300)
"""


def entry(name: str, *, days: float, size: int = 1_000, kind: str = "packed") -> Path:
    folder = settings().cache / kind / name
    folder.mkdir(parents=True)
    (folder / "pixels.npy").write_bytes(b"0" * size)
    used = folder / ".used"
    used.touch()
    when = time.time() - days * DAY
    os.utime(used, (when, when))
    return folder


def names() -> set[str]:
    return {
        each.name for kind in ("packed", "yolo") for each in (settings().cache / kind).glob("*")
    }


def limit(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    for name, value in values.items():
        monkeypatch.setenv(f"FRACTURE_CACHE_{name}", value)
    settings.cache_clear()


def test_what_was_not_used_for_so_many_days_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    limit(monkeypatch, DAYS="7")
    entry("old", days=8)
    entry("copy", days=9, kind="yolo")
    entry("young", days=6)
    make_room()
    assert names() == {"young"}


def test_beyond_the_limit_the_longest_unused_go(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    limit(monkeypatch, GB="1")
    for number in range(4):
        entry(f"set{number}", days=10 - number)
    # 4,000 bytes are there: to add a billion less 2,000, two of them have to go.
    make_room(10**9 - 2_000)
    assert names() == {"set2", "set3"}
    assert "cache: 2 unused removed" in capsys.readouterr().err


def test_a_disk_without_room_is_a_limit_too(monkeypatch: pytest.MonkeyPatch) -> None:
    entry("first", days=3)
    entry("second", days=2)
    free = iter([0, 10**9])
    monkeypatch.setattr(data_set_cache, "_free_bytes", lambda: next(free))
    make_room(1_000)
    assert names() == {"second"}


def test_what_was_used_within_the_hour_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    limit(monkeypatch, GB="0")
    entry("now", days=0)
    entry("before", days=1)
    make_room()
    assert names() == {"now"}


def test_what_another_process_holds_stays_until_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    limit(monkeypatch, GB="0")
    folder = entry("held", days=0)
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline().strip() == "held"
        long_ago = time.time() - 40 * DAY
        os.utime(folder / ".used", (long_ago, long_ago))
        make_room()
        assert names() == {"held"}
        holder.kill()
    make_room()
    assert names() == set()


def test_holding_counts_as_use() -> None:
    folder = entry("old", days=100)
    hold(folder)
    os.utime(entry("other", days=100) / ".used")
    make_room()
    assert names() == {"old", "other"}


def test_a_cache_that_is_not_there_needs_nothing() -> None:
    make_room(1_000)
    hold(settings().cache / "packed" / "absent")
    assert not settings().cache.exists()
