"""What a YOLO begins from, and whole runs from recipe to card."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from fracture_core.datasets import open_dataset
from fracture_core.demo.layouts import write_demo
from fracture_core.errors import ConfigError, WeightsError
from fracture_core.evaluations.folders import look_at
from fracture_core.metrics.summary import detector_metrics
from fracture_core.models.library import add_model
from fracture_core.models.yolo_architectures import read_architecture, task_of
from fracture_core.runs import new_run
from fracture_core.settings import settings
from fracture_core.types import Detections
from tests.support.yolo_files import CLASSES, save_checkpoint, yolo_network
from tests.support.yolo_trainings import DETECT, SEGMENT, Given, config_of, train
from trainers.checkpoints import load_state
from trainers.data_set_cache import chosen_samples
from trainers.family_configs import YoloConfig
from trainers.label_map import label_map
from trainers.recipes import find_recipe
from trainers.running import make_run, train_run
from trainers.validation import candidates, predict_all
from trainers.yolo.fitting import build_checked
from trainers.yolo.networks import build_start


@pytest.fixture(scope="module")
def start_file(tmp_path_factory: pytest.TempPathFactory) -> Given:
    """A file as Ultralytics writes it, and its tensors."""
    network = yolo_network("yolov8n.yaml")
    file = save_checkpoint(network, tmp_path_factory.mktemp("start") / "start.pt", half=False)
    return file, network.state_dict()


def test_training_starts_from_weights_of_ultralytics(data: Path, start_file: Given) -> None:
    """Of three other classes: everything but the scores' last layers is taken over."""
    file, given = start_file
    config = config_of(data, {}, start=str(file))
    start = build_start(config, open_dataset(data).classes)
    taken = start.network.state_dict()
    other = {name for name in given if not torch.equal(given[name], taken[name])}
    assert other == {f"model.22.cv3.{i}.2.{kind}" for i in range(3) for kind in ("weight", "bias")}
    assert "of 355 tensors were taken over from start.pt" in start.notes[0]
    kept = build_start(config, CLASSES).network.state_dict()
    assert all(torch.equal(given[name], kept[name]) for name in given)


def test_training_starts_from_a_file_of_tensors_alone(
    data: Path, start_file: Given, tmp_path: Path
) -> None:
    _, given = start_file
    file = tmp_path / "start.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in given.items()}, file)
    config = config_of(data, {"name": "yolov8n.yaml"}, start=str(file))
    taken = build_start(config, ("a",)).network.state_dict()
    assert torch.equal(given["model.0.conv.weight"], taken["model.0.conv.weight"])
    with pytest.raises(ConfigError, match="only tensors"):
        build_start(config_of(data, {}, start=str(file)), ("a",))


def test_training_starts_from_a_model_of_the_library(data: Path, start_file: Given) -> None:
    file, given = start_file
    card = add_model(file)
    start = build_start(config_of(data, {}, start=card.model_id), ("a", "b"))
    taken = start.network.state_dict()
    assert torch.equal(given["model.0.conv.weight"], taken["model.0.conv.weight"])


def test_weights_folded_for_prediction_are_refused(data: Path, tmp_path: Path) -> None:
    model = train(config_of(data, DETECT, epochs=1), new_run(tmp_path / "run"))
    assert model is not None
    model.save(settings().models / "run")
    with pytest.raises(WeightsError, match="folded into the convolutions"):
        build_start(config_of(data, {}, start="run"), ("a",))


def test_training_starts_from_a_finished_run(data: Path, tmp_path: Path) -> None:
    run, config = new_run(tmp_path / "run"), config_of(data, DETECT, epochs=1)
    model = train(config, run)
    assert model is not None
    model.save(run.path)
    start = build_start(config_of(data, {}, start=str(run.path)), model.card.classes)
    best = load_state(run.checkpoints / "best.pt")[0]["ema"]
    taken = start.network.state_dict()
    assert all(torch.equal(best[name], taken[name]) for name in best)


def test_weights_of_another_architecture_are_refused(data: Path, start_file: Given) -> None:
    file, _ = start_file
    with pytest.raises(WeightsError, match="expected weights of this architecture"):
        build_start(config_of(data, {"name": "yolo11n.yaml"}, start=str(file)), ("a",))


@pytest.mark.parametrize(("network", "limit"), [(DETECT, 24), (SEGMENT, 24)])
def test_a_run_from_recipe_to_card(
    data: Path, tmp_path: Path, network: dict[str, Any], limit: int
) -> None:
    recipe = "r5-yolo-segment" if network is SEGMENT else "r5-yolo-detect"
    shrunk = {"start": "", "input_size": 96, "batch": 4, "epochs": 1, "limit": limit}
    changes = {f"network.{key}": value for key, value in network.items()}
    run = make_run(tmp_path / "run", recipe, str(data), {**changes, **shrunk})
    card = train_run(run)
    assert card is not None
    assert card.family == "yolo"
    assert (run.path / card.weights_file).is_file()
    assert look_at(run.evaluations / "validation").complete


@pytest.mark.parametrize(
    ("recipe", "network", "folder"),
    [
        ("r5-yolo-detect", DETECT, "fracture7/data.yaml"),
        pytest.param("r5-yolo-detect", DETECT, "fracture7", marks=pytest.mark.slow),
        ("r5-yolo-segment", SEGMENT, "fracatlas"),
    ],
)
def test_shrunk_recipes_train_an_epoch_on_real_radiographs(
    shared_data: Path, tmp_path: Path, recipe: str, network: dict[str, Any], folder: str
) -> None:
    shrunk = {"start": "", "input_size": 160, "batch": 8, "epochs": 1, "limit": 48}
    data = str(shared_data / folder)
    changes = {f"network.{key}": value for key, value in network.items()}
    run = make_run(tmp_path / "run", recipe, data, {**changes, **shrunk})
    card = train_run(run)
    assert card is not None
    epochs = [line["epoch"] for line in run.read_metrics() if line["kind"] == "epoch"]
    assert epochs == [0, 1]
    assert not list((shared_data / folder.split("/", maxsplit=1)[0]).rglob("*.cache"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "monitor", "epochs"),
    [("yolov8n.yaml", "ap50", 80), ("yolov8n-seg.yaml", "mask_ap50", 100)],
)
def test_eight_images_are_learnt_by_heart(
    tmp_path: Path, name: str, monitor: str, epochs: int
) -> None:
    data = write_demo(tmp_path / "demo", count=24, seed=3, size=(160, 160), format="yolo")
    config = config_of(
        data,
        {"name": name},
        input_size=192,
        epochs=epochs,
        limit=8,
        lr=0.003,
        weight_decay=0,
        clip_norm=10.0,
        warmup_steps=10,
        merge_classes="fracture",
        monitor=monitor,
    )
    model = train(config, new_run(tmp_path / "run"))
    assert model is not None
    dataset = open_dataset(data)
    samples = chosen_samples(dataset, config, "train")
    assert len(samples) == 8
    found = candidates(predict_all(model, samples), model.card, config.nms_iou)
    labelling = label_map(dataset, config)
    ground_truths = [
        Detections.ground_truth(
            each.ground_truth.xyxy, labelling.labels(each), each.ground_truth.masks
        )
        for each in samples
        if each.ground_truth is not None
    ]
    metrics = detector_metrics(
        found, ground_truths, 1, confidence=0.5, match_iou=0.5, masks=model.card.task == "segment"
    )
    assert metrics[monitor] >= 0.9


@pytest.mark.parametrize("version", ["yolov8", "yolo11", "yolo26"])
@pytest.mark.parametrize("kind", ["", "-seg"])
def test_a_yolo_recipe_takes_any_network_of_ultralytics(
    data: Path, version: str, kind: str
) -> None:
    recipe = find_recipe("r5-yolo-segment" if kind else "r5-yolo-detect")
    named = {"start": "", "network.name": f"{version}n{kind}.yaml", "network.width": 0.1}
    config = recipe.config(str(data), {**named, "input_size": 64})
    assert isinstance(config, YoloConfig)
    start = build_checked(config, ("a", "b"))
    assert start.task == ("segment" if kind else "detect")
    # Version 26 answers with one box for each object, for which nothing has to be suppressed.
    assert bool(start.network.end2end) == (version == "yolo26")
    for size in "smlx":
        architecture = read_architecture(f"{version}{size}{kind}.yaml")
        assert task_of(architecture) == start.task


def test_a_trained_one_to_one_head_says_that_it_needs_no_nms(data: Path, tmp_path: Path) -> None:
    network = {"name": "yolo26n.yaml", "width": 0.125}
    model = train(config_of(data, network, epochs=1, limit=4), new_run(tmp_path / "run"))
    assert model is not None
    assert not model.card.needs_nms
