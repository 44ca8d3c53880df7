"""Random weights that are the same each time."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

# Layers draw from the one generator of the process: one network is built at a time.
_LOCK = threading.Lock()


@contextmanager
def drawn_from(seed: int) -> Iterator[None]:
    """What is built inside draws its weights from `seed`; the generator is left as it was."""
    with _LOCK, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
