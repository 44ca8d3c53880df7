"""The interface between the loop and the families: the batch, the training module, random numbers.

The loop hands a `Batch` to a `TrainingModule`, which each family's file builds and which returns
losses. Random numbers follow from the seed and the place where a training stands, so that resuming
needs no generator's state.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from fracture_core.models.base import Model
from fracture_core.models.cards import ModelCard

# ---- batches ------------------------------------------------------------------------------------

NOTHING = -1
"""The label that stands for no object, where an image has fewer than others, or no known class."""


class Batch(NamedTuple):
    """B images with up to M objects each, M at least 1; all tensors are on one device."""

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
        """Return the batch on a device."""
        return Batch(*(tensor.to(device, non_blocking=True) for tensor in self))

    def part(self, start: int, stop: int) -> "Batch":
        """Return the batch of the images from `start` to before `stop`."""
        return Batch(*(tensor[start:stop] for tensor in self))


Losses = dict[str, Tensor]
"""Losses by name, each a tensor without dimensions; "loss" is the one to call backward on.

The others are its parts, without gradient, and what a batch tells besides, such as "accuracy".
"""

# ---- the training module ------------------------------------------------------------------------


class TrainingModule(nn.Module, ABC):
    """A network that is being trained, with its loss.

    `network` has the parameters that are trained, under the names that the family's adapter reads.
    The loss is computed in `forward`, so that wrappers for several GPUs take part in it.
    """

    network: nn.Module
    notes: tuple[str, ...] = ()
    """What was decided when the module was built and a person may want to know, as sentences."""

    @property
    @abstractmethod
    def card(self) -> ModelCard:
        """The card: family, task, classes, architecture and input size; it names no weights yet."""

    @abstractmethod
    def size_of(self, height: int, width: int) -> tuple[int, int]:
        """Return the input's height and width for an image's, as the family's adapter scales it."""

    @abstractmethod
    def forward(self, batch: Batch) -> Losses:
        """Return the losses of a batch; in eval mode they are those of validation."""

    @abstractmethod
    def wrap(self, network: nn.Module) -> Model:
        """Return the family's adapter around `network`, often a copy, which it may freeze."""

    @abstractmethod
    def stages(self) -> Sequence[nn.Module]:
        """Return the backbone from stem to last stage, at most five parts; empty = it has none."""

    def compile_network(self) -> None:
        """Compile what gains from it, in place; parameters keep their names."""
        self.network.compile()

    def freeze(self, stages: int, names: Sequence[str] = ()) -> None:
        """Freeze the first `stages` of the backbone, norms included, and train everything else.

        Frozen are also the backbone's weights whose `plain_name` holds one of `names`.
        """
        parts = self.stages()
        for number, stage in enumerate(parts):
            stage.requires_grad_(number >= stages)
        self._frozen = tuple(parts[:stages])
        backbone = {id(each) for stage in parts for each in stage.parameters()}
        for name, each in self.network.named_parameters():
            plain = self.plain_name(name)
            if id(each) in backbone and any(part in plain for part in names):
                each.requires_grad_(False)

    def plain_name(self, name: str) -> str:
        """Return the name of a parameter of the network as torchvision's ResNet would have it."""
        return name

    def train(self, mode: bool = True) -> "TrainingModule":
        """Set training or eval mode; frozen stages stay in eval mode."""
        super().train(mode)
        for stage in getattr(self, "_frozen", ()):
            stage.train(False)
        return self


# ---- random numbers -----------------------------------------------------------------------------


def generator_at(seed: int, *place: int) -> torch.Generator:
    """Return a generator on the CPU for a place, such as (phase, epoch, step).

    Example:
        >>> first, again = (torch.rand(2, generator=generator_at(7, 0, 1)) for _ in range(2))
        >>> bool((first == again).all())
        True
    """
    return torch.Generator().manual_seed(_mix(seed, *place))


def seed_everything(seed: int, *place: int) -> None:
    """Seed torch's global generators for a place; dropout and some libraries draw from them."""
    torch.manual_seed(_mix(seed, *place))


def shuffled(count: int, seed: int, *place: int) -> Tensor:
    """Return a permutation of 0 … count − 1 for a place, (count,) int64."""
    return torch.randperm(count, generator=generator_at(seed, *place))


def _mix(*numbers: int) -> int:
    """A seed of 63 bits for a place; those of different places are unrelated."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))
