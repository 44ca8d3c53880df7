"""The moving average of a network's weights."""

import pytest
import torch
from torch import nn

from trainers.optimisers import MovingAverage, decay_at


@pytest.mark.parametrize(
    ("updates", "decay"), [(1, 2 / 11), (8, 9 / 18), (80, 81 / 90), (10_000, 0.99)]
)
def test_the_decay_grows(updates: int, decay: float) -> None:
    assert decay_at(0.99, updates) == pytest.approx(decay)


def test_by_hand() -> None:
    network = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        network.weight.fill_(1)
        average = MovingAverage(network, 0.25)
        network.weight.fill_(12)
        average.update()
        # 2 / 11 of 1 and 9 / 11 of 12.
        assert average.averages()["weight"].item() == pytest.approx(10)
        network.weight.fill_(2)
        average.update()
    # From the second update on the decay is its own: a quarter of 10, three quarters of 2.
    assert average.averages()["weight"].item() == pytest.approx(4)


def test_counters_are_the_last_and_statistics_are_averaged() -> None:
    network = nn.BatchNorm1d(2)
    average = MovingAverage(network, 0.9)
    network(torch.randn(8, 2) + 5)
    average.update()
    found = average.averages()
    assert found["num_batches_tracked"] == 1
    share = 9 / 11
    torch.testing.assert_close(found["running_mean"], network.running_mean * share)


def test_in_place_and_back_again() -> None:
    network = nn.Linear(3, 2)
    average = MovingAverage(network, 0.9)
    before = network.weight.detach().clone()
    with torch.no_grad():
        network.weight.add_(1)
    own = network.weight.detach().clone()
    with average.in_place():
        assert torch.equal(network.weight, before)
    assert torch.equal(network.weight, own)
    with pytest.raises(ValueError, match="no"), average.in_place():
        raise ValueError("no")
    assert torch.equal(network.weight, own)


def test_what_was_stored_goes_on_the_same_way() -> None:
    torch.manual_seed(0)
    network = nn.Linear(3, 2)
    first = MovingAverage(network, 0.9)
    second = MovingAverage(network, 0.9)
    for step in range(6):
        with torch.no_grad():
            network.weight.mul_(1.1)
        first.update()
        if step == 2:
            second.load_state_dict({**first.state_dict()})
        elif step > 2:
            second.update()
    assert second.updates == first.updates == 6
    assert all(torch.equal(t, second.averages()[name]) for name, t in first.averages().items())
