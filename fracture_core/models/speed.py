"""How long a model takes for an image on this machine."""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

from fracture_core import importing
from fracture_core.models.base import Model
from fracture_core.types import Sample, StageSeconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """The median seconds of `repeats` predictions of one image on a device, everything included.

    `stages` are the medians of its stages, None where the model does not tell them.
    """

    seconds: float
    repeats: int
    device: str
    stages: StageSeconds | None = None


def measure(model: Model, sample: Sample, *, repeats: int = 5) -> Speed:
    """Predicts one image again and again, after one run that is not counted."""
    model.predict([sample])
    seconds, stages = [], []
    for _ in range(repeats):
        start = time.perf_counter()
        (found,) = model.predict([sample])
        seconds.append(time.perf_counter() - start)
        stages.append(found.stages)
    return Speed(
        seconds=statistics.median(seconds),
        repeats=repeats,
        device=_device(),
        stages=_median_stages([each for each in stages if each is not None]),
    )


def _median_stages(told: Sequence[StageSeconds]) -> StageSeconds | None:
    if not told:
        return None
    return StageSeconds(
        preprocess=statistics.median(each.preprocess for each in told),
        inference=statistics.median(each.inference for each in told),
        postprocess=statistics.median(each.postprocess for each in told),
    )


def _device() -> str:
    with importing.LOCK:
        import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
