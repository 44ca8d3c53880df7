"""Trainings of tiny YOLOs, a step of which takes some 50 ms."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from fracture_core.datasets import open_dataset
from fracture_core.models.base import Model
from fracture_core.runs import RunFolder
from trainers.checkpoints import load_state
from trainers.family_configs import YoloConfig, make_config
from trainers.metrics_log import MetricsLog
from trainers.yolo import fit

Given = tuple[Path, dict[str, torch.Tensor]]
# A YOLOv8 of an eighth of the usual width: a step takes some 50 ms.
DETECT = {"name": "yolov8n.yaml", "width": 0.125}
SEGMENT = {"name": "yolov8n-seg.yaml", "width": 0.125}
ROUGH = {"flip": 0.5, "brightness": 0.4, "degrees": 5.0, "shift": 0.1, "scale": (0.5, 1.5)}


def config_of(data: Path, network: dict[str, Any], **changes: Any) -> YoloConfig:
    few = {"input_size": 96, "epochs": 2, "batch": 4, "monitor": "loss", "valid_split": "train"}
    values = {"family": "yolo", "data": str(data), "network": network, **few, **changes}
    config = make_config(values, "a test")
    assert isinstance(config, YoloConfig)
    return config


def train(config: YoloConfig, run: RunFolder, stop: Callable[[], bool] = bool) -> Model | None:
    with MetricsLog(run) as log:
        return fit(config, open_dataset(Path(config.data)), run, log, stop)


def stop_after(batches: int) -> Callable[[], bool]:
    left = iter(range(batches - 1))
    return lambda: next(left, None) is None


def weights_of(run: RunFolder, name: str = "last.pt") -> dict[str, torch.Tensor]:
    state, _ = load_state(run.checkpoints / name)
    parts = {part: state[part] for part in ("network", "ema")}
    return {f"{part} {key}": value for part, state in parts.items() for key, value in state.items()}


def same(left: RunFolder, right: RunFolder) -> bool:
    one, other = weights_of(left), weights_of(right)
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)
