"""The fuzzer finds what it is there to find, and every format withstands a few mutants."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from fracture_core.errors import DatasetError, WorkbenchError
from fracture_core.settings import settings
from tests.fuzz import running
from tests.fuzz.all_formats import ALL_FORMATS
from tests.fuzz.formats import Format
from tests.fuzz.mutations import MUTATIONS, mutate
from tests.fuzz.running import try_mutants

WHOLE = b"a whole file, 12345"


def make(folder: Path) -> Path:
    path = folder / "file.txt"
    path.write_bytes(WHOLE)
    return path


def verdicts(folder: Path, act: Callable[[bytes], str], **how: bool) -> set[str]:
    """Of five mutants of a format that opens whole files and does `act` with damaged ones."""

    def open_file(path: Path) -> str:
        data = path.read_bytes()
        return "whole" if data == WHOLE else act(data)

    kind = Format(make=make, open=open_file, **how)
    watched = folder / "watched"
    watched.mkdir()
    trials = try_mutants(kind, "text", range(5), 0, folder / "work", watched)
    return {trial.verdict for trial in trials}


def refuse(_: bytes) -> str:
    raise DatasetError("a", expected="b", found="c")


def fail(_: bytes) -> str:
    raise KeyError("a bug")


def refuse_unprintably(_: bytes) -> str:
    raise WorkbenchError("\x1b[2J")


def fill(_: bytes) -> str:
    return str(len(bytearray(4 * running.MEMORY_BYTES)))


def loop(_: bytes) -> str:
    while True:
        pass


def die(_: bytes) -> str:
    os.kill(os.getpid(), signal.SIGTERM)
    return "alive"


def test_each_kind_of_fault_is_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "SECONDS", 1)
    cases: dict[str, Callable[[bytes], str]] = {
        "refused": refuse,
        "other": lambda data: data.hex(),
        "same": lambda _: "whole",
        "CRASH": fail,
        "MEMORY": fill,
        "HANG": loop,
    }
    for number, (verdict, act) in enumerate(cases.items()):
        folder = tmp_path / f"{number}"
        folder.mkdir()
        assert verdicts(folder, act) == {verdict}


def test_a_fork_that_dies_or_says_what_cannot_be_shown_has_crashed(tmp_path: Path) -> None:
    for name, act in {"kill": die, "escape": refuse_unprintably}.items():
        folder = tmp_path / name
        folder.mkdir()
        assert verdicts(folder, act) == {"CRASH"}


def test_other_contents_are_a_fault_where_there_are_check_sums(tmp_path: Path) -> None:
    assert verdicts(tmp_path, lambda data: data.hex(), has_check_sums=True) == {"OTHER CONTENTS"}


def test_what_is_left_behind_is_a_fault(tmp_path: Path) -> None:
    def leave(data: bytes) -> str:
        (tmp_path / "watched" / f"{time.monotonic_ns()}").touch()
        return refuse(data)

    assert "LEFT BEHIND" in verdicts(tmp_path, leave)


def test_mutants_are_the_same_for_a_seed_and_never_whole() -> None:
    data = bytes(range(256)) * 4
    mutants = [mutate(data, Random(number)) for number in range(300)]
    assert mutants == [mutate(data, Random(number)) for number in range(300)]
    assert data not in mutants
    assert len(set(mutants)) > 280
    for change in MUTATIONS:
        changed = [bytearray(data) for _ in range(10)]
        for number, one in enumerate(changed):
            change(one, Random(number))
        assert any(bytes(one) != data for one in changed)


@pytest.mark.parametrize("name", ALL_FORMATS)
def test_a_few_mutants_of_every_format(name: str, tmp_path: Path) -> None:
    watched = settings().models
    watched.mkdir(parents=True, exist_ok=True)
    trials = list(try_mutants(ALL_FORMATS[name], name, range(2), 1, tmp_path / "work", watched))
    assert [trial for trial in trials if trial.verdict in running.FAULTS] == []
    assert len(trials) == 2
