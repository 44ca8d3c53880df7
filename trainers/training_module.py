"""What the loop hands to a network: a batch of images on the device, with their ground truth.

A network that is being trained, with its loss: what each family's file builds.

Random numbers that follow from where a training stands, so that resuming needs no state.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from fracture_core.models.base import Model
from fracture_core.models.cards import ModelCard

NOTHING = -1
"""Fills up labels where an image has fewer objects, and stands for an unknown class."""


class Batch(NamedTuple):
    """B images with up to M objects each, M at least 1; all on one device."""

    pixels: Tensor
    """(B, 1, H, W) float32 grey in [0, 255], 0 darkest; images at the top left, 0 beside them."""
    sizes: Tensor
    """(B, 2) int64 height and width of each image within H × W."""
    boxes_xyxy: Tensor
    """(B, M, 4) float32 in pixels of `pixels`, clipped to the image; 0 where there is none."""
    labels: Tensor
    """(B, M) int64 classes 0 … K−1; `NOTHING` where there is no object, objects first."""
    image_classes: Tensor
    """(B,) int64, `NOTHING` where unknown."""
    rows: Tensor
    """(B,) int64 rows of the packed data set."""

    def __len__(self) -> int:
        return len(self.rows)

    def to(self, device: torch.device) -> "Batch":
        return Batch(*(tensor.to(device, non_blocking=True) for tensor in self))

    def part(self, start: int, stop: int) -> "Batch":
        return Batch(*(tensor[start:stop] for tensor in self))


Losses = dict[str, Tensor]
"""Scalars by name; "loss" is the one to call backward on."""


class TrainingModule(nn.Module, ABC):
    """`network` has the parameters that are trained, under the names that the family's adapter
    reads. The loss is computed in `forward`, so that wrappers for several GPUs see it.
    """

    network: nn.Module
    notes: tuple[str, ...] = ()
    """What was decided when it was built and a person may want to know, a sentence each."""

    @property
    @abstractmethod
    def card(self) -> ModelCard:
        """Family, task, classes, architecture and input size; no weights yet."""

    @abstractmethod
    def size_of(self, height: int, width: int) -> tuple[int, int]:
        """The input's height and width for an image, as the family's adapter scales it."""

    @abstractmethod
    def forward(self, batch: Batch) -> Losses:
        """The losses of a batch; in eval mode those of validation."""

    @abstractmethod
    def wrap(self, network: nn.Module) -> Model:
        """The adapter around a copy of `network`, which it may freeze."""

    @abstractmethod
    def stages(self) -> Sequence[nn.Module]:
        """The backbone from stem to last stage, at most five parts; none = it has no backbone."""

    def compile_network(self) -> None:
        """Compile what is worth it; parameters keep their names."""
        self.network.compile()

    def freeze(self, stages: int) -> None:
        """Train everything but the first `stages` of the backbone, norms included."""
        for number, stage in enumerate(self.stages()):
            stage.requires_grad_(number >= stages)
        self._frozen = tuple(self.stages()[:stages])

    def train(self, mode: bool = True) -> "TrainingModule":
        super().train(mode)
        for stage in getattr(self, "_frozen", ()):
            stage.train(False)
        return self


def generator_at(seed: int, *place: int) -> torch.Generator:
    """A generator on the CPU of its own for a place, such as (phase, epoch, step)."""
    return torch.Generator().manual_seed(_mix(seed, *place))


def seed_everything(seed: int, *place: int) -> None:
    """The global generators of torch, for dropout and for libraries that draw from them."""
    torch.manual_seed(_mix(seed, *place))


def shuffled(count: int, seed: int, *place: int) -> Tensor:
    """(count,) int64, a permutation."""
    return torch.randperm(count, generator=generator_at(seed, *place))


def _mix(*numbers: int) -> int:
    """Places that differ give numbers that have nothing to do with each other."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))
