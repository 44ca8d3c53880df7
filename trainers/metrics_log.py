"""The metrics log of a run: lines in metrics.jsonl, and a progress bar or lines on stderr.

Each line is a JSON object with "kind" ("step", "epoch" or "note") and "time" (seconds since 1970).
Steps and epochs have "phase", "epoch" and "step", counted from 1; epoch 0 is the validation of the
network before its first step. The names of the numbers in an epoch:

    loss, class, l1 …       the loss of training and its parts, means over the steps
    accuracy                the share of training images that a classifier was right about
    val_…                   the same of validation, and its metrics
    lr, lr_backbone …       the learning rate of each group of parameters in the last step
    seconds, validation_seconds

What an epoch came to goes to the trackers as well.
"""

import json
import sys
import time
from collections.abc import Iterable, Mapping
from typing import Any, Self

from tqdm import tqdm

from fracture_core.files import append_line, write_text
from fracture_core.runs import RunFolder
from trainers.trackers import Trackers

STEP_SECONDS = 1.0
Line = dict[str, object]


class MetricsLog:
    """Appends to a run's metrics.jsonl; a line is written completely or not at all.

    Leaving its block closes the `trackers`. `has_start` says whether epoch 0 was logged.
    """

    def __init__(self, run: RunFolder, trackers: Trackers | None = None) -> None:
        self._run = run
        self._trackers = trackers
        self._epochs = 0
        self.has_start = False
        self._bar: tqdm[Any] | None = None
        self._last_step = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close_bar()
        if self._trackers is not None:
            for note in self._trackers.close():
                self.note(note)

    def start_trackers(self) -> None:
        """Start the trackers; raises ConfigError where one cannot be started."""
        if self._trackers is not None:
            self._trackers.start()

    def write(self, line: Line) -> None:
        """Append one line, with "time" added; raises StorageError, and ValueError for NaN."""
        text = json.dumps({**line, "time": round(time.time(), 3)}, allow_nan=False)
        append_line(self._run.metrics, text)

    def note(self, text: str) -> None:
        """Write something that a person should know, and print it to stderr."""
        self.write({"kind": "note", "text": text})
        self._say(text)

    def no_value(self, monitor: str, epoch: int, there: Iterable[str]) -> None:
        """Note that an epoch has no value of the watched metric; `there` are those it has.

        A precision of no predictions, for example, is undefined.
        """
        self.note(
            f"epoch {epoch} has no value of {monitor}, by which the best one is told (there are "
            f"{', '.join(there)}): it counts as no better one. Where that stays so, choose another "
            "monitor, or a validation split that has what it needs."
        )

    def step(self, line: Line) -> None:
        """Show where an epoch stands, and write it to the file at most once a second."""
        self._draw(line)
        if time.monotonic() - self._last_step >= STEP_SECONDS:
            self._last_step = time.monotonic()
            self.write({"kind": "step", **line})

    def start(self, epochs: int, metrics: Mapping[str, float], seconds: float) -> None:
        """Log the metrics of the network before its first step as epoch 0; `seconds` it took."""
        self.has_start = True
        found = {f"val_{name}": value for name, value in metrics.items()}
        place = {"phase": 1, "epoch": 0, "of": epochs, "step": 0, "steps": 0}
        self.epoch({**place, **found, "validation_seconds": seconds, "best": False})

    def epoch(self, line: Line) -> None:
        """Write, print and track the losses and metrics of a finished epoch."""
        self._close_bar()
        self.write({"kind": "epoch", **line})
        self._epochs += bool(line["epoch"])
        if self._trackers is not None:
            for note in self._trackers.log(line, self._epochs):
                self.note(note)
        metrics = {name: value for name, value in line.items() if isinstance(value, float)}
        shown = "  ".join(f"{name} {value:.4g}" for name, value in metrics.items())
        self._say(f"epoch {line['epoch']}/{line['of']}  {shown}")

    def rewind(self, *, phase: int, epoch: int, step: int) -> None:
        """Remove the lines that were written after a checkpoint, because those steps come again.

        `phase` and `epoch` count from 1; of that epoch the first `step` steps are done.
        """
        kept = [line for line in self._run.read_metrics() if not _later(line, phase, epoch, step)]
        write_text(self._run.metrics, "".join(json.dumps(line) + "\n" for line in kept))
        epochs = [line for line in kept if line.get("kind") == "epoch"]
        self.has_start = any(line.get("epoch") == 0 for line in epochs)
        self._epochs = len(epochs) - self.has_start

    def _say(self, text: str) -> None:
        if self._bar is not None:
            self._bar.write(text, file=sys.stderr)
        else:
            print(text, file=sys.stderr, flush=True)

    def _draw(self, line: Line) -> None:
        if not sys.stderr.isatty():
            return
        steps, step = int(str(line["steps"])), int(str(line["step"]))
        title = f"epoch {line['epoch']}/{line['of']}"
        bar = self._bar or tqdm(total=steps, desc=title, leave=False, file=sys.stderr)
        bar.set_postfix_str(f"loss {line.get('loss', float('nan')):.4g}", refresh=False)
        bar.update(step - bar.n)
        self._bar = bar

    def _close_bar(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _later(line: Line, phase: int, epoch: int, step: int) -> bool:
    """Whether a line was written after the first `step` steps of an epoch (phase, epoch from 1)."""
    if "epoch" not in line:
        return False
    place = (int(str(line.get("phase", 1))), int(str(line["epoch"])))
    if place != (phase, epoch):
        return place > (phase, epoch)
    return line["kind"] == "epoch" or int(str(line.get("step", 0))) > step
