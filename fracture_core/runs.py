"""The folder of a run: a training or an evaluation, what it was asked for, did and gave.

config.json        what was asked for; that of an evaluation has "kind": "evaluation"
log.txt            what it printed
metrics.jsonl      one JSON object a line: steps, epochs, progress, notes
checkpoints/       last.pt and best.pt
images/            grids of validation images at the last best epochs
stopped            there when it was asked to stop and stopped after a checkpoint
job.json           when it was submitted, to which runner, and how often it was started
stopping           there when somebody asked it to stop
exit_code          written last by whoever started it, when none of its processes is left
weights.safetensors, points.json
evaluations/       validation/ and test/: evaluations of the best checkpoint, which end the training
card.json          written last, by rename: a folder with a card is a finished run and a model

An evaluation has ground truths and predictions in place of checkpoints and weights, and its
evaluation.json comes last. Locks tell which processes work in a run. A request to stop arrives as a
signal, which a run looks for between two steps or batches.
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

# ---- requests to stop ---------------------------------------------------------------------------

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def stop_on_signal() -> Iterator[Callable[[], bool]]:
    """Give a function that tells whether SIGTERM or Ctrl-C has come since the block began.

    Python hands signals to the main thread alone: in another thread it always says no.
    """
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


# ---- run folders --------------------------------------------------------------------------------

Kind = Literal["training", "evaluation"]
EVALUATION: Final = "evaluation"
"""What "kind" says in the config.json of an evaluation."""
_NAME = re.compile(r"\w[\w.\-]{0,99}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFolder:
    """The places of the files of one run; nothing is read until it is asked for."""

    path: Path

    @property
    def name(self) -> str:
        """The name of the folder, which is the id of the run."""
        return self.path.name

    @property
    def kind(self) -> Kind:
        """What config.json says; a run whose file cannot be read counts as a training."""
        try:
            config = json.loads(self.config.read_bytes())
        except (OSError, ValueError):
            return "training"
        named = config.get("kind") if isinstance(config, dict) else None
        return EVALUATION if named == EVALUATION else "training"

    @property
    def result(self) -> Path:
        """The file that is written last: where it is there, the run has succeeded."""
        return self.evaluation if self.kind == EVALUATION else self.card

    @property
    def config(self) -> Path:
        """What was asked for, as JSON."""
        return self.path / "config.json"

    @property
    def log(self) -> Path:
        """What the run printed."""
        return self.path / "log.txt"

    @property
    def metrics(self) -> Path:
        """The metrics log, JSON Lines; `read_metrics` reads it."""
        return self.path / "metrics.jsonl"

    @property
    def checkpoints(self) -> Path:
        """The folder of last.pt and best.pt."""
        return self.path / "checkpoints"

    @property
    def images(self) -> Path:
        """The folder of the grids of validation images; `best_images` lists them."""
        return self.path / "images"

    def best_images(self) -> list[Path]:
        """Return the grids of validation images at the last best epochs, in their order."""
        return sorted(self.images.glob("best-epoch-*.png"))

    @property
    def stopped(self) -> Path:
        """A mark: the run was asked to stop and has stopped after a checkpoint."""
        return self.path / "stopped"

    @property
    def job(self) -> Path:
        """When the run was submitted, to which runner, and how often it was started."""
        return self.path / "job.json"

    @property
    def stopping(self) -> Path:
        """A mark: somebody asked the run to stop."""
        return self.path / "stopping"

    @property
    def exit_code(self) -> Path:
        """The exit code, written when none of the run's processes is left."""
        return self.path / "exit_code"

    @property
    def job_lock(self) -> Path:
        """Locked while any process of the job lives: its wrapper, the trainer or its children."""
        return self.path / ".job.lock"

    @property
    def wrapper_lock(self) -> Path:
        """Locked by the process that starts the trainer and watches it."""
        return self.path / ".wrapper.lock"

    @property
    def trainer_lock(self) -> Path:
        """Locked by the process that works in the run; see `claim`."""
        return self.path / ".lock"

    @property
    def evaluation(self) -> Path:
        """The file that an evaluation writes last."""
        return self.path / "evaluation.json"

    @property
    def evaluations(self) -> Path:
        """The folder of the evaluations that end a training."""
        return self.path / "evaluations"

    @property
    def card(self) -> Path:
        """The model card, which a training writes last."""
        return self.path / "card.json"

    @contextmanager
    def claim(self) -> Iterator[None]:
        """Hold the run for this process alone; raises ConfigError where another one holds it.

        The operating system releases the lock when a process dies, however it dies.
        """
        try:
            # A process that only looks whether the lock is held takes it for a moment.
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
        """Return the lines of metrics.jsonl, without any that a crash or a full disk cut off."""
        if not self.metrics.is_file():
            return []
        return parse_metrics(self.metrics.read_text(encoding="utf-8", errors="replace"))


def parse_metrics(text: str) -> list[dict[str, object]]:
    """Parse the complete lines of a metrics log; what is cut off or no JSON object is left out.

    Example:
        >>> parse_metrics('{"epoch": 1}\\n{"epoch": 2}\\n{"epo')
        [{'epoch': 1}, {'epoch': 2}]
    """
    # The text after the last line break was not finished. A line that was cut off earlier has run
    # together with the one written next, and both are lost.
    lines = (_parse_line(line) for line in text.split("\n")[:-1])
    return [line for line in lines if line is not None]


def _parse_line(text: str) -> dict[str, object] | None:
    try:
        line = json.loads(text)
    except ValueError:
        return None
    return line if isinstance(line, dict) else None


def new_run(path: Path) -> RunFolder:
    """Make an empty run folder.

    Raises ConfigError for a name that is no model id or a folder in use, and StorageError.
    """
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
    """Give a new run folder to fill; where the block fails, it is removed if it is still empty.

    Raises as `new_run` does.
    """
    run = new_run(path)
    try:
        yield run
    except BaseException:
        with suppress(OSError):
            run.path.rmdir()
        raise


def open_run(path: Path) -> RunFolder:
    """Return a run folder that is there; raises ConfigError where it has no config.json."""
    run = RunFolder(path=path.absolute())
    if not run.config.is_file():
        found = "no config.json in it" if path.is_dir() else "no such folder"
        advice = "Make one with: python -m trainers new RUN_FOLDER --recipe NAME --data PATH"
        raise ConfigError(path, expected="a run folder", found=found, advice=advice)
    return run
