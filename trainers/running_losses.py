"""The losses of the epoch under way, summed in float64 in the order of the steps."""

import math
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from fracture_core.errors import TrainingError
from trainers.training_module import Losses

_LOOK_SECONDS = 0.5
_MOST_PENDING = 64


class RunningLosses:
    """The losses of an epoch, which stay on the device for a while: reading makes a GPU wait.

    `sums` is the mapping that they are added to in float64, so far of `steps` steps; it belongs to
    the training's position. `names` gives the ids of the images in the rows of a batch.
    """

    def __init__(
        self, sums: dict[str, float], steps: int, names: Callable[[Tensor], Sequence[str]]
    ) -> None:
        self._sums = sums
        self._steps = steps
        self._names = names
        self._pending: list[tuple[int, Tensor, Tensor]] = []
        self._keys: tuple[str, ...] = ()
        self._looked = time.monotonic()

    def add(self, step: int, losses: Losses, rows: Tensor) -> None:
        """Remember the losses of a step, and read those that wait from time to time.

        Raises TrainingError as `look` does, for this step or one before it.
        """
        self._keys = tuple(losses)
        values = torch.stack([value.detach().float() for value in losses.values()])
        self._pending.append((step, values, rows))
        waited = time.monotonic() - self._looked
        if len(self._pending) >= _MOST_PENDING or waited >= _LOOK_SECONDS:
            self.look()

    def look(self) -> None:
        """Add all losses that wait to the sums.

        Raises TrainingError, which names the images of the batch, where one is not finite.
        """
        self._looked = time.monotonic()
        if not self._pending:
            return
        table = torch.stack([values for _, values, _ in self._pending]).cpu().double()
        for (step, _, rows), values in zip(self._pending, table.tolist(), strict=True):
            if not all(math.isfinite(value) for value in values):
                raise self._not_finite(step, values, rows)
            for name, value in zip(self._keys, values, strict=True):
                self._sums[name] = self._sums.get(name, 0.0) + value
            self._steps += 1
        self._pending.clear()

    @property
    def means(self) -> dict[str, float]:
        """The mean of each loss over the steps that were read."""
        return {name: value / max(1, self._steps) for name, value in self._sums.items()}

    def _not_finite(self, step: int, values: list[float], rows: Tensor) -> TrainingError:
        pairs = zip(self._keys, values, strict=True)
        found = ", ".join(f"{name} {value}" for name, value in pairs if not math.isfinite(value))
        names = self._names(rows)
        more = f" and {len(names) - 8} more" if len(names) > 8 else ""
        return TrainingError(
            f"step {step + 1}",
            expected="a loss that is a number",
            found=f"{found} on the batch of {', '.join(names[:8])}{more}",
            advice="Look at these images, or lower the learning rate; "
            "the last checkpoint is of before.",
        )
