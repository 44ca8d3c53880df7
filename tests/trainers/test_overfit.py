"""Each family learns eight demo images by heart, in a plain loop with nothing around it."""

import copy
import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from fracture_core import boxes
from fracture_core.demo import demo_samples
from fracture_core.metrics.coco import evaluate_boxes
from fracture_core.types import Detections, Sample
from trainers.families import build_module
from trainers.family_configs import make_config
from trainers.training_module import NOTHING, Batch, TrainingModule

pytestmark = pytest.mark.slow
SIDE = 128
_CUT_PX = 96
# What each needs to get there, no more.
PLANS: dict[str, dict[str, Any]] = {
    "scratch_detr": {
        "steps": 400,
        "lr": 5e-4,
        "network": {
            "backbone": "resnet18",
            "backbone_width": 16,
            "width": 64,
            "encoder_depth": 1,
            "decoder_depth": 2,
            "feedforward_width": 128,
            "query_count": 8,
            "dropout": 0.0,
        },
    },
    "hf_detr": {"steps": 800, "lr": 2e-3, "network": {"name": "detr:tiny", "dropout": 0.0}},
    "faster_rcnn": {
        "steps": 90,
        "lr": 3e-3,
        "network": {
            "name": "fasterrcnn_light",
            "backbone_width": 16,
            "pyramid_width": 32,
            "head_width": 64,
        },
    },
    "retinanet": {
        "steps": 150,
        "lr": 3e-3,
        "network": {"name": "retinanet_light", "backbone_width": 16, "pyramid_width": 32},
    },
    "efficientnet_gate": {
        "steps": 80,
        "lr": 1e-3,
        "input_size": 64,
        "network": {"name": "efficientnet_b0", "hidden_width": 32},
    },
    "resnet": {"steps": 40, "lr": 1e-3, "network": {"name": "resnet18", "width": 16}},
}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    """Parts of eight radiographs, four of them with findings."""
    return [cut_out(sample) for sample in demo_samples(8, size=(256, 256))]


def cut_out(sample: Sample) -> Sample:
    """96 × 96 px around the first finding, or in the middle."""
    ground_truth = one_class(sample)
    centre = (
        ground_truth.xyxy[0].reshape(2, 2).mean(axis=0)
        if len(ground_truth)
        else np.array([128.0, 128.0])
    )
    left, top = np.clip(centre - _CUT_PX // 2, 0, 256 - _CUT_PX).astype(int).tolist()
    part = sample.shown()[top : top + _CUT_PX, left : left + _CUT_PX]
    moved = ground_truth.xyxy - np.array([left, top, left, top], dtype=np.float32)
    return Sample(
        sample_id=sample.sample_id,
        group_id=sample.group_id,
        height=_CUT_PX,
        width=_CUT_PX,
        read=lambda: part,
        ground_truth=dataclasses.replace(ground_truth, xyxy=moved.clip(0, _CUT_PX))[
            boxes.has_area(moved.clip(0, _CUT_PX))
        ],
    )


def as_batch(samples: list[Sample], side: int) -> Batch:
    """Squares of `side`, findings of one class; images are healthy (0) or fractured (1)."""
    grey = torch.stack([torch.from_numpy(sample.shown())[None] for sample in samples])
    pixels = functional.interpolate(grey, size=(side, side), mode="bilinear", antialias=True)
    corners = torch.zeros(len(samples), 2, 4)
    labels = torch.full((len(samples), 2), NOTHING)
    for row, sample in enumerate(samples):
        assert sample.ground_truth is not None
        count = len(sample.ground_truth)
        shrunk = sample.ground_truth.xyxy * (side / _CUT_PX)
        corners[row, :count], labels[row, :count] = torch.from_numpy(shrunk), 0
    return Batch(
        pixels=pixels.float(),
        sizes=torch.full((len(samples), 2), side),
        boxes_xyxy=corners,
        labels=labels,
        image_classes=(labels != NOTHING).any(dim=1).long(),
        rows=torch.arange(len(samples)),
    )


def train(module: TrainingModule, batch: Batch, *, steps: int, lr: float) -> None:
    optimiser = torch.optim.AdamW(module.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=lr, total_steps=steps)
    module.train()
    for _ in range(steps):
        loss: Tensor = module(batch)["loss"]
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimiser.step()
        schedule.step()


@pytest.mark.parametrize("name", PLANS)
def test_eight_images_are_learnt_by_heart(name: str, samples: list[Sample]) -> None:
    plan = dict(PLANS[name])
    steps, lr = plan.pop("steps"), plan.pop("lr")
    values = {"family": name, "data": "demo", "input_size": SIDE, **plan}
    is_classifier = name in {"efficientnet_gate", "resnet"}
    classes = ("healthy", "fracture") if is_classifier else ("fracture",)
    module = build_module(make_config(values, "a test"), classes, "trained")
    batch = as_batch(samples, module.card.input_size)
    train(module, batch, steps=steps, lr=lr)

    found = module.wrap(copy.deepcopy(module.network)).predict(samples)
    if is_classifier:
        guesses = [
            int(np.argmax(one.class_scores)) for one in found if one.class_scores is not None
        ]
        assert guesses == batch.image_classes.tolist()
        return
    kept = [one.detections.nms(0.5 if module.card.needs_nms else 1.0) for one in found]
    ground_truths = [one_class(sample) for sample in samples]
    assert evaluate_boxes(kept, ground_truths, class_count=1).ap50 >= 0.9


def one_class(sample: Sample) -> Detections:
    assert sample.ground_truth is not None
    return dataclasses.replace(
        sample.ground_truth, labels=np.zeros_like(sample.ground_truth.labels), masks=()
    )
