"""The metrics log of a run: lines in metrics.jsonl, and a progress bar or lines on stderr.

Each line is a JSON object with "kind" ("step", "epoch" or "note") and "time" (seconds since 1970).
Steps and epochs have "phase", "epoch" and "step", counted from 1.
"""

import json
import sys
import time
from collections.abc import Iterable
from typing import Any, Self

from tqdm import tqdm

from fracture_core.files import append_line, write_text
from fracture_core.runs import RunFolder

STEP_SECONDS = 1.0
Line = dict[str, object]


class MetricsLog:
    """Appends to a run's metrics.jsonl; a line is written completely or not at all."""

    def __init__(self, run: RunFolder) -> None:
        self._run = run
        self._bar: tqdm[Any] | None = None
        self._last_step = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close_bar()

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

    def epoch(self, line: Line) -> None:
        """Write and print the losses and metrics of a finished epoch."""
        self._close_bar()
        self.write({"kind": "epoch", **line})
        metrics = {name: value for name, value in line.items() if isinstance(value, float)}
        shown = "  ".join(f"{name} {value:.4g}" for name, value in metrics.items())
        self._say(f"epoch {line['epoch']}/{line['of']}  {shown}")

    def rewind(self, *, phase: int, epoch: int, step: int) -> None:
        """Remove the lines that were written after a checkpoint, because those steps come again.

        `phase` and `epoch` count from 1; of that epoch the first `step` steps are done.
        """
        kept = [line for line in self._run.read_metrics() if not _later(line, phase, epoch, step)]
        write_text(self._run.metrics, "".join(json.dumps(line) + "\n" for line in kept))

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
