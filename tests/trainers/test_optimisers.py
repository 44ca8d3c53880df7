import math

import pytest
import torch

from trainers.config import Phase
from trainers.optimisers import LearningRate


def rates(phase: Phase, metrics: list[float], steps: int = 1) -> list[float]:
    """The rate of every step."""
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=phase.lr)
    schedule, found = LearningRate(phase, optimiser), []
    for epoch, metric in enumerate(metrics):
        for step in range(steps):
            schedule.before_step(epoch * steps + step, steps)
            optimiser.step()
            found.append(optimiser.param_groups[0]["lr"])
        schedule.after_epoch(metric)
    return found


def test_step_divides_every_third_epoch():
    phase = Phase(lr=1.0, schedule="step", schedule_every=3, schedule_factor=0.1)
    assert rates(phase, [0.0] * 7) == pytest.approx([1, 1, 1, 0.1, 0.1, 0.1, 0.01])


def test_plateau_waits_for_patience_in_the_monitors_direction():
    facts = {"lr": 1.0, "schedule": "plateau", "schedule_every": 1, "schedule_factor": 0.5}
    falling = Phase(monitor="loss", **facts)
    assert rates(falling, [3, 2, 2, 2, 2]) == pytest.approx([1, 1, 1, 1, 0.5])
    rising = Phase(monitor="ap", **facts)
    assert rates(rising, [1, 2, 3, 4, 5]) == pytest.approx([1] * 5)


def test_cosine_ends_at_its_share():
    phase = Phase(lr=2.0, epochs=4, schedule="cosine", schedule_factor=0.1)
    wanted = [2 * (0.1 + 0.9 * (1 + math.cos(math.pi * epoch / 4)) / 2) for epoch in range(4)]
    assert rates(phase, [0.0] * 4) == pytest.approx(wanted)


def test_warm_up_grows_from_step_to_step_and_leaves_the_schedule_alone():
    phase = Phase(lr=1.0, warmup_steps=4, schedule="step", schedule_every=1, schedule_factor=0.5)
    found = rates(phase, [0.0] * 3, steps=2)
    assert found == pytest.approx([0.25, 0.5, 0.5 * 0.75, 0.5, 0.25, 0.25])


def test_a_resumed_schedule_goes_on_as_the_straight_one():
    phase = Phase(lr=1.0, warmup_steps=3, schedule="plateau", schedule_every=1, monitor="loss")

    def build():
        optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=phase.lr)
        return optimiser, LearningRate(phase, optimiser)

    def go(optimiser, schedule, epochs):
        found = []
        for epoch in epochs:
            schedule.before_step(epoch, 1)
            optimiser.step()
            found.append(optimiser.param_groups[0]["lr"])
            schedule.after_epoch(1.0)
        return found

    straight = go(*build(), range(6))
    optimiser, schedule = build()
    first = go(optimiser, schedule, range(3))
    again_optimiser, again = build()
    again_optimiser.load_state_dict(optimiser.state_dict())
    again.load_state_dict(schedule.state_dict())
    assert first + go(again_optimiser, again, range(3, 6)) == straight
