"""A moving average of a network's weights (Polyak and Juditsky 1992), which often judges better."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


def decay_at(decay: float, updates: int) -> float:
    """What the average keeps of itself in an update: less of it in the first ones."""
    return min(decay, (1 + updates) / (10 + updates))


class MovingAverage:
    """Of all numbers in a network's state that are not whole, its batch norms' statistics too.

    Whole ones, such as counters, are those of the last update.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self._network = network
        self._decay = decay
        self.restart()

    def restart(self) -> None:
        """Begin from the network as it is."""
        self.updates = 0
        self._averages = {name: t.detach().clone() for name, t in self._state().items()}

    @torch.no_grad()
    def update(self) -> None:
        """After a step of the optimiser: average ← decay · average + (1 − decay) · weights."""
        self.updates += 1
        share = 1 - decay_at(self._decay, self.updates)
        for name, tensor in self._state().items():
            average = self._averages[name]
            if tensor.is_floating_point():
                average.lerp_(tensor, share)
            else:
                average.copy_(tensor)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The network has the averages meanwhile, and its own numbers afterwards, exactly."""
        own = {name: tensor.detach().clone() for name, tensor in self._state().items()}
        self._network.load_state_dict(self._averages)
        try:
            yield
        finally:
            self._network.load_state_dict(own)

    def averages(self) -> dict[str, Tensor]:
        return self._averages

    def state_dict(self) -> dict[str, Any]:
        return {"updates": self.updates, "averages": self._averages}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.updates = state["updates"]
        for name, average in self._averages.items():
            average.copy_(state["averages"][name])

    def _state(self) -> dict[str, Tensor]:
        return self._network.state_dict()
