"""A request to stop, by signal, that is seen between two steps or batches.

A training or an evaluation as a folder: what it is, what it did and what came of it.

config.json        what was asked for; that of an evaluation says so
log.txt            what it printed
metrics.jsonl      one JSON object a line: steps, epochs, progress, notes
checkpoints/       last.pt and best.pt
stopped            it was asked to stop and stopped after a checkpoint
job.json           when it was submitted, to whom, and how often it was started
stopping           somebody asked it to stop
exit_code          written last by whoever started it, when none of its processes is left
weights.safetensors, points.json
evaluations/       validation/ and test/: evaluations of the best checkpoint, which end the training
card.json          written last, by rename: a folder with a card is a finished run and a model

An evaluation has answers in place of checkpoints and weights, and its evaluation.json comes last.
"""

import json
import re
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from filelock import FileLock, Timeout

from fracture_core.errors import ConfigError
from fracture_core.files import storing

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def stop_on_signal() -> Iterator[Callable[[], bool]]:
    """Whether SIGTERM or Ctrl-C has come since; outside the main thread nothing can come."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return
    before = {number: signal.signal(number, lambda *_: asked.set()) for number in _SIGNALS}
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


Kind = Literal["training", "evaluation"]
EVALUATION: Final = "evaluation"
"""What "kind" says in the config.json of an evaluation."""
_NAME = re.compile(r"\w[\w.\-]{0,99}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFolder:
    """Where each file of a run lies; nothing is read until it is asked for."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def kind(self) -> Kind:
        """By config.json; what cannot be read is taken for a training."""
        try:
            config = json.loads(self.config.read_bytes())
        except (OSError, ValueError):
            return "training"
        named = config.get("kind") if isinstance(config, dict) else None
        return EVALUATION if named == EVALUATION else "training"

    @property
    def result(self) -> Path:
        """What is written last: where it is there, the run has succeeded."""
        return self.evaluation if self.kind == EVALUATION else self.card

    @property
    def config(self) -> Path:
        return self.path / "config.json"

    @property
    def log(self) -> Path:
        return self.path / "log.txt"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def stopped(self) -> Path:
        return self.path / "stopped"

    @property
    def job(self) -> Path:
        return self.path / "job.json"

    @property
    def stopping(self) -> Path:
        return self.path / "stopping"

    @property
    def exit_code(self) -> Path:
        return self.path / "exit_code"

    @property
    def job_lock(self) -> Path:
        return self.path / ".job.lock"

    @property
    def wrapper_lock(self) -> Path:
        return self.path / ".wrapper.lock"

    @property
    def trainer_lock(self) -> Path:
        return self.path / ".lock"

    @property
    def evaluation(self) -> Path:
        return self.path / "evaluation.json"

    @property
    def evaluations(self) -> Path:
        return self.path / "evaluations"

    @property
    def card(self) -> Path:
        return self.path / "card.json"

    @contextmanager
    def claim(self) -> Iterator[None]:
        """Hold the run for this process alone; raises ConfigError where another one has it.

        The operating system lets go of the lock when a process dies, however it dies.
        """
        try:
            # Whoever looks whether the lock is held has it for a moment.
            with FileLock(self.trainer_lock, timeout=1.0):
                yield
        except Timeout as error:
            raise ConfigError(
                self.path,
                expected="a run that nobody is working on",
                found="a live process that works in it",
                advice="Wait for it, or stop it first.",
            ) from error

    def read_metrics(self) -> list[dict[str, object]]:
        """The lines of metrics.jsonl; those that a crash or a full disk cut off are left out."""
        if not self.metrics.is_file():
            return []
        return parse_metrics(self.metrics.read_text(encoding="utf-8", errors="replace"))


def parse_metrics(text: str) -> list[dict[str, object]]:
    """The whole lines of a part of metrics.jsonl."""
    # Text after the last line break was not finished. Before, a line that was cut off is one with
    # the line that was written next.
    lines = (_parse_line(line) for line in text.split("\n")[:-1])
    return [line for line in lines if line is not None]


def _parse_line(text: str) -> dict[str, object] | None:
    try:
        line = json.loads(text)
    except ValueError:
        return None
    return line if isinstance(line, dict) else None


def new_run(path: Path) -> RunFolder:
    """An empty run folder; raises ConfigError for a name that is no model id or a folder in use."""
    path = path.absolute()
    if not _NAME.fullmatch(path.name):
        expected = "a name of letters, digits, '_', '-' and '.', not beginning with '.' or '-'"
        raise ConfigError("run folder", expected=expected, found=repr(path.name))
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        found = "files in it" if path.is_dir() else "a file"
        advice = "Nothing was written; choose another folder."
        raise ConfigError(
            path, expected="a folder that is new or empty", found=found, advice=advice
        )
    with storing(path):
        path.mkdir(parents=True, exist_ok=True)
    return RunFolder(path=path)


@contextmanager
def beginning(path: Path) -> Iterator[RunFolder]:
    """A new run folder to be filled; an empty one does not stay where that fails."""
    run = new_run(path)
    try:
        yield run
    except BaseException:
        with suppress(OSError):
            run.path.rmdir()
        raise


def open_run(path: Path) -> RunFolder:
    """A run folder that is there; raises ConfigError."""
    run = RunFolder(path=path.absolute())
    if not run.config.is_file():
        found = "no config.json in it" if path.is_dir() else "no such folder"
        advice = "Make one with: python -m trainers new RUN_FOLDER --recipe NAME --data PATH"
        raise ConfigError(path, expected="a run folder", found=found, advice=advice)
    return run
