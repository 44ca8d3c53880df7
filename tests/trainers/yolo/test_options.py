"""What a config becomes for Ultralytics."""

from pathlib import Path
from typing import Any

import pytest
import torch

from fracture_core.datasets import open_dataset
from fracture_core.runs import new_run
from tests.support.yolo_trainings import DETECT, ROUGH, config_of, train
from trainers.checkpoints import load_state
from trainers.yolo.networks import build_start, layers_of
from trainers.yolo.options import check_config, rate_at, trainer_options


def test_settings_reach_ultralytics(data: Path) -> None:
    augment = {**ROUGH, "flip_vertical": 0.25}
    config = config_of(
        data,
        {**DETECT, "mosaic": 1.0, "close_mosaic": 3},
        augment=augment,
        lr=0.01,
        batch=8,
        accumulate=2,
        optimiser="sgd",
        input_size=100,
    )
    check_config(config)
    options = trainer_options(config, "detect", on_gpu=False)
    expected = {
        "imgsz": 128,
        "batch": 4,
        "nbs": 8,
        "lr0": 0.01,
        "optimizer": "SGD",
        "fliplr": 0.5,
        "flipud": 0.25,
        "hsv_v": 0.4,
        "degrees": 5.0,
        "translate": 0.1,
        "scale": 0.5,
        "mosaic": 1.0,
        "close_mosaic": 3,
        "momentum": 0.9,
        "amp": False,
        "plots": False,
    }
    assert {name: options[name] for name in expected} == expected


def test_schedules(data: Path) -> None:
    def rates(**changes: Any) -> list[float]:
        network = {**DETECT, **changes.pop("network", {})}
        config = config_of(data, network, epochs=4, **changes)
        return [round(rate_at(config, epoch), 4) for epoch in range(5)]

    assert rates() == [1, 1, 1, 1, 1]
    assert rates(network={"lrf": 0.2}) == [1, 0.8, 0.6, 0.4, 0.2]
    assert rates(schedule="step", schedule_every=2) == [1, 1, 0.1, 0.1, 0.01]
    assert rates(schedule="cosine", schedule_factor=0.2) == [1, 0.8828, 0.6, 0.3172, 0.2]


@pytest.mark.parametrize(("stages", "layers"), [(0, 0), (1, 1), (2, 3), (3, 5), (4, 7), (5, 10)])
def test_frozen_stages_are_those_of_the_backbone(data: Path, stages: int, layers: int) -> None:
    start = build_start(config_of(data, DETECT), ("a",))
    assert layers_of(start.network, stages) == layers


def test_frozen_stages_stay_as_they_were(data: Path, tmp_path: Path) -> None:
    config, run = (
        config_of(data, DETECT, epochs=1, frozen_stages=3, lr=0.01),
        new_run(tmp_path / "r"),
    )
    train(config, run)
    before = build_start(config, open_dataset(data).classes).network.state_dict()
    moved = {
        int(key.split(".")[1])
        for key, value in load_state(run.checkpoints / "last.pt")[0]["network"].items()
        if not torch.equal(value, before[key])
    }
    assert min(moved) == 5
