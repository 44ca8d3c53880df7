"""A moving average of a network's weights (Polyak and Juditsky 1992), which often matches better.

Optimisers and learning rates of a phase.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import (
    LambdaLR,
    LRScheduler,
    ReduceLROnPlateau,
    StepLR,
)

from trainers.config import MONITORS, Phase, TrainConfig
from trainers.training_module import TrainingModule


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


def build_optimiser(
    phase: Phase, config: TrainConfig, module: TrainingModule, device: torch.device
) -> torch.optim.Optimizer:
    """Two groups, the backbone's and the rest; what is frozen is in it and gets no gradient."""
    backbone = {id(parameter) for stage in module.stages() for parameter in stage.parameters()}
    rest = [each for each in module.network.parameters() if id(each) not in backbone]
    slow = [each for each in module.network.parameters() if id(each) in backbone]
    backbone_lr = phase.lr if phase.backbone_lr is None else phase.backbone_lr
    groups = [{"params": rest, "lr": phase.lr}]
    if slow:
        groups.append({"params": slow, "lr": backbone_lr})
    fused = config.fused and device.type == "cuda"
    decay = phase.weight_decay
    if phase.optimiser == "sgd":
        return torch.optim.SGD(
            groups, lr=phase.lr, momentum=0.9, nesterov=True, weight_decay=decay, fused=fused
        )
    kind = torch.optim.AdamW if phase.optimiser == "adamw" else torch.optim.Adam
    return kind(groups, lr=phase.lr, weight_decay=decay, fused=fused)


class LearningRate:
    """The schedule of a phase from epoch to epoch, and the warm-up from step to step."""

    def __init__(self, phase: Phase, optimiser: torch.optim.Optimizer) -> None:
        self._phase = phase
        self._optimiser = optimiser
        self._schedule = _build_schedule(phase, optimiser)

    def before_step(self, steps_done: int) -> None:
        """Warm up: `steps_done` are those of the phase so far."""
        for group, rate in zip(self._optimiser.param_groups, self._rates(), strict=True):
            share = min(1.0, (steps_done + 1) / (self._phase.warmup_steps or 1))
            group["lr"] = rate * share

    def after_epoch(self, monitored: float | None) -> None:
        """Go on to the next epoch's rates; a plateau ignores an epoch that has no figure, None."""
        for group, rate in zip(self._optimiser.param_groups, self._rates(), strict=True):
            group["lr"] = rate
        if isinstance(self._schedule, ReduceLROnPlateau):
            if monitored is not None:
                self._schedule.step(monitored)
        else:
            self._schedule.step()
        self._remember()

    def state_dict(self) -> dict[str, object]:
        return self._schedule.state_dict()

    def load_state_dict(self, state: dict[str, object]) -> None:
        self._schedule.load_state_dict(state)

    def _rates(self) -> Iterator[float]:
        """The rates without warm-up; they travel with the optimiser's own state."""
        if any("scheduled_lr" not in group for group in self._optimiser.param_groups):
            self._remember()
        return (group["scheduled_lr"] for group in self._optimiser.param_groups)

    def _remember(self) -> None:
        for group in self._optimiser.param_groups:
            group["scheduled_lr"] = group["lr"]


def _build_schedule(
    phase: Phase, optimiser: torch.optim.Optimizer
) -> LRScheduler | ReduceLROnPlateau:
    factor = phase.schedule_factor
    if phase.schedule == "step":
        return StepLR(optimiser, step_size=phase.schedule_every, gamma=factor)
    if phase.schedule == "plateau":
        mode: Literal["max", "min"] = "max" if MONITORS[phase.monitor] else "min"
        return ReduceLROnPlateau(optimiser, mode=mode, factor=factor, patience=phase.schedule_every)
    if phase.schedule == "cosine":
        # Not CosineAnnealingLR: its floor is one rate for all groups, here each keeps its share.
        return LambdaLR(optimiser, lambda epoch: _cosine(epoch / phase.epochs, factor))
    return LambdaLR(optimiser, lambda _epoch: 1.0)


def _cosine(done: float, floor: float) -> float:
    return floor + (1 - floor) * (1 + math.cos(math.pi * min(done, 1.0))) / 2
