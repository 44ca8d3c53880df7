"""What a run tells while it goes: lines in metrics.jsonl, and a bar or lines for people."""

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
    """Appends to metrics.jsonl; a line is whole or not there."""

    def __init__(self, run: RunFolder) -> None:
        self._run = run
        self._bar: tqdm[Any] | None = None
        self._last_step = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close_bar()

    def write(self, line: Line) -> None:
        """Append one line; "time" is added. Raises StorageError."""
        text = json.dumps({**line, "time": round(time.time(), 3)}, allow_nan=False)
        append_line(self._run.metrics, text)

    def note(self, text: str) -> None:
        """Something a person should know."""
        self.write({"kind": "note", "text": text})
        self._say(text)

    def no_value(self, monitor: str, epoch: int, there: Iterable[str]) -> None:
        """The watched figure is not among those of an epoch, such as a precision of nothing."""
        self.note(
            f"epoch {epoch} has no value of {monitor}, by which the best one is told (there are "
            f"{', '.join(there)}): it counts as no better one. Where that stays so, choose another "
            "monitor, or a validation split that has what it needs."
        )

    def step(self, line: Line) -> None:
        """Where an epoch stands; to the file at most once a second."""
        self._draw(line)
        if time.monotonic() - self._last_step >= STEP_SECONDS:
            self._last_step = time.monotonic()
            self.write({"kind": "step", **line})

    def epoch(self, line: Line) -> None:
        """What an epoch came to."""
        self._close_bar()
        self.write({"kind": "epoch", **line})
        metrics = {name: value for name, value in line.items() if isinstance(value, float)}
        shown = "  ".join(f"{name} {value:.4g}" for name, value in metrics.items())
        self._say(f"epoch {line['epoch']}/{line['of']}  {shown}")

    def rewind(self, *, phase: int, epoch: int, step: int) -> None:
        """Forget what was written after a checkpoint: it is going to happen again."""
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
    """Whether a line was written after the end of `step` steps of an epoch (both from 1)."""
    if "epoch" not in line:
        return False
    place = (int(str(line.get("phase", 1))), int(str(line["epoch"])))
    if place != (phase, epoch):
        return place > (phase, epoch)
    return line["kind"] == "epoch" or int(str(line.get("step", 0))) > step
