"""YOLO through Ultralytics' own trainer, on our data, with our checkpoints."""

import copy
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from fracture_core.datasets import open_dataset
from fracture_core.demo.layouts import write_demo
from fracture_core.demo.samples import demo_samples
from fracture_core.errors import ConfigError, DatasetError, TrainingError, WeightsError
from fracture_core.evaluations.folders import look_at
from fracture_core.metrics.summary import detector_metrics
from fracture_core.models import quiet_ultralytics
from fracture_core.models.base import Model
from fracture_core.models.families import family
from fracture_core.models.library import add_model
from fracture_core.runs import RunFolder, new_run
from fracture_core.settings import settings
from fracture_core.types import Detections
from tests.support.yolo_files import CLASSES, save_checkpoint, yolo_network
from trainers.checkpoints import load_state
from trainers.config import Augment
from trainers.data_set_cache import chosen_samples
from trainers.family_configs import YoloConfig, make_config
from trainers.label_map import label_map
from trainers.metrics_log import MetricsLog
from trainers.running import make_run, train_run
from trainers.validation import candidates, predict_all
from trainers.yolo import fit
from trainers.yolo.folder import write_folder
from trainers.yolo.images import Images, cut
from trainers.yolo.networks import build_start, layers_of
from trainers.yolo.options import check_config, rate_at, trainer_options
from trainers.yolo.trainer import compute_in_bfloat16

torch.set_num_threads(1)
Given = tuple[Path, dict[str, torch.Tensor]]
# A YOLOv8 of an eighth of the usual width: a step takes some 50 ms.
DETECT = {"name": "yolov8n.yaml", "width": 0.125}
SEGMENT = {"name": "yolov8n-seg.yaml", "width": 0.125}
ROUGH = {"flip": 0.5, "brightness": 0.4, "degrees": 5.0, "shift": 0.1, "scale": (0.5, 1.5)}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve radiographs with outlines: 8 to train, 2 to validate on."""
    folder = tmp_path_factory.mktemp("data") / "demo"
    return write_demo(folder, count=12, seed=1, format="yolo", size=(160, 192))


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


@pytest.mark.parametrize(("network", "task"), [(DETECT, "detect"), (SEGMENT, "segment")])
def test_a_run_trains_and_its_model_is_saved_and_read_back(
    data: Path, tmp_path: Path, network: dict[str, Any], task: str
) -> None:
    run = new_run(tmp_path / "run")
    model = train(config_of(data, network), run)
    assert model is not None
    assert (model.card.task, model.card.classes) == (task, open_dataset(data).classes)
    card = model.save(tmp_path / "saved")
    again = family("yolo").load(card, tmp_path / "saved")
    sample = demo_samples(1, seed=5, size=(160, 160))[0]
    mine, read = (each.predict([sample])[0].detections for each in (model, again))
    assert np.array_equal(mine.xyxy, read.xyxy)
    assert sorted(file.name for file in run.checkpoints.iterdir()) == ["best.pt", "last.pt"]
    assert not list(tmp_path.rglob("results.csv"))


def test_metrics_tell_every_epoch_and_where_it_stands(data: Path, tmp_path: Path) -> None:
    run = new_run(tmp_path / "run")
    train(config_of(data, SEGMENT, epochs=2), run)
    lines = run.read_metrics()
    epochs = [line for line in lines if line["kind"] == "epoch"]
    assert [(line["epoch"], line["of"]) for line in epochs] == [(1, 2), (2, 2)]
    for line in epochs:
        metrics = ("loss", "val_loss", "ap", "ap50", "mask_ap", "mask_ap50", "lr", "seconds")
        assert all(isinstance(line[name], float) for name in metrics)
        assert line["loss"] > 0
    steps = [line for line in lines if line["kind"] == "step"]
    assert steps
    assert steps[0]["steps"] == 2


def test_nothing_is_sent_nor_written_beside_the_data_or_where_python_was_started(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[object] = []
    monkeypatch.setattr("socket.socket.connect", lambda *to: called.append(to))
    monkeypatch.setattr("socket.getaddrinfo", lambda *to: called.append(to))
    before = sorted(data.rglob("*"))
    started = tmp_path / "started"
    started.mkdir()
    monkeypatch.chdir(started)
    train(config_of(data, DETECT, epochs=1), new_run(tmp_path / "run"))
    assert sorted(data.rglob("*")) == before
    assert not list(started.iterdir())
    assert not called


def test_threads_and_determinism_of_the_process_stay(data: Path, tmp_path: Path) -> None:
    train(config_of(data, DETECT, epochs=1), new_run(tmp_path / "run"))
    assert torch.get_num_threads() == 1
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize(
    "changes",
    [
        # Mosaics that close, gradients in parts with a rest, a warm-up that is cut.
        {
            "network": {**DETECT, "mosaic": 1.0, "close_mosaic": 1},
            "augment": ROUGH,
            "accumulate": 2,
            "warmup_steps": 6,
            "clip_norm": 1.0,
        },
        {
            "network": {**SEGMENT, "mosaic": 0.5, "mixup": 0.3, "copy_paste": 0.3},
            "optimiser": "sgd",
            "lr": 0.001,
            "schedule": "cosine",
        },
        # Its head has two losses that are weighed by the epoch.
        {"network": {"name": "yolo26n.yaml", "width": 0.125}, "augment": ROUGH},
        {"network": DETECT, "precision": "bfloat16", "device": "cpu"},
        {
            "network": {**SEGMENT, "mosaic": 0.5},
            "augment": {**ROUGH, "crop": 0.5, "around": 0.8},
            "ema": 0.9,
        },
    ],
    ids=["detect", "segment", "end to end", "bfloat16", "crops"],
)
def test_stopped_and_resumed_is_the_same_bit_for_bit(
    data: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    config = config_of(data, changes.pop("network"), epochs=3, valid_split="val", **changes)
    straight, cut = new_run(tmp_path / "straight"), new_run(tmp_path / "cut")
    assert train(config, straight) is not None
    steps = 2 * config.accumulate
    assert train(config, cut, stop_after(steps + 2)) is None
    assert load_state(cut.checkpoints / "last.pt")[1].epoch == 1
    random.seed(99)
    torch.manual_seed(99)
    assert train(config, cut) is not None
    assert same(straight, cut)
    epochs = [
        [
            {**line, "time": 0, "seconds": 0}
            for line in run.read_metrics()
            if line["kind"] == "epoch"
        ]
        for run in (straight, cut)
    ]
    assert epochs[0] == epochs[1]


def test_a_stop_after_an_epoch_loses_nothing(data: Path, tmp_path: Path) -> None:
    run, config = new_run(tmp_path / "run"), config_of(data, DETECT, epochs=2)
    assert train(config, run, stop_after(3)) is None
    assert load_state(run.checkpoints / "last.pt")[1].epoch == 1
    assert [line["kind"] for line in run.read_metrics()][-1] == "epoch"


def test_stopped_before_the_first_checkpoint_it_begins_anew(data: Path, tmp_path: Path) -> None:
    config = config_of(data, DETECT, epochs=1)
    straight, cut = new_run(tmp_path / "straight"), new_run(tmp_path / "cut")
    train(config, straight)
    assert train(config, cut, stop_after(2)) is None
    assert train(config, cut) is not None
    assert same(straight, cut)


def test_a_finished_training_is_not_trained_further(data: Path, tmp_path: Path) -> None:
    run, config = new_run(tmp_path / "run"), config_of(data, DETECT, epochs=1)
    train(config, run)
    before = (run.checkpoints / "last.pt").read_bytes()
    assert train(config, run) is not None
    assert (run.checkpoints / "last.pt").read_bytes() == before


def test_a_validation_loss_beyond_all_numbers_is_told_as_unknown(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = pytest.importorskip("trainers.yolo.trainer")
    metrics = trainer.read_metrics
    spoilt = iter([float("nan"), 1.0])
    monkeypatch.setattr(trainer, "read_metrics", lambda m: metrics({**m, "val/box": next(spoilt)}))
    run = new_run(tmp_path / "run")
    train(config_of(data, DETECT, epochs=2), run)
    epochs = [line for line in run.read_metrics() if line["kind"] == "epoch"]
    assert [line["val_loss"] is None for line in epochs] == [True, False]
    assert load_state(run.checkpoints / "last.pt")[1].best_epoch == 2
    told = [str(line["text"]) for line in run.read_metrics() if line["kind"] == "note"]
    (said,) = [each for each in told if "no value" in each]
    assert said.startswith("epoch 1 has no value of loss, by which the best one is told (there are")


def test_without_any_value_of_the_monitor_there_is_a_model_in_the_end(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = pytest.importorskip("trainers.yolo.trainer")
    metrics = trainer.read_metrics
    nothing = {"metrics/mAP50(B)": float("nan")}
    monkeypatch.setattr(trainer, "read_metrics", lambda m: metrics({**m, **nothing}))
    run = new_run(tmp_path / "run")
    assert train(config_of(data, DETECT, epochs=9, patience=2, monitor="ap50"), run) is not None
    told = [str(line["text"]) for line in run.read_metrics() if line["kind"] == "note"]
    assert len([each for each in told if "no value of ap50" in each]) == 2
    assert load_state(run.checkpoints / "best.pt")[1].epochs_done == 2


def test_other_seeds_give_other_weights(data: Path, tmp_path: Path) -> None:
    runs = [new_run(tmp_path / f"run{seed}") for seed in (0, 1)]
    for seed, run in enumerate(runs):
        train(config_of(data, DETECT, epochs=1, seed=seed), run)
    assert not same(*runs)


def test_the_best_checkpoint_is_of_the_best_epoch_and_patience_ends(
    data: Path, tmp_path: Path
) -> None:
    # A learning rate this high makes validation worse at once.
    config = config_of(
        data, DETECT, epochs=9, patience=2, lr=1e-9, min_delta=0.5, monitor="loss", batch=8
    )
    run = new_run(tmp_path / "run")
    model = train(config, run)
    _, position = load_state(run.checkpoints / "last.pt")
    assert (position.epochs_done, position.best_epoch, position.phase) == (3, 1, 1)
    assert load_state(run.checkpoints / "best.pt")[1].epochs_done == 1
    assert model is not None
    assert any("stopped early" in str(line.get("text")) for line in run.read_metrics())


def test_a_loss_that_is_no_number_stops_and_names_the_images(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _spoil_forward(monkeypatch, at=4, make=lambda: None)
    run = new_run(tmp_path / "run")
    with pytest.raises(
        TrainingError, match=r"epoch 2, step 2: .* nan on the batch of \w+"
    ) as error:
        train(config_of(data, DETECT, epochs=3), run)
    named = str(error.value).partition("batch of ")[2].partition(". ")[0].split(", ")
    assert len(named) == 4
    assert set(named) <= set(open_dataset(data).ids)
    assert load_state(run.checkpoints / "last.pt")[1].epoch == 1


def test_out_of_memory_halves_the_batch_and_says_so(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise RuntimeError("CUDA out of memory")

    _spoil_forward(monkeypatch, at=2, make=fail)
    run, config = new_run(tmp_path / "run"), config_of(data, DETECT, epochs=2)
    assert train(config, run, stop_after(6)) is None
    assert any("in 2 parts" in str(line.get("text")) for line in run.read_metrics())
    assert load_state(run.checkpoints / "last.pt")[1].parts == 2
    # Resumed, it does not try the whole batch again.
    assert train(config, run) is not None
    assert load_state(run.checkpoints / "last.pt")[1].parts == 2


def test_out_of_memory_in_a_later_epoch_goes_on_from_the_checkpoint(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate")

    _spoil_forward(monkeypatch, at=4, make=fail)
    run = new_run(tmp_path / "run")
    assert train(config_of(data, DETECT, epochs=3), run) is not None
    lines = run.read_metrics()
    assert [line["epoch"] for line in lines if line["kind"] == "epoch"] == [1, 2, 3]
    assert sum("in 2 parts" in str(line.get("text")) for line in lines) == 1
    assert load_state(run.checkpoints / "last.pt")[1].parts == 2


def test_no_room_for_a_single_image_is_a_clear_error(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("CUDA out of memory")

    monkeypatch.setattr("ultralytics.nn.tasks.DetectionModel.loss", fail)
    with pytest.raises(TrainingError, match="memory: expected room for an image of 96 pixels"):
        train(config_of(data, DETECT), new_run(tmp_path / "run"))


def _spoil_forward(monkeypatch: pytest.MonkeyPatch, *, at: int, make: Callable[[], None]) -> None:
    """The loss of the `at`-th training batch becomes NaN, unless `make` raises."""
    tasks = pytest.importorskip("ultralytics.nn.tasks")
    loss, count = tasks.DetectionModel.loss, iter(range(1, 10_000))

    def spoilt(self: Any, batch: Any, preds: Any = None) -> Any:
        value, items = loss(self, batch, preds)
        if self.training and next(count) == at:
            make()
            value = value * float("nan")
        return value, items

    monkeypatch.setattr(tasks.DetectionModel, "loss", spoilt)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"network": {**DETECT, "mosaics": 1.0}},
            r"network\.mosaics: .* There are: name, .*mosaic",
        ),
        ({"network": {**DETECT, "mosaic": 3.0}}, r"network\.mosaic: .* less than or equal to 1"),
        ({"network": {**DETECT, "box": "big"}}, r"network\.box: .* valid number"),
        ({"lr": 2.0}, "values that Ultralytics takes"),
        ({"network": {"name": "yolov8n-pose.yaml"}}, "detects or segments"),
        ({"network": {"name": "yolov99.yaml"}}, "an architecture of Ultralytics"),
        ({"network": {}}, r"network\.name: expected an architecture"),
        ({"augment": {"contrast": 0.3}}, r"augment\.contrast"),
        ({"augment": {"scale": (0.9, 1.5)}}, r"augment\.scale"),
        ({"schedule": "plateau"}, "schedule"),
        ({"backbone_lr": 1e-5}, "backbone_lr"),
        ({"trackers": ("tensorboard",)}, "trackers"),
        ({"fused": False}, "fused"),
        ({"second_phase": {"epochs": 1}}, "second_phase"),
        ({"monitor": "mask_ap"}, "one of loss, ap, ap50 to detect"),
        ({"monitor": "any_hit_f1"}, "one of loss, ap, ap50 to detect"),
        ({"input_size": 32}, "at least 64 pixels"),
        ({"batch": 5, "accumulate": 2}, "parts of equal size"),
        ({"start": "COCO_V1"}, "a model of the library"),
        ({"start": "none.pt"}, "no such file"),
        ({"valid_split": "holdout"}, "'holdout'"),
    ],
)
def test_what_cannot_be_done_is_refused_before_training(
    data: Path, tmp_path: Path, changes: dict[str, Any], sentence: str
) -> None:
    network = changes.pop("network", DETECT)
    run = new_run(tmp_path / "run")
    with pytest.raises((ConfigError, WeightsError), match=sentence):
        train(config_of(data, network, **changes), run)
    assert not run.checkpoints.exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="device: expected a GPU"):
        train(config_of(data, DETECT, device="cuda"), new_run(tmp_path / "run"))


def test_bfloat16_computes_layers_in_it_and_answers_in_float32() -> None:
    network = yolo_network("yolo11n.yaml").train()
    pixels = torch.rand(1, 3, 96, 96)
    seen: list[torch.dtype] = []
    network.model[0].conv.register_forward_hook(lambda _m, _i, out: seen.append(out.dtype))
    with torch.no_grad():
        whole = network(pixels)
        compute_in_bfloat16(network)
        halved = network(pixels)
    assert seen == [torch.float32, torch.bfloat16]
    assert halved["scores"].dtype == torch.float32
    both = torch.stack([halved["scores"].reshape(-1), whole["scores"].reshape(-1)])
    assert 0.9 < float(torch.corrcoef(both)[0, 1]) < 1


def test_a_split_without_boxes_or_outlines_is_refused(tmp_path: Path) -> None:
    boxes = write_demo(
        tmp_path / "boxes", count=12, seed=1, size=(160, 160), format="yolo", outlines=False
    )
    with pytest.raises(DatasetError, match="outlines or masks in the split 'train'"):
        train(config_of(boxes, SEGMENT), new_run(tmp_path / "run"))
    for label in (boxes / "train" / "labels").iterdir():
        label.write_text("")
    with pytest.raises(DatasetError, match="boxes in the images of the split 'train'"):
        train(config_of(boxes, DETECT), new_run(tmp_path / "other"))


def test_unknown_truth_is_left_out_and_counted_and_empty_is_kept(tmp_path: Path) -> None:
    data = write_demo(tmp_path / "demo", count=12, seed=1, size=(160, 160), format="yolo")
    config = config_of(data, DETECT, valid_split="val")
    before = write_folder(config, open_dataset(data), "detect")
    labels = sorted((data / "train" / "labels").iterdir())
    empty = [label for label in labels if not label.read_text()]
    empty[0].unlink()
    folder = write_folder(config, open_dataset(data), "detect")
    assert folder.path != before.path
    assert len(folder.ids["train"]) == len(labels) - 1
    assert folder.notes == ("train: 1 images of unknown ground truth are left out",)
    written = [path.read_text() for path in (folder.path / "train" / "labels").iterdir()]
    assert sum(not text for text in written) == len(empty) - 1


def test_the_folder_holds_shown_images_and_truths_in_shares(data: Path) -> None:
    dataset = open_dataset(data)
    folder = write_folder(config_of(data, SEGMENT), dataset, "segment")
    for row, sample_id in enumerate(folder.ids["train"]):
        sample = dataset[sample_id]
        file = folder.images("train") / f"{row:06d}.png"
        with Image.open(file) as image:
            assert image.size == (96, 80)
            assert image.mode == "L"
        assert folder.name_of(str(file)) == sample_id
        lines = (folder.path / "train" / "labels" / f"{row:06d}.txt").read_text().splitlines()
        assert sample.ground_truth is not None
        for line, xyxy, label in zip(
            lines, sample.ground_truth.xyxy, sample.ground_truth.labels, strict=True
        ):
            numbers = [float(each) for each in line.split()]
            ring = np.array(numbers[1:]).reshape(-1, 2)
            assert numbers[0] == label
            around = np.concatenate([ring.min(axis=0), ring.max(axis=0)]) * [192, 160, 192, 160]
            # A pixel of the smaller image is two of the larger one.
            assert np.abs(around - xyxy).max() <= 3


def test_deep_grey_from_other_formats_trains(tmp_path: Path) -> None:
    data = write_demo(tmp_path / "demo", count=1, seed=1, format="hdf5") / "demo.h5"
    dataset = open_dataset(data)
    split = next(iter(dataset.splits))
    config = config_of(data, DETECT, epochs=1, train_split=split, valid_split=split)
    assert train(config, new_run(tmp_path / "run")) is not None


def test_classes_are_merged(data: Path, tmp_path: Path) -> None:
    model = train(
        config_of(data, DETECT, epochs=1, merge_classes="fracture"), new_run(tmp_path / "r")
    )
    assert model is not None
    assert model.card.classes == ("fracture",)
    folders = list((settings().cache / "yolo").glob("*/train/labels/*.txt"))
    assert {line[0] for path in folders for line in path.read_text().splitlines()} == {"0"}


def test_limit_draws_images_by_the_seed(data: Path) -> None:
    dataset = open_dataset(data)
    drawn = [
        tuple(
            write_folder(config_of(data, DETECT, limit=5, seed=seed), dataset, "detect").ids[
                "train"
            ]
        )
        for seed in (0, 0, 1)
    ]
    assert len(drawn[0]) == 5
    assert drawn[0] == drawn[1] != drawn[2]


def test_the_same_data_set_is_written_once(data: Path) -> None:
    dataset, config = open_dataset(data), config_of(data, DETECT)
    first = write_folder(config, dataset, "detect")
    stamp = (first.path / "index.json").stat().st_mtime_ns
    again = write_folder(config, dataset, "detect")
    assert (again, stamp) == (first, (again.path / "index.json").stat().st_mtime_ns)
    assert (
        write_folder(config_of(data, DETECT, input_size=64), dataset, "detect").path != first.path
    )
    assert json.loads((first.path / "index.json").read_text()) == first.ids


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


def test_images_are_the_same_whatever_was_read_before(data: Path) -> None:
    config = config_of(data, {**SEGMENT, "mosaic": 1.0}, augment=ROUGH)
    folder = write_folder(config, open_dataset(data), "segment")
    engine = pytest.importorskip("ultralytics.cfg")
    options = engine.get_cfg(overrides=trainer_options(config, "segment", on_gpu=False))
    read = []
    for warmed in (False, True):
        images = Images(
            img_path=str(folder.images("train")),
            imgsz=96,
            hyp=options,
            task="segment",
            data={"names": {0: "a"}, "channels": 3},
        )
        if warmed:
            [images[row] for row in (3, 1, 2)]
        random.seed(1)
        np.random.seed(1)
        read.append(images[0])
    assert torch.equal(read[0]["img"], read[1]["img"])
    assert torch.equal(read[0]["bboxes"], read[1]["bboxes"])
    assert torch.equal(read[0]["masks"], read[1]["masks"])


def square(rings: list[list[tuple[float, float]]]) -> dict[str, Any]:
    """A record of an image of 100 × 80 pixels with these outlines, as Ultralytics makes it."""
    part = quiet_ultralytics.part("ultralytics.utils.instance")
    outlines = np.array(rings, dtype=np.float32)
    boxes = np.concatenate([outlines.min(axis=1), outlines.max(axis=1)], axis=1)
    given = part.Instances(boxes, outlines, bbox_format="xyxy", normalized=False)
    given.normalize(100, 80)
    labels = np.arange(len(rings), dtype=np.float32)[:, None]
    return {"instances": given, "cls": labels, "im_file": "a.png"}


def rectangle(left: float, top: float, right: float, bottom: float) -> list[tuple[float, float]]:
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def test_a_part_has_the_boxes_and_outlines_that_lie_in_it() -> None:
    image = np.zeros((80, 100), dtype=np.uint8)
    image[20:40, 30:60] = 255
    found = square([rectangle(30, 20, 60, 40), rectangle(90, 70, 100, 80)])
    seen = set()
    for seed in range(30):
        random.seed(seed)
        augment = Augment(crop=1, crop_least=0.5, around=1)
        part = cut(copy.deepcopy(found), image, augment, 64)
        assert max(part["img"].shape) == 64
        assert part["img"].shape[2] == 1
        assert part["resized_shape"] == part["img"].shape[:2]
        inside = part["instances"]
        assert len(part["cls"]) == len(inside.bboxes) == len(inside.segments) >= 1
        seen.add(tuple(part["cls"][:, 0]))
        if part["cls"][0, 0] != 0:
            continue
        inside.convert_bbox("xyxy")
        inside.denormalize(*part["img"].shape[1::-1])
        rows, columns = np.nonzero(part["img"][..., 0] > 127)
        bright = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        np.testing.assert_allclose(inside.bboxes[0], bright, atol=1.5)
        outline = inside.segments[0]
        around = [*outline.min(axis=0), *outline.max(axis=0)]
        np.testing.assert_allclose(around, inside.bboxes[0], atol=1e-3)
    assert seen >= {(0,), (0, 1)}


def test_an_object_that_is_cut_off_for_the_most_part_is_dropped() -> None:
    found = square([rectangle(0, 0, 100, 4), rectangle(40, 30, 44, 34)])
    labels = set()
    for seed in range(40):
        random.seed(seed)
        augment = Augment(crop=1, crop_least=0.2)
        part = cut(copy.deepcopy(found), np.zeros((80, 100), dtype=np.uint8), augment, 64)
        labels |= {float(label) for label in part["cls"][:, 0]}
        for box, label in zip(part["instances"].bboxes, part["cls"][:, 0], strict=True):
            area = box[2] * box[3] * part["ori_shape"][0] * part["ori_shape"][1]
            assert area >= 0.25 * (400 if label == 0 else 16) - 1
    assert labels == {0, 1}


def test_images_to_be_cut_are_stored_larger(data: Path) -> None:
    augment = {"crop": 0.5, "crop_least": 0.75}
    config = config_of(data, DETECT, input_size=96, augment=augment)
    check_config(config)
    folder = write_folder(config, open_dataset(data), "detect")
    sizes = {}
    for split in ("train", "val"):
        with Image.open(next(folder.images(split).glob("*.png"))) as image:
            sizes[split] = max(image.size)
    assert sizes == {"train": 128, "val": 96}


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
    epochs = [line for line in run.read_metrics() if line["kind"] == "epoch"]
    assert len(epochs) == 1
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
