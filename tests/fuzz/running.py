"""Mutants of one format, each opened by a fork of this process that has little time and memory."""

import os
import resource
import shutil
import signal
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Literal

from fracture_core.errors import WorkbenchError
from tests.fuzz.formats import Format
from tests.fuzz.mutations import mutate

Verdict = Literal[
    "refused", "same", "other", "CRASH", "HANG", "MEMORY", "LEFT BEHIND", "OTHER CONTENTS"
]
FAULTS: tuple[Verdict, ...] = ("CRASH", "HANG", "MEMORY", "LEFT BEHIND", "OTHER CONTENTS")
SECONDS = 10
MEMORY_BYTES = 1 << 30
_PATIENCE = 12
_REFUSED, _OPENED, _FAILED, _NO_MEMORY = range(10, 14)
_VERDICTS: dict[int, Verdict] = {_REFUSED: "refused", _FAILED: "CRASH", _NO_MEMORY: "MEMORY"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What became of one mutant; `said` is the refusal, the hash or the end of the traceback."""

    number: int
    verdict: Verdict
    said: str


def try_mutants(
    kind: Format, name: str, numbers: range, seed: int, work: Path, watched: Path
) -> Iterator[Trial]:
    """Makes and opens mutants `numbers`; those with a fault stay in `work`.

    `watched` is a folder that must be as before after each of them. The whole file is opened first.
    """
    whole = work / "whole"
    whole.mkdir(parents=True)
    made = kind.make(whole)
    # Forks have what is imported on first use already: their time is for the file.
    kind.open(made)
    first = _open(kind, made, work)
    if first.verdict != "other":
        raise AssertionError(f"{name}: the whole file is not opened: {first.said}")
    before = _listing(watched)
    for number in numbers:
        rng = Random(f"{seed}/{name}/{number}")
        folder = work / f"{name}-{number}"
        shutil.copytree(whole, folder)
        resealed = _damage(folder, kind, rng)
        trial = _open(kind, folder / made.relative_to(whole), work)
        verdict = trial.verdict
        if verdict == "other" and trial.said == first.said:
            verdict = "same"
        elif verdict == "other" and kind.has_check_sums and not resealed:
            verdict = "OTHER CONTENTS"
        if verdict not in FAULTS and _listing(watched) != before:
            verdict = "LEFT BEHIND"
        if verdict not in FAULTS:
            shutil.rmtree(folder)
        yield Trial(number=number, verdict=verdict, said=trial.said)


def _damage(folder: Path, kind: Format, rng: Random) -> bool:
    """Change one file; whether its check sums were made right again."""
    file = rng.choice(sorted(path for path in folder.rglob("*") if path.is_file()))
    data = file.read_bytes()
    resealed = kind.reseal is not None and rng.random() < 0.5
    if kind.reseal is not None and resealed:
        file.write_bytes(kind.reseal(data, lambda part: mutate(part, rng)))
    else:
        file.write_bytes(mutate(data, rng))
    return resealed


def _open(kind: Format, path: Path, work: Path) -> Trial:
    """In a fork; "other" means opened."""
    said = work / "said.txt"
    said.write_text("")
    child = os.fork()
    if child == 0:
        _open_and_exit(kind, path, said)
    signal.signal(signal.SIGALRM, lambda *_: os.kill(child, signal.SIGKILL))
    signal.alarm(_PATIENCE * SECONDS)
    _, status, used = os.wait4(child, 0)
    signal.alarm(0)
    verdict = _verdict(status)
    grown = used.ru_maxrss * 1024 - _resident_bytes()
    if verdict in {"other", "refused"} and grown > MEMORY_BYTES:
        verdict = "MEMORY"
    return Trial(number=-1, verdict=verdict, said=said.read_text(errors="replace"))


def _verdict(status: int) -> Verdict:
    if os.WIFSIGNALED(status):
        hung = os.WTERMSIG(status) in {signal.SIGXCPU, signal.SIGKILL}
        return "HANG" if hung else "CRASH"
    code = os.WEXITSTATUS(status)
    return "other" if code == _OPENED else _VERDICTS.get(code, "CRASH")


def _open_and_exit(kind: Format, path: Path, said: Path) -> None:
    """Never returns: whatever happens, this fork ends here."""
    code, text = _FAILED, ""
    try:
        _limit()
        code, text = _OPENED, kind.open(path)
    except WorkbenchError as error:
        # What a page or a terminal could not show counts as a crash.
        text = str(error)
        code = _REFUSED if text.isprintable() and len(text) < 2_000 else _FAILED
        # The product's own words for a reader that died.
        code = _FAILED if "did not survive" in text else code
    except MemoryError:
        code, text = _NO_MEMORY, traceback.format_exc()
    except BaseException:
        code, text = _FAILED, traceback.format_exc()
    finally:
        said.write_text(text, errors="replace")
        os._exit(code)


def _limit() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + 2 * MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def _listing(folder: Path) -> list[tuple[str, int]]:
    return sorted(
        (str(path.relative_to(folder)), path.stat().st_size if path.is_file() else 0)
        for path in folder.rglob("*")
    )
