"""How fast a model is on this machine, measured on request."""

import statistics
import time
from dataclasses import dataclass

from fracture_core import importing
from fracture_core.models.base import Model
from fracture_core.types import Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """Median seconds of `repeats` predictions of one picture, everything included."""

    seconds: float
    repeats: int
    device: str


def measure(model: Model, sample: Sample, *, repeats: int = 5) -> Speed:
    """Predict one picture again and again, after one run that is not counted."""
    model.predict([sample])
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        model.predict([sample])
        seconds.append(time.perf_counter() - start)
    return Speed(seconds=statistics.median(seconds), repeats=repeats, device=_device())


def _device() -> str:
    with importing.LOCK:
        import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
