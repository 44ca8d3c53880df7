"""Files are whole or not there, and a disk that refuses is one sentence."""

import errno
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from fracture_core import files
from fracture_core.errors import StorageError, WeightsError
from fracture_core.files import (
    append_line,
    hash_file,
    making_folder,
    remove_folder,
    replacing,
    storage_error,
    storing,
    working_folder,
    write_once,
    write_text,
)


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 kB, nearly full."""
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)],
        capture_output=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"cannot mount here: {done.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(place: Path, *, leaving: int = 0) -> Path:
    filler = place / "filler"
    free = os.statvfs(place)
    filler.write_bytes(b"0" * max(0, free.f_bavail * free.f_bsize - leaving))
    return filler


def test_a_full_disk_leaves_the_old_file_and_goes_on_when_there_is_room(full: Path) -> None:
    path = full / "kept.json"
    write_text(path, "old")
    filler = fill(full)
    with pytest.raises(StorageError, match=r"kept.json: expected room on the disk, found a full"):
        write_text(path, "new" * 10_000)
    assert path.read_text() == "old"
    assert sorted(each.name for each in full.iterdir()) == ["filler", "kept.json"]
    filler.unlink()
    write_text(path, "new")
    assert path.read_text() == "new"


def test_a_library_in_rust_that_meets_a_full_disk_gets_the_same_sentence(full: Path) -> None:
    import torch

    from fracture_core.models.state_dicts import save_tensors

    fill(full, leaving=8_192)
    with pytest.raises(StorageError, match="a full disk"), replacing(full / "w") as part:
        save_tensors({"w": torch.zeros(100_000)}, part)
    assert [each.name for each in full.iterdir()] == ["filler"]


def test_a_block_that_fails_leaves_nothing_and_keeps_its_own_error(tmp_path: Path) -> None:
    def fail() -> None:
        with replacing(tmp_path / "a") as part:
            part.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not list(tmp_path.iterdir())


def test_a_block_that_writes_nothing_leaves_the_old_file(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "old")
    with replacing(tmp_path / "a"):
        pass
    assert (tmp_path / "a").read_text() == "old"


def test_of_two_who_write_at_once_nobody_meets_half_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    texts = {letter: letter * 200_000 for letter in "abcd"}
    met: set[str] = set()

    def write(text: str) -> None:
        for _ in range(5):
            write_text(path, text)
            met.add(path.read_text())

    threads = [threading.Thread(target=write, args=(text,)) for text in texts.values()]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert met <= set(texts.values())
    assert [each.name for each in tmp_path.iterdir()] == ["a"]


def test_a_part_that_a_killed_process_left_is_removed_by_the_next_write(tmp_path: Path) -> None:
    old, young, others = (tmp_path / f".{name}.part" for name in ("a[1].x", "a[1].y", "b.x"))
    for part in (old, young, others):
        part.write_text("half")
    an_hour_ago = time.time() - 3_700
    for part in (old, others):
        os.utime(part, (an_hour_ago, an_hour_ago))
    write_text(tmp_path / "a[1]", "whole")
    assert {each.name for each in tmp_path.iterdir()} == {"a[1]", young.name, others.name}


def test_the_file_and_not_the_place_beside_it_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError) as told, replacing(tmp_path / "a.json") as part:
        raise OSError(errno.EROFS, "Read-only file system", str(part))
    assert str(told.value).startswith(f"{tmp_path / 'a.json'}: expected a place")


def test_the_hash_of_a_file_is_its_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    # FIPS 180-2, appendix B.1.
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert hash_file(tmp_path / "a") == known


def test_of_several_who_write_once_the_first_stays(tmp_path: Path) -> None:
    write_once(tmp_path / "key", b"first")
    write_once(tmp_path / "key", b"second")
    assert (tmp_path / "key").read_bytes() == b"first"
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["key"]


def test_a_line_is_appended_whole_or_not_at_all(full: Path) -> None:
    path = full / "lines"
    append_line(path, "é")
    filler = fill(full, leaving=4_096)
    with pytest.raises(StorageError, match=r"lines: expected room on the disk"):
        append_line(path, "x" * 20_000)
    assert path.read_text() == "é\n"
    filler.unlink()
    append_line(path, "b")
    assert path.read_text() == "é\nb\n"


def test_a_folder_appears_when_it_is_whole(tmp_path: Path) -> None:
    place = tmp_path / "new" / "folder"
    with making_folder(place) as part:
        (part / "a").write_text("a")
        assert not place.exists()
    assert [each.name for each in place.iterdir()] == ["a"]
    with pytest.raises(ZeroDivisionError), making_folder(tmp_path / "other"):
        raise ZeroDivisionError
    assert [each.name for each in tmp_path.iterdir()] == ["new"]


def test_a_folder_is_removed_on_a_full_disk_as_that_makes_room(full: Path) -> None:
    (full / "folder").mkdir()
    (full / "folder" / "a").write_text("a")
    fill(full)
    remove_folder(full / "folder")
    assert [each.name for each in full.iterdir()] == ["filler"]


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "a full disk"),
        (errno.EDQUOT, "a quota"),
        (errno.EROFS, "a read-only file system"),
        (errno.EACCES, "the right to read and write it"),
        (errno.EFBIG, "a limit on the size"),
    ],
)
def test_what_the_disk_refuses_is_a_sentence_with_the_file(number: int, words: str) -> None:
    told = storage_error(OSError(number, os.strerror(number), "/home/of/it.json"))
    assert told is not None
    assert words in str(told)
    assert "/home/of/it.json" in str(told)
    with pytest.raises(StorageError, match="place"), storing(Path("place")):
        raise OSError(number, os.strerror(number))


def test_other_errors_stay_what_they_are() -> None:
    assert storage_error(FileNotFoundError(errno.ENOENT, "gone")) is None
    assert storage_error(ValueError("no")) is None
    with pytest.raises(WeightsError), storing(Path("place")):
        raise WeightsError("w", expected="a file", found="Permission denied (os error 13)")


def test_a_working_folder_is_gone_in_the_end_whatever_happened(tmp_path: Path) -> None:
    with working_folder(tmp_path, "adding") as inner:
        (inner / "weights").write_text("w")
        inner.rename(tmp_path / "model")
    assert [each.name for each in tmp_path.iterdir()] == ["model"]
    with pytest.raises(ZeroDivisionError), working_folder(tmp_path, "adding"):
        raise ZeroDivisionError
    assert [each.name for each in tmp_path.iterdir()] == ["model"]


KILLED = """
import os, signal, sys
from pathlib import Path
from fracture_core.files import working_folder
with working_folder(Path(sys.argv[1]), "adding") as inner:
    (inner / "weights").write_text("w")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_left_is_removed_and_what_others_hold_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    (left,) = tmp_path.iterdir()
    # From before there were locks.
    (tmp_path / ".adding-of-old").mkdir()
    held = tmp_path / ".adding-held"
    held.mkdir()
    with FileLock(held / ".lock"):
        with working_folder(tmp_path, "adding"):
            assert left.exists(), "it may be one that is not locked yet"
        monkeypatch.setattr(files, "_LEFT_AFTER_SECONDS", -1.0)
        with working_folder(tmp_path, "adding"):
            assert not left.exists()
        assert [each.name for each in tmp_path.iterdir()] == [".adding-held"]


def test_hours_old_folders_are_those_removed(tmp_path: Path) -> None:
    old, young = tmp_path / ".adding-a", tmp_path / ".adding-b"
    for folder in (old, young):
        folder.mkdir()
    an_hour_ago = time.time() - 3_600
    os.utime(old, (an_hour_ago, an_hour_ago))
    with working_folder(tmp_path, "adding"):
        pass
    assert [each.name for each in tmp_path.iterdir()] == [".adding-b"]
