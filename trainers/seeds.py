"""Random numbers that follow from where a training stands, so that resuming needs no state."""

import numpy as np
import torch
from torch import Tensor


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
