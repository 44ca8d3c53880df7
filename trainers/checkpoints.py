"""Checkpoints: the state of a training on disk, and where it stands.

A checkpoint is written beside the old one and renamed, so that a kill at any moment leaves a
complete file. It holds tensors and plain values only, which torch loads without running code.
"""

import shutil
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch

from fracture_core.errors import ConfigError, StorageError
from fracture_core.files import make_folder, replacing
from trainers.config import Phase

LAST, BEST = "last.pt", "best.pt"
# Of the training module's weights; checkpoints of before open with it.
MODULE = "trainee"
State = dict[str, Any]


@dataclass(kw_only=True, slots=True)
class Position:
    """Where a training stands.

    `phase`, `epoch` and `step` count what is done: phases, epochs of the phase, and steps of the
    epoch under way · `parts` is how many parts a batch is put through in · `best` is the best value
    of the watched metric, None = no epoch had one, and `best_epoch` (counted over all phases) the
    epoch whose weights are kept · `waited` counts epochs without a better value · `seconds` of
    training in the epoch under way · `sums` of the losses of this epoch, by name.

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

    def close_epoch(self, phase: Phase, metric: float | None) -> bool:
        """Count an epoch and return whether it is the best so far by the watched `metric`.

        None stands for an epoch without a value. Until an epoch has one, the last epoch counts as
        `best_epoch`, because there has to be a model.

        Example:
            >>> position = Position()
            >>> [position.close_epoch(Phase(monitor="ap"), ap) for ap in (0.2, 0.4, 0.3)]
            [True, True, False]
            >>> position.best, position.best_epoch, position.waited
            (0.4, 2, 1)
        """
        is_best = metric is not None and phase.is_better(metric, self.best)
        self.epoch += 1
        self.epochs_done += 1
        self.waited = 0 if is_best else self.waited + 1
        if is_best or self.best is None:
            self.best, self.best_epoch = metric, self.epochs_done
        return is_best

    @property
    def keeps_last(self) -> bool:
        """Whether the epoch that was closed last is the one whose weights are kept."""
        return self.best_epoch == self.epochs_done


def save_state(state: State, position: Position, path: Path) -> None:
    """Write a checkpoint to `path`, replacing the old one only once the new one is complete.

    Raises StorageError where the disk is full; the old file then stays.
    """
    make_folder(path.parent)
    with replacing(path) as part, part.open("wb") as file:
        try:
            torch.save({**state, "position": asdict(position)}, file)
        except RuntimeError as error:
            # torch turns a failed write (full disk) into a RuntimeError that has the OSError as
            # its context.
            if isinstance(error.__context__, OSError):
                raise error.__context__ from error
            raise


def load_state(path: Path) -> tuple[State, Position]:
    """Read a checkpoint that `save_state` wrote, with its tensors on the CPU.

    Raises ConfigError for any other file. No code in the file is run (`weights_only`).
    """
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


def check_room(path: Path, needed_bytes: int) -> None:
    """Raise StorageError where the disk of `path` has less than `needed_bytes` free."""
    free = shutil.disk_usage(path.parent).free
    if free < needed_bytes:
        raise StorageError(
            path,
            expected=f"room on the disk for {needed_bytes / 1e6:.0f} MB",
            found=f"{free / 1e6:.0f} MB free",
            advice="Make room and run it again: it goes on from the last checkpoint.",
        )
