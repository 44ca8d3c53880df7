"""Tiny networks of every family that the loop trains, and batches for them."""

from typing import Any

import numpy as np
import torch

from fracture_core.types import Sample
from trainers.config import TrainConfig
from trainers.families import build_module
from trainers.family_configs import make_config
from trainers.training_module import NOTHING, Batch, TrainingModule

CLASSES = ("crack", "break", "chip")
TINY: dict[str, dict[str, Any]] = {
    "scratch_detr": {
        "input_size": 64,
        "network": {
            "backbone": "resnet18",
            "backbone_width": 8,
            "width": 32,
            "encoder_depth": 1,
            "decoder_depth": 2,
            "feedforward_width": 32,
            "query_count": 10,
            "dropout": 0.0,
        },
    },
    "hf_detr": {"input_size": 64, "network": {"name": "detr:tiny", "dropout": 0.0}},
    "faster_rcnn": {
        "input_size": 64,
        "network": {"name": "fasterrcnn_light", "backbone_width": 8, "pyramid_width": 16},
    },
    "retinanet": {
        "input_size": 64,
        "network": {"name": "retinanet_light", "backbone_width": 8, "pyramid_width": 16},
    },
    "efficientnet_gate": {
        "input_size": 64,
        "network": {"name": "efficientnet_b0", "hidden_width": 16},
    },
    "resnet": {"input_size": 64, "network": {"name": "resnet18", "width": 8}},
}
DETECTORS = ("scratch_detr", "hf_detr", "faster_rcnn", "retinanet")
CLASSIFIERS = ("efficientnet_gate", "resnet")


def tiny_config(name: str, **changes: Any) -> TrainConfig:
    """`network` None leaves the size out, `network_after` is then put in its place."""
    values: dict[str, Any] = {"family": name, "data": "somewhere", **TINY[name]}
    more = changes.pop("network", {})
    network = {} if more is None else {**values["network"], **more}
    values["network"] = {**network, **changes.pop("network_after", {})}
    return make_config({**values, **changes}, "a test")


def build(name: str, classes: tuple[str, ...] = CLASSES, **changes: Any) -> TrainingModule:
    return build_module(tiny_config(name, **changes), classes, "trained").train()


def make_batch(side: int = 64, count: int = 4) -> Batch:
    """Images with 2, 1, 0 and 1 objects, padded to three columns."""
    generator = torch.Generator().manual_seed(7)
    boxes = torch.zeros(count, 3, 4)
    labels = torch.full((count, 3), NOTHING)
    boxes[0, 0] = torch.tensor([4.0, 8.0, 30.0, 40.0])
    boxes[0, 1] = torch.tensor([20.0, 20.0, 60.0, 60.0])
    boxes[1, 0] = torch.tensor([10.0, 2.0, 50.0, 20.0])
    boxes[3, 0] = torch.tensor([32.0, 30.0, 62.0, 63.0])
    labels[0, :2] = torch.tensor([0, 2])
    labels[1, 0], labels[3, 0] = 1, 2
    return Batch(
        pixels=torch.rand(count, 1, side, side, generator=generator) * 255,
        sizes=torch.tensor([[side, side]] * count),
        boxes_xyxy=boxes,
        labels=labels,
        image_classes=torch.tensor([0, 2, NOTHING, 1]),
        rows=torch.arange(count),
    )


def without_ground_truth(batch: Batch) -> Batch:
    return Batch(
        pixels=batch.pixels,
        sizes=batch.sizes,
        boxes_xyxy=torch.zeros(len(batch), 1, 4),
        labels=torch.full((len(batch), 1), NOTHING),
        image_classes=torch.full((len(batch),), NOTHING),
        rows=batch.rows,
    )


def one_sample(height: int = 64, width: int = 64) -> Sample:
    pixels = np.random.default_rng(3).integers(0, 256, (height, width), dtype=np.uint8)
    return Sample(sample_id="one", group_id="one", height=height, width=width, read=lambda: pixels)
