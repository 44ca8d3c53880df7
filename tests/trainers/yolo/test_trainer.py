"""A YOLO trained through Ultralytics' own trainer, stopped, resumed, and where it cannot go on."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fracture_core.datasets import open_dataset
from fracture_core.demo.samples import demo_samples
from fracture_core.errors import ConfigError, TrainingError, WeightsError
from fracture_core.models.families import family
from fracture_core.runs import new_run
from tests.support.yolo_files import yolo_network
from tests.support.yolo_trainings import DETECT, ROUGH, SEGMENT, config_of, same, stop_after, train
from trainers.checkpoints import load_state
from trainers.yolo.trainer import compute_in_bfloat16


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
    start, *epochs = (line for line in lines if line["kind"] == "epoch")
    assert [(line["epoch"], line["of"]) for line in (start, *epochs)] == [(0, 2), (1, 2), (2, 2)]
    losses = ("loss", "box", "class", "dfl", "mask")
    metrics = ("ap", "ap50", "precision", "recall", "f1")
    valid = [f"val_{name}" for name in (*losses, *metrics, *(f"mask_{each}" for each in metrics))]
    assert all(isinstance(start[name], float) for name in (*valid, "validation_seconds"))
    assert not start.keys() & {*losses, "lr", "seconds"}
    for line in epochs:
        rates = ("lr", "lr_bn", "lr_bias")
        assert all(isinstance(line[name], float) for name in (*losses, *valid, *rates, "seconds"))
        parts = sum(float(str(line[name])) for name in losses[1:])
        assert line["loss"] == pytest.approx(parts, abs=0.01)
    steps = [line for line in lines if line["kind"] == "step"]
    assert steps
    assert steps[0]["steps"] == 2


def test_the_network_is_validated_once_before_its_first_step(data: Path, tmp_path: Path) -> None:
    config = config_of(data, DETECT, epochs=1, valid_split="val")
    asked, plain = new_run(tmp_path / "asked"), new_run(tmp_path / "plain")
    assert train(config, asked, stop_after(1)) is None
    assert train(config, asked) is not None
    assert train(config.model_copy(update={"validate_start": False}), plain) is not None
    epochs = [
        [line["epoch"] for line in run.read_metrics() if line["kind"] == "epoch"]
        for run in (asked, plain)
    ]
    assert epochs == [[0, 1], [1]]
    assert same(asked, plain)


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
            {**line, "time": 0, "seconds": 0, "validation_seconds": 0}
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
    train(config_of(data, DETECT, epochs=2, validate_start=False), run)
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
    assert [line["epoch"] for line in lines if line["kind"] == "epoch"] == [0, 1, 2, 3]
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
