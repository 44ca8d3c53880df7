"""How far an evaluation is: lines in metrics.jsonl, and whatever a caller shows."""

import json
import time
from collections.abc import Callable
from typing import Self

from fracture_core.files import append_line
from fracture_core.runs import RunFolder

_SECONDS = 1.0


class ProgressLines:
    """Writes {"kind": "progress", "done", "of", "time"}, at most once a second and at the end."""

    def __init__(
        self, run: RunFolder, tell: Callable[[int, int], object], done: int, of: int
    ) -> None:
        self._run = run
        self._tell = tell
        self._done, self._of = done, of
        self._written = 0.0

    def __enter__(self) -> Self:
        """What was written before says nothing of the pace from here on."""
        if self._done:
            self._write({"kind": "note", "text": f"resumed after {self._done} images"})
        self.say(self._done)
        return self

    def __exit__(self, *_: object) -> None:
        self._line()

    def say(self, done: int) -> None:
        """So many pictures are behind."""
        self._done = done
        self._tell(done, self._of)
        if time.monotonic() - self._written >= _SECONDS:
            self._line()

    def _line(self) -> None:
        self._written = time.monotonic()
        self._write({"kind": "progress", "done": self._done, "of": self._of})

    def _write(self, line: dict[str, object]) -> None:
        text = json.dumps({**line, "time": round(time.time(), 3)})
        append_line(self._run.metrics, text)
