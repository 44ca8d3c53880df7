"""A network that is being trained, with its loss: what each family's file builds."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn

from fracture_core.models.base import Model
from fracture_core.models.cards import ModelCard
from trainers.batches import Batch

Losses = dict[str, Tensor]
"""Scalars by name; "loss" is the one to call backward on."""


class Trainee(nn.Module, ABC):
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
        """The input's height and width for a picture, as the family's adapter scales it."""

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

    def train(self, mode: bool = True) -> "Trainee":
        super().train(mode)
        for stage in getattr(self, "_frozen", ()):
            stage.train(False)
        return self
