"""What turns gradients into weights: optimiser, learning-rate schedule, and moving average.

The moving average of the weights (Polyak and Juditsky 1992) often predicts better than the weights
of the last step.
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

# ---- moving average -----------------------------------------------------------------------------


def decay_at(decay: float, updates: int) -> float:
    """Return the share of itself that the average keeps in an update, which is less at first.

    Example:
        >>> decay_at(0.9, 0), decay_at(0.9, 1000)
        (0.1, 0.9)
    """
    return min(decay, (1 + updates) / (10 + updates))


class MovingAverage:
    """An exponential moving average of a network's weights and of its batch norms' statistics.

    Whole numbers in its state, such as counters, are copied from the last update.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self._network = network
        self._decay = decay
        self.restart()

    def restart(self) -> None:
        """Begin anew from the network as it is."""
        self.updates = 0
        self._averages = {name: t.detach().clone() for name, t in self._state().items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights after an optimiser step.

        average ← decay · average + (1 − decay) · weights, with the decay of `decay_at`.
        """
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
        """Give the network the averages within a block, and its own numbers back afterwards."""
        own = {name: tensor.detach().clone() for name, tensor in self._state().items()}
        self._network.load_state_dict(self._averages)
        try:
            yield
        finally:
            self._network.load_state_dict(own)

    def averages(self) -> dict[str, Tensor]:
        """Return the averages by the names of the network's state, not copied."""
        return self._averages

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return {"updates": self.updates, "averages": self._averages}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        self.updates = state["updates"]
        for name, average in self._averages.items():
            average.copy_(state["averages"][name])

    def _state(self) -> dict[str, Tensor]:
        return self._network.state_dict()


# ---- optimiser and learning rate ----------------------------------------------------------------

# The names in the metrics log of the rates of the groups, in their order.
_GROUPS = ("lr", "lr_backbone")


def build_optimiser(
    phase: Phase, config: TrainConfig, module: TrainingModule, device: torch.device
) -> torch.optim.Optimizer:
    """Build the optimiser of a phase, with one group for the backbone and one for the rest.

    Frozen parameters are in it, too; they get no gradient and so do not change.
    """
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


def learning_rates(optimiser: torch.optim.Optimizer) -> dict[str, float]:
    """Return the rate of each group of `build_optimiser`: "lr", and "lr_backbone" if there is one.

    Raises ValueError for an optimiser with more groups.
    """
    groups = optimiser.param_groups
    return {name: group["lr"] for name, group in zip(_GROUPS[: len(groups)], groups, strict=True)}


class LearningRate:
    """The learning rates of a phase: a schedule from epoch to epoch, and a warm-up over steps."""

    def __init__(self, phase: Phase, optimiser: torch.optim.Optimizer) -> None:
        self._phase = phase
        self._optimiser = optimiser
        self._schedule = _build_schedule(phase, optimiser)

    def before_step(self, steps_done: int, epoch_steps: int) -> None:
        """Set the rates of the next step, with the warm-up.

        `steps_done` are those of the phase, `epoch_steps` those in an epoch.
        """
        share = min(1.0, (steps_done + 1) / (self._phase.warmup(epoch_steps) or 1))
        for group, rate in zip(self._optimiser.param_groups, self._rates(), strict=True):
            group["lr"] = rate * share

    def after_epoch(self, monitored: float | None) -> None:
        """Set the rates of the next epoch; `monitored` is the watched metric of the last one.

        None stands for an epoch without a value, which the schedule "plateau" passes over.
        """
        for group, rate in zip(self._optimiser.param_groups, self._rates(), strict=True):
            group["lr"] = rate
        if isinstance(self._schedule, ReduceLROnPlateau):
            if monitored is not None:
                self._schedule.step(monitored)
        else:
            self._schedule.step()
        self._remember()

    def state_dict(self) -> dict[str, object]:
        """Return what a checkpoint keeps beside the optimiser's own state."""
        return self._schedule.state_dict()

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Go on from what `state_dict` returned."""
        self._schedule.load_state_dict(state)

    def _rates(self) -> Iterator[float]:
        """The rates of each group without warm-up, which are kept in the optimiser's own state."""
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
        # Not CosineAnnealingLR, whose floor is one rate for all groups: here the floor is a share
        # of each group's own rate.
        return LambdaLR(optimiser, lambda epoch: _cosine(epoch / phase.epochs, factor))
    return LambdaLR(optimiser, lambda _epoch: 1.0)


def _cosine(done: float, floor: float) -> float:
    return floor + (1 - floor) * (1 + math.cos(math.pi * min(done, 1.0))) / 2
