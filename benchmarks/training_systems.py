"""The systems R1, R2 and R4 as they are compared: recipe, reference loop, data and size."""

import copy
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.reference.loop import ReferenceLoop
from benchmarks.reference.r1 import R1Loop
from benchmarks.reference.r2 import R2Loop
from benchmarks.reference.r4 import R4Loop
from benchmarks.training_data import write_images, write_slices
from fracture_core.datasets import open_dataset
from fracture_core.runs import RunFolder
from trainers.classification import ClassifierModule
from trainers.config import TrainConfig
from trainers.data_set_cache import pack_split
from trainers.families import build_module
from trainers.family_configs import read_config
from trainers.label_map import class_names
from trainers.loop import Loop
from trainers.packed import Packed
from trainers.running import make_run
from trainers.training_module import TrainingModule

Changes = Mapping[str, object]

# Weights are random, the same on both sides, so that nothing is downloaded. R4's class multipliers
# name classes that the demo data does not have. DETR's loss takes in the last decoder layer only,
# which is transformers' default, so what R1 was trained with and what the reference computes.
_ALWAYS: Mapping[str, Changes] = {
    "R1": {"start": "", "network.auxiliary_loss": False},
    "R2": {"start": "", "second_phase": None},
    "R4": {"start": "", "classification.class_multipliers": {}},
}
_RECIPES = {
    "R1": "r1-detr",
    "R2": "r2-faster-rcnn",
    "R4": "r4-efficientnet-gate-as-published",
}
_WRITERS: Mapping[str, Callable[..., Path]] = {
    "R1": write_slices,
    "R2": write_slices,
    "R4": write_images,
}
SYSTEMS = tuple(_RECIPES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """The size of a comparison: the data, and `changes` of the recipe on both sides.

    `drawn` studies or radiographs of `side` pixels are rendered; from them `train` and `valid`
    images are written, 0 = as many as were rendered.
    """

    drawn: int
    train: int
    valid: int
    side: int
    changes: Changes = field(default_factory=dict)

    def write(self, system: str, folder: Path) -> Path:
        """Write the data set of a system into a new folder and return its path."""
        return _WRITERS[system](
            folder, drawn=self.drawn, train=self.train, valid=self.valid, side=self.side
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pair:
    """Our loop and the reference on the same data, with the same initial weights.

    `judge` is a second training module of the same kind, in which the reference's network is
    validated.
    """

    config: TrainConfig
    run: RunFolder
    loop: Loop
    reference: ReferenceLoop
    judge: TrainingModule
    train: Packed
    valid: Packed
    packing_seconds: float


def build_pair(system: str, size: Size, data: Path, run: Path, changes: Changes) -> Pair:
    """Build our loop and the reference of a system, on data that was written before.

    `changes` of the recipe are for our loop alone; the reference takes batch, learning rates and
    sizes from the same config.
    """
    asked = {**_ALWAYS[system], "monitor": "loss", "patience": 0, **size.changes, **changes}
    folder = make_run(run, _RECIPES[system], str(data), asked)
    config = read_config(folder.config)
    dataset = open_dataset(config.data)
    classes = class_names(dataset, config)
    module, judge = (build_module(config, classes, folder.name) for _ in range(2))
    began = time.perf_counter()
    train = pack_split(dataset, config, config.train_split, module.size_of)
    packing_seconds = time.perf_counter() - began
    valid = pack_split(dataset, config, config.valid_split, module.size_of)
    for each in (module, judge):
        _count_classes(each, train)
    device = torch.device("cuda" if torch.cuda.is_available() and config.device != "cpu" else "cpu")
    judge.network.load_state_dict(module.network.state_dict())
    # Copied before the loop moves the network, changes its memory layout or compiles it.
    reference = _reference(system, copy.deepcopy(module.network), data, device, config)
    return Pair(
        config=config,
        run=folder,
        loop=Loop(config, module, train, valid, folder, lambda: False),
        reference=reference,
        judge=judge.to(device),
        train=train,
        valid=valid,
        packing_seconds=packing_seconds,
    )


def _reference(
    system: str, network: Any, data: Path, device: torch.device, config: TrainConfig
) -> ReferenceLoop:
    """The reference loop; what a size may change comes from the config, the rest is its own."""
    shared = {"batch": config.batch, "lr": config.lr}
    if system == "R1":
        return R1Loop(network, data, device, backbone_lr=config.backbone_lr or 0.0, **shared)
    if system == "R2":
        return R2Loop(network, data, device, **shared)
    return R4Loop(
        network, data, device, size=config.input_size, class_count=len(config.classes), **shared
    )


def _count_classes(module: TrainingModule, train: Packed) -> None:
    if isinstance(module, ClassifierModule):
        counts = np.bincount(train.ground_truth.image_classes, minlength=len(train.classes))
        module.set_class_counts(counts.tolist())
