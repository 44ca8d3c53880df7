"""What the published loops share: a loader, a step for each batch, and a loss read every step."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader


class ReferenceLoop(ABC):
    """Trains `network` in place on `device`; `losses` has the loss of every step so far."""

    def __init__(
        self,
        network: nn.Module,
        loader: DataLoader[Any],
        optimiser: torch.optim.Optimizer,
        device: torch.device,
    ) -> None:
        self.network = network
        self.losses: list[float] = []
        self._loader = loader
        self._optimiser = optimiser
        self._device = device

    def epoch(self) -> None:
        """Train once through the training split."""
        self._start_training()
        for batch in self._loader:
            self.losses.append(self._step(batch))

    def _start_training(self) -> None:
        self.network.train()

    @abstractmethod
    def _step(self, batch: Any) -> float:
        """Take one step of the optimiser and return its loss."""
