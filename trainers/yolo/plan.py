"""The plan of a YOLO training: what its trainer is given, and how it is stopped."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainers.family_configs import YoloConfig
from trainers.metrics_log import MetricsLog
from trainers.yolo.folder import YoloFolder


class Stopped(Exception):
    """Raised within Ultralytics' trainer when the training was asked to stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a training needs.

    `network` is trained in place; `checkpoints` is their folder; `stop` is asked after every batch;
    `keep_images` is called with the number of each best epoch once its checkpoint is written; with
    `halves` the network computes in bfloat16 on a CPU.
    """

    config: YoloConfig
    folder: YoloFolder
    network: Any
    checkpoints: Path
    log: MetricsLog
    stop: Callable[[], bool]
    keep_images: Callable[[int], None]
    halves: bool = False


def told_of_parts(batch: int, parts: int) -> str:
    """Return the note for the metrics log when memory ran out."""
    return f"memory ran out: a batch of {batch} is put through in {parts} parts from here on"
