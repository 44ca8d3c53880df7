"""How far a run has come and how long it will still take, by the end of its metrics log."""

import json
import os
from dataclasses import dataclass

from fracture_core.runs import RunFolder, parse_metrics

TAIL_BYTES = 1_000_000
_Line = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where the last line of a training stands; phase, epoch and step count from 1.

    `share` is what is done of all epochs asked for, in [0, 1] · `seconds_left` is None where
    nothing allows an estimate yet; early stopping may end a training sooner · `latest` holds the
    metrics of the last line.
    """

    phase: int
    epoch: int
    epochs: int
    step: int
    steps: int
    share: float
    seconds_left: float | None
    latest: dict[str, float]

    @property
    def words(self) -> str:
        """Returns epoch and step in words."""
        return f"epoch {self.epoch} of {self.epochs} · step {self.step} of {self.steps}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageProgress:
    """Where an evaluation stands: `done` images `of` those asked for; the rest as in `Progress`."""

    done: int
    of: int
    share: float
    seconds_left: float | None

    @property
    def words(self) -> str:
        """Returns the number of images done in words."""
        return f"{self.done:,} of {self.of:,} images"


def read_progress(run: RunFolder) -> Progress | ImageProgress | None:
    """Returns how far a run has come since its last start; None before the first step or image."""
    since = _read_end(run)
    told = [line for line in since if line.get("kind") == "progress"]
    if told:
        return _of_images(told)
    # Epoch 0 is the validation before the first step.
    lines = [line for line in since if "step" in line and line.get("epoch", 0) != 0]
    if not lines:
        return None
    last = lines[-1]
    total, before = _epochs_of(run, last)
    done = before + _epochs_done(last)
    pace = _seconds_an_epoch(lines)
    return Progress(
        phase=int(_number(last, "phase", 1)),
        epoch=int(_number(last, "epoch", 1)),
        epochs=int(_number(last, "of", 1)),
        step=int(_number(last, "step", 0)),
        steps=int(_number(last, "steps", 1)),
        share=min(1.0, done / total),
        seconds_left=None if pace is None else max(0.0, total - done) * pace,
        latest=_metrics(last),
    )


def _of_images(lines: list[_Line]) -> ImageProgress:
    first, last = lines[0], lines[-1]
    done, of = (_number(last, name, 0) for name in ("done", "of"))
    gained = done - _number(first, "done", 0)
    seconds = _number(last, "time", 0) - _number(first, "time", 0)
    known = gained > 0 and seconds > 0
    return ImageProgress(
        done=int(done),
        of=int(of),
        share=min(1.0, done / of) if of > 0 else 0.0,
        seconds_left=max(0.0, of - done) * seconds / gained if known else None,
    )


def _read_end(run: RunFolder) -> list[_Line]:
    """Returns the lines written since the last start, or all if nothing was done since."""
    try:
        with run.metrics.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL_BYTES))
            text = file.read(TAIL_BYTES).decode("utf-8", errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return []
    lines = parse_metrics(text)
    starts = [n for n, line in enumerate(lines) if _is_resumed(line)]
    since = lines[starts[-1] :] if starts else lines
    return since if any("epoch" in line or "done" in line for line in since) else lines


def _is_resumed(line: _Line) -> bool:
    return line.get("kind") == "note" and str(line.get("text", "")).startswith("resumed")


def _epochs_of(run: RunFolder, last: _Line) -> tuple[float, float]:
    """Returns the epochs asked for in all phases, and those of the phases before this one."""
    here = max(1.0, _number(last, "of", 1))
    try:
        config = json.loads(run.config.read_text(encoding="utf-8"))
        first, second = float(config["epochs"]), config.get("second_phase")
        more = float(second["epochs"]) if second else 0.0
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        # Without a config that can be read, count the epochs of the line's own phase alone.
        return here, 0.0
    if _number(last, "phase", 1) > 1:
        return first + here, first
    return here + more, 0.0


def _epochs_done(line: _Line) -> float:
    whole = _number(line, "epoch", 1) - 1
    return whole + min(1.0, _number(line, "step", 0) / max(1.0, _number(line, "steps", 1)))


def _seconds_an_epoch(lines: list[_Line]) -> float | None:
    """Returns seconds by this phase's last whole epoch with validation, or by the steps so far."""
    last = lines[-1]
    same = [line for line in lines if line.get("phase") == last.get("phase")]
    whole = [line for line in same if line.get("kind") == "epoch" and _number(line, "seconds", 0)]
    if whole:
        return _number(whole[-1], "seconds", 0) + _number(whole[-1], "validation_seconds", 0)
    done = _epochs_done(last) - _epochs_done(same[0])
    seconds = _number(last, "time", 0) - _number(same[0], "time", 0)
    return seconds / done if done > 0 and seconds > 0 else None


def _number(line: _Line, name: str, otherwise: float) -> float:
    value = line.get(name, otherwise)
    return float(value) if isinstance(value, int | float) else otherwise


def _metrics(line: _Line) -> dict[str, float]:
    times = ("time", "seconds", "validation_seconds")
    return {
        name: value
        for name, value in line.items()
        if isinstance(value, float) and name not in times
    }
