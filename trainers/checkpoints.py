"""The state of a training on disk, written so that a kill at any moment leaves a whole one."""

import errno
import shutil
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch

from fracture_core.errors import ConfigError

LAST, BEST = "last.pt", "best.pt"
State = dict[str, Any]


@dataclass(kw_only=True, slots=True)
class Position:
    """Where a training stands.

    `phase`, `epoch` and `step` count what is done: steps of the epoch under way · `parts` that a
    batch is put through in · `best` figure and the epoch (over all phases) it was reached in ·
    `waited` epochs without a better one · `sums` of the losses of this epoch, by name.

    All random numbers of a step follow from the seed and this position, so no generator's state
    has to be kept.
    """

    phase: int = 0
    epoch: int = 0
    step: int = 0
    parts: int = 1
    best: float | None = None
    best_epoch: int = 0
    waited: int = 0
    epochs_done: int = 0
    seconds: float = 0.0
    sums: dict[str, float] = field(default_factory=dict)


def save_state(state: State, position: Position, path: Path) -> None:
    """Write by rename; raises ConfigError where the disk is full, and the old file stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    try:
        torch.save({**state, "position": asdict(position)}, part)
    except (OSError, RuntimeError) as error:
        part.unlink(missing_ok=True)
        # torch reports a write that failed as a RuntimeError of its own.
        if _is_full(error, path):
            raise disk_is_full(path) from error
        raise
    part.replace(path)


def load_state(path: Path) -> tuple[State, Position]:
    """A checkpoint of ours, tensors and plain values only; raises ConfigError for any other."""
    try:
        state: State = torch.load(path, map_location="cpu", weights_only=True)
        known = {each.name for each in fields(Position)}
        found: dict[str, Any] = state.pop("position")
        return state, Position(**{name: found[name] for name in known})
    except Exception as error:  # torch raises many kinds for a file that is no checkpoint
        raise ConfigError(
            path,
            expected="a checkpoint of this run",
            found=f"a file that cannot be read as one ({type(error).__name__})",
            advice="Delete it to begin anew.",
        ) from error


def disk_is_full(path: Path) -> ConfigError:
    """The error for a disk that ran full."""
    free = shutil.disk_usage(path.parent).free
    return ConfigError(
        path,
        expected="room on the disk",
        found=f"{free / 1e6:.0f} MB free",
        advice="Make room and run it again: it goes on from the last checkpoint.",
    )


def _is_full(error: Exception, path: Path) -> bool:
    if isinstance(error, OSError):
        return error.errno == errno.ENOSPC
    return shutil.disk_usage(path.parent).free < 1 << 20
