"""The loop: the same weights however often it is interrupted, and a clear end otherwise."""

import json
import math
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
import torch

from fracture_core.datasets import open_dataset
from fracture_core.demo import write_demo
from fracture_core.errors import ConfigError, TrainingError
from fracture_core.evaluations import load_evaluation
from fracture_core.metrics.summary import defined
from fracture_core.models.cards import read_card
from fracture_core.models.points import read_points
from fracture_core.operating_points import RULES
from fracture_core.runs import RunFolder, open_run
from fracture_core.scope import SYNTHETIC
from trainers import checkpoints, running
from trainers.checkpoints import BEST, LAST, MODULE, load_state
from trainers.data_set_cache import pack_split
from trainers.families import build_module
from trainers.family_configs import write_config
from trainers.label_map import class_names
from trainers.loop import Loop
from trainers.metrics_log import MetricsLog
from trainers.running import make_run, train_run
from trainers.validation import Validator

DETECTOR = {
    "start": "",
    "input_size": 64,
    "network.backbone": "resnet18",
    "network.backbone_width": 8,
    "network.width": 16,
    "network.feedforward_width": 16,
    "network.encoder_depth": 1,
    "network.decoder_depth": 1,
    "network.head_count": 2,
    "merge_classes": "fracture",
    "epochs": 4,
    "monitor": "loss",
}
CLASSIFIER = {
    "start": "",
    "network.name": "resnet18",
    "network.width": 8,
    "input_size": 48,
    "epochs": 2,
    "batch": 8,
    "classify": "findings",
    "device": "cpu",
}
# What a second run of the same steps cannot repeat.
TIMES = ("time", "seconds", "validation_seconds", "pictures_per_second")


@pytest.fixture(autouse=True)
def one_thread(monkeypatch) -> Iterator[None]:
    """Here and in processes that are started: sums in another number of threads round otherwise."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> Path:
    return write_demo(tmp_path_factory.mktemp("demo") / "set", count=24, size=(160, 128))


def make_detector_run(demo: Path, path: Path, **changes: object) -> RunFolder:
    asked = {**DETECTOR, "device": "cpu", **changes}
    return make_run(path, "r3-detr-scratch", str(demo), asked)


def build_loop(run: RunFolder, stop=lambda: False) -> Loop:
    from trainers.family_configs import read_config

    config = read_config(run.config)
    dataset = open_dataset(config.data)
    module = build_module(config, class_names(dataset, config), run.name)
    train = pack_split(dataset, config, "train", module.size_of)
    valid = pack_split(dataset, config, "val", module.size_of)
    return Loop(config, module, train, valid, run, stop)


def fit(run: RunFolder, stop=lambda: False) -> bool:
    with MetricsLog(run) as log:
        return build_loop(run, stop).run(log)


def told(run: RunFolder) -> list[dict]:
    """What the epochs came to, without the times, and without that before the first step."""
    return [line for line in told_with_start(run) if line["epoch"]]


def told_with_start(run: RunFolder) -> list[dict]:
    return [
        {name: value for name, value in line.items() if name not in TIMES}
        for line in run.read_metrics()
        if line["kind"] == "epoch"
    ]


def assert_same_state(first: Path, second: Path) -> None:
    (one, here), (two, there) = load_state(first), load_state(second)
    for position in (here, there):
        position.seconds = 0.0
    assert here == there
    assert_equal(one, two)


def assert_equal(one: object, two: object) -> None:
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, two)
    elif isinstance(one, dict):
        assert one.keys() == two.keys()
        for key in one:
            assert_equal(one[key], two[key])
    elif isinstance(one, list | tuple):
        assert len(one) == len(two)
        for left, right in zip(one, two, strict=True):
            assert_equal(left, right)
    else:
        assert one == two


class StopAfter:
    """Asks to stop when it has been asked this often."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def __call__(self) -> bool:
        self.left -= 1
        return self.left <= 0


# An epoch is five steps, and three where it goes through 9 images with a finding and 3 without.
LEARNING = {
    "ema": 0.9,
    "normals": 0.35,
    "augment": {"flip": 0.5, "scale": [0.6, 1.0], "crop": 0.5, "around": 0.8},
}


@pytest.mark.parametrize(("changes", "steps"), [({}, 5), (LEARNING, 3)], ids=["plain", "averaged"])
def test_a_run_stopped_twice_in_the_middle_of_an_epoch_ends_as_one_that_was_not(
    changes, steps, demo, tmp_path
):
    straight = make_detector_run(demo, tmp_path / "straight", **changes)
    assert fit(straight)
    broken = make_detector_run(demo, tmp_path / "broken", **changes)
    assert not fit(broken, StopAfter(steps + 1))
    _, position = load_state(broken.checkpoints / LAST)
    assert (position.epoch, position.step) == (1, 1)
    assert not fit(broken, StopAfter(2 * steps - 1))
    assert fit(broken)
    assert told(broken) == told(straight)
    assert len(told(straight)) == 4
    for name in (LAST, BEST):
        assert_same_state(straight.checkpoints / name, broken.checkpoints / name)


def test_the_network_is_validated_once_before_its_first_step(demo, tmp_path):
    run = make_detector_run(demo, tmp_path / "run", epochs=2)
    assert not fit(run, StopAfter(2))
    assert fit(run)
    first, *epochs = told_with_start(run)
    assert [line["epoch"] for line in epochs] == [1, 2]
    assert (first["epoch"], first["step"], first["best"]) == (0, 0, False)
    losses = {"val_loss", "val_class", "val_l1", "val_giou"}
    assert losses < first.keys() < epochs[0].keys()
    assert first["val_loss"] > epochs[-1]["val_loss"]
    assert load_state(run.checkpoints / LAST)[1].epochs_done == 2


def test_a_validation_before_the_first_step_changes_nothing_after_it(demo, tmp_path):
    runs = [
        make_detector_run(demo, tmp_path / name, epochs=1, validate_start=asked)
        for name, asked in (("with", True), ("without", False))
    ]
    for run in runs:
        assert fit(run)
    assert [len(told_with_start(run)) for run in runs] == [2, 1]
    assert told(runs[0]) == told(runs[1])
    assert_same_state(*(run.checkpoints / LAST for run in runs))


def test_losses_by_part_and_rates_by_group_are_logged(demo, tmp_path):
    run = make_detector_run(demo, tmp_path / "run", epochs=1, backbone_lr=1e-6)
    assert fit(run)
    (line,) = told(run)
    for prefix in ("", "val_"):
        of_class, l1, giou = (line[f"{prefix}{name}"] for name in ("class", "l1", "giou"))
        # With one decoder layer the loss is that of the last.
        total = of_class + 5 * l1 + 2 * giou
        assert line[f"{prefix}loss"] == pytest.approx(total, rel=1e-4)
    assert (line["lr"], line["lr_backbone"]) == (1e-4, 1e-6)


def test_accuracy_of_training_is_logged_beside_that_of_validation(demo, tmp_path):
    run = make_run(tmp_path / "run", "r5-resnet", str(demo), {**CLASSIFIER, "epochs": 1})
    assert fit(run)
    (line,) = told(run)
    for prefix in ("", "val_"):
        assert {f"{prefix}{name}" for name in ("cross_entropy", "focal")} < line.keys()
        assert 0 <= line[f"{prefix}accuracy"] <= 1


def test_a_run_killed_and_resumed_ends_as_one_that_was_not(demo, tmp_path):
    straight = make_detector_run(demo, tmp_path / "straight")
    train_run(straight)
    killed = make_detector_run(demo, tmp_path / "killed")
    kill_in_the_third_epoch(killed)
    assert len(told(killed)) == 2
    assert not killed.card.exists()
    train_run(killed)
    assert told(killed) == told(straight)
    one, two = (read_card(run.path) for run in (straight, killed))
    assert one.weights_sha256 == two.weights_sha256
    assert one.metrics == two.metrics


KILLED = """
import os, signal, sys
from trainers.__main__ import main
from trainers.metrics_log import MetricsLog
step = MetricsLog.step
def step_and_die(self, line):
    step(self, line)
    if (line["epoch"], line["step"]) == (3, 2):
        os.kill(os.getpid(), signal.SIGKILL)
MetricsLog.step = step_and_die
main()
"""


def kill_in_the_third_epoch(run: RunFolder) -> None:
    """In a process of its own, at the same step on every machine."""
    command = [sys.executable, "-c", KILLED, "train", str(run.path)]
    done = subprocess.run(command, stderr=subprocess.DEVNULL, check=False)
    assert done.returncode == -signal.SIGKILL


def test_sigterm_checkpoints_and_exits_cleanly(demo, tmp_path):
    run = make_detector_run(demo, tmp_path / "run", epochs=500)
    command = [sys.executable, "-m", "trainers", "train", str(run.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        while not told(run):
            assert process.poll() is None
            time.sleep(0.05)
        process.terminate()
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert b"Stopped after a checkpoint. Go on with: python -m trainers train" in said
    assert run.stopped.exists()
    assert (run.checkpoints / LAST).exists()


def test_a_finished_run_is_a_model_with_a_card(demo, tmp_path):
    run = make_run(tmp_path / "gate", "r5-resnet", str(demo), CLASSIFIER)
    card = train_run(run)
    assert card == read_card(run.path)
    assert (card.model_id, card.classes) == ("gate", ("healthy", "fracture"))
    assert "test balanced_accuracy" in card.metrics
    assert "split 'train'" in card.training_data
    assert card.scope.origins == ("synthetic",)
    assert card.scope.modalities == ("DX",)
    assert set(card.scope.body_parts) <= set(SYNTHETIC.body_parts)
    valid, tested = (load_evaluation(run.evaluations / name) for name in ("validation", "test"))
    assert (valid.about.split, tested.about.split) == ("val", "test")
    measured = read_points(card, run.path)
    assert [point.rule for point in measured.points] == [rule.name for rule in RULES]
    assert (measured.model_id, measured.unit, measured.split) == ("gate", "image", "val")
    assert {point.confidence for point in measured.points if point.confidence is not None} == set(
        card.operating_points.values()
    )
    assert measured.points[0].applied_to.endswith("split test")
    assert measured.points[0].applied.images == len(tested)
    with pytest.raises(ConfigError, match="expected a run to train, found a card"):
        train_run(run)


def test_the_second_phase_goes_on_from_the_best(demo, tmp_path):
    second = {"epochs": 2, "lr": 1e-5, "frozen_stages": 5, "monitor": "loss"}
    changes = {"epochs": 2, "second_phase": second}
    straight = make_detector_run(demo, tmp_path / "straight", **changes)
    assert fit(straight)
    assert [(line["phase"], line["epoch"]) for line in told(straight)] == [
        (1, 1),
        (1, 2),
        (2, 1),
        (2, 2),
    ]
    first, _ = load_state(straight.checkpoints / BEST)
    broken = make_detector_run(demo, tmp_path / "broken", **changes)
    steps = told(straight)[0]["steps"]
    assert not fit(broken, StopAfter(2 * steps + 1))
    assert fit(broken)
    assert told(broken) == told(straight)
    assert_same_state(straight.checkpoints / LAST, broken.checkpoints / LAST)
    backbone = [name for name in first[MODULE] if name.startswith("network.backbone.layer4")]
    assert backbone


@pytest.mark.parametrize("anew", [False, True])
def test_a_second_phase_that_begins_its_search_anew_keeps_its_own_weights(demo, tmp_path, anew):
    """Its epoch is worse, as its rate is far too high."""
    second = {"epochs": 1, "lr": 1.0, "monitor": "loss", "best_anew": anew}
    run = make_detector_run(demo, tmp_path / "run", epochs=1, second_phase=second)
    assert fit(run)
    first, last = told(run)
    assert last["val_loss"] > first["val_loss"]
    assert (first["best"], last["best"]) == (True, anew)
    assert load_state(run.checkpoints / BEST)[1].best_epoch == (2 if anew else 1)


def test_float16_without_a_gpu_is_float32_and_the_log_says_so(demo, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    half, full = (
        make_detector_run(demo, tmp_path / precision, epochs=1, batch=16, precision=precision)
        for precision in ("float16", "float32")
    )
    assert train_run(half) is not None
    assert train_run(full) is not None
    assert "on the CPU and so in float32: float16 needs a GPU" in notes(half)[0]
    assert not [text for text in notes(full) if "float16" in text]
    assert told(half) == told(full)


def test_the_average_is_validated_and_kept_as_best(demo, tmp_path, monkeypatch):
    # The last checkpoint stays that of the epoch.
    monkeypatch.setattr(Loop, "_next_phase", lambda loop, _: setattr(loop._position, "phase", 1))
    run = make_detector_run(demo, tmp_path / "run", epochs=1, ema=0.99, batch=64, lr=0.01)
    loop = build_loop(run)
    name = "class_head.weight"
    before = loop._module.network.get_parameter(name).detach().clone()
    with MetricsLog(run) as log:
        assert loop.run(log)
    (best, _), (last, _) = (load_state(run.checkpoints / name) for name in (BEST, LAST))
    after = last[MODULE][f"network.{name}"]
    # After the one step that there was.
    torch.testing.assert_close(best[MODULE][f"network.{name}"], (2 * before + 9 * after) / 11)
    assert_equal(best[MODULE], last["average"]["averages"])
    metric = told(run)[0]["val_loss"]
    assert loop._validator.metrics(loop._module)["loss"] != metric
    loop.best()
    assert loop._validator.metrics(loop._module)["loss"] == metric


def test_an_epoch_goes_through_all_findings_and_a_share_of_the_rest(demo, tmp_path):
    run = make_detector_run(demo, tmp_path / "run", normals=0.35)
    loop = build_loop(run)
    found = {row for row in range(len(loop._train)) if loop._found[row]}
    epochs = []
    for epoch in range(6):
        loop._position.epoch = epoch
        epochs.append({int(row) for rows in loop._order() for row in rows})
    normals = [rows - found for rows in epochs]
    assert 0 < len(found) < len(loop._train)
    assert all(found <= rows for rows in epochs)
    assert {len(rows) for rows in normals} == {round(0.35 * len(found))}
    assert len({frozenset(rows) for rows in normals}) > 1


def test_balanced_classes_are_counted_as_they_are_drawn(demo, tmp_path, monkeypatch):
    counted = []
    monkeypatch.setattr(
        "trainers.classification.ClassifierModule.set_class_counts",
        lambda _module, counts: counted.append(counts),
    )
    monkeypatch.setattr("trainers.loop.Loop.run", lambda _loop, _log: False)
    for number, normals in enumerate((None, 0.5)):
        asked = {**CLASSIFIER, "normals": normals, "class_weights": "balanced"}
        train_run(make_run(tmp_path / f"run{number}", "r5-resnet", str(demo), asked))
    (healthy, fractured), (fewer, same) = counted
    assert same == fractured
    assert fewer == min(healthy, round(fractured / 2))


def test_patience_ends_a_phase(demo, tmp_path):
    run = make_detector_run(demo, tmp_path / "run", epochs=50, patience=2, min_delta=1e6)
    assert fit(run)
    assert [line["best"] for line in told(run)] == [True, False, False]


def without_values(monkeypatch, *epochs: int) -> None:
    """Validation finds no loss in these epochs, counted from 1."""
    # Epoch 0 is validated, too.
    whole, counted = Validator.metrics, count(0)

    def metrics(self, module):
        found = whole(self, module)
        return {**found, "loss": math.nan} if next(counted) in epochs else found

    monkeypatch.setattr(Validator, "metrics", lambda *given: defined(metrics(*given)))


def notes(run: RunFolder) -> list[str]:
    return [str(line["text"]) for line in run.read_metrics() if line["kind"] == "note"]


def test_an_epoch_whose_monitor_has_no_value_is_a_note_and_the_run_goes_on(
    demo, tmp_path, monkeypatch
):
    without_values(monkeypatch, 1, 3)
    run = make_detector_run(demo, tmp_path / "run", epochs=3, schedule="plateau")
    loop = build_loop(run)
    with MetricsLog(run) as log:
        assert loop.run(log)
    said = [each for each in notes(run) if "no value" in each]
    assert [each.partition(",")[0] for each in said] == [
        "epoch 1 has no value of loss",
        "epoch 3 has no value of loss",
    ]
    assert "there are ap, ap50" in said[0]
    # The first with a value is the best, as 0 would be and nothing would not.
    assert [line["best"] for line in told(run)] == [False, True, False]
    position = load_state(run.checkpoints / LAST)[1]
    assert position.best_epoch == 2
    assert load_state(run.checkpoints / BEST)[1].epochs_done == 2
    assert position.best == told(run)[1]["val_loss"]


def test_without_any_value_the_last_weights_are_kept_and_patience_ends(demo, tmp_path, monkeypatch):
    without_values(monkeypatch, *range(1, 9))
    run = make_detector_run(demo, tmp_path / "run", epochs=8, patience=2)
    assert train_run(run) is not None
    assert len(told(run)) == 2
    assert len([each for each in notes(run) if "no value of loss" in each]) == 2
    assert load_state(run.checkpoints / BEST)[1].epochs_done == 2


def test_a_loss_that_is_no_number_names_the_images(demo, tmp_path, monkeypatch):
    run = make_detector_run(demo, tmp_path / "run")
    loop = build_loop(run)
    trained = loop._module.forward

    def forward(batch):
        losses = trained(batch)
        return {**losses, "loss": losses["loss"] * (float("nan") if 3 in batch.rows else 1)}

    loop._module.forward = forward
    name = loop._train.ids[3]
    words = f"a loss that is a number, found loss nan .*{name}"
    with MetricsLog(run) as log, pytest.raises(TrainingError, match=words):
        loop.run(log)


def test_out_of_memory_halves_the_batch_and_says_so(demo, tmp_path):
    run = make_detector_run(demo, tmp_path / "run", epochs=1, batch=8)
    loop = build_loop(run)
    trained, seen = loop._module.forward, []

    def forward(batch):
        if loop._module.training:
            if len(batch) > 2:
                raise torch.OutOfMemoryError
            seen.append(len(batch))
        return trained(batch)

    loop._module.forward = forward
    with MetricsLog(run) as log:
        assert loop.run(log)
    assert max(seen[:8]) == 2
    notes = [line["text"] for line in run.read_metrics() if line["kind"] == "note"]
    assert [note for note in notes if note.startswith("out of memory")] == [
        "out of memory: a batch of 8 now goes in 2 parts",
        "out of memory: a batch of 8 now goes in 4 parts",
    ]


def test_no_room_for_one_image_is_an_error(demo, tmp_path):
    run = make_detector_run(demo, tmp_path / "run", batch=2, validate_start=False)
    loop = build_loop(run)

    def forward(batch):
        raise torch.OutOfMemoryError

    loop._module.forward = forward
    words = "memory: expected room for a batch of 2 in 2 parts"
    with MetricsLog(run) as log, pytest.raises(TrainingError, match=words):
        loop.run(log)


def test_a_full_disk_is_known_before_training(demo, tmp_path, monkeypatch):
    run = make_detector_run(demo, tmp_path / "run")
    full = type(checkpoints.shutil.disk_usage("/"))(10**9, 10**9 - 1000, 1000)
    monkeypatch.setattr(checkpoints.shutil, "disk_usage", lambda _: full)
    with pytest.raises(ConfigError, match="expected room"):
        train_run(run)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_disk_that_fills_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    old = tmp_path / LAST
    checkpoints.save_state({"x": torch.zeros(3)}, checkpoints.Position(epoch=1), old)
    before = old.read_bytes()

    def fill(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", fill)
    with pytest.raises(ConfigError, match="expected room on the disk"):
        checkpoints.save_state({"x": torch.ones(3)}, checkpoints.Position(epoch=2), old)
    assert old.read_bytes() == before
    assert list(tmp_path.iterdir()) == [old]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04nothing", b"\x80\x04cos\nsystem\n."])
def test_a_checkpoint_that_is_none_is_one_sentence(content, demo, tmp_path):
    run = make_detector_run(demo, tmp_path / "run")
    run.checkpoints.mkdir()
    (run.checkpoints / LAST).write_bytes(content)
    with pytest.raises(ConfigError, match=r"last\.pt: expected a checkpoint of this run"):
        fit(run)


def test_a_run_in_use_is_refused(demo, tmp_path):
    run = make_detector_run(demo, tmp_path / "run")
    with run.claim(), pytest.raises(ConfigError, match="found a live process"):
        train_run(open_run(run.path))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"device": "cuda"}, r"device: expected a GPU \(cuda\), found none"),
        ({"monitor": "accuracy"}, "monitor: expected one of any_hit_f1, ap"),
        ({"monitor": "mask_ap"}, "monitor: expected one of any_hit_f1, ap"),
    ],
)
def test_what_cannot_work_is_known_before_training(changes, words, demo, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    run = make_detector_run(demo, tmp_path / "run", **changes)
    with pytest.raises(ConfigError, match=words):
        train_run(run)


def test_classes_that_have_changed_are_known_before_training(demo, tmp_path):
    from trainers.family_configs import read_config

    run = make_detector_run(demo, tmp_path / "run")
    config = read_config(run.config).model_copy(update={"classes": ("wrist",)})
    write_config(type(config).model_validate(config.model_dump()), run.config)
    with pytest.raises(Exception, match=r"made for \(wrist\), found fracture"):
        train_run(run)


def test_a_detector_without_boxes_is_refused_and_makes_no_run(demo, tmp_path):
    annotations = sorted((demo / "annotations").glob("*.json"))
    import shutil

    bare = tmp_path / "bare"
    shutil.copytree(demo, bare)
    for path in annotations:
        copy = bare / "annotations" / path.name
        content = json.loads(copy.read_text())
        copy.write_text(json.dumps({**content, "annotations": []}))
    with pytest.raises(Exception, match="boxes in the split 'train', which a detector learns from"):
        make_detector_run(bare, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_split_that_is_not_there_lists_those_that_are(demo, tmp_path):
    with pytest.raises(Exception, match=r"split 'valid', found the splits: train \(\d+\)"):
        make_detector_run(demo, tmp_path / "run", valid_split="valid")


def test_commands(demo, tmp_path, capsys, monkeypatch):
    from trainers.__main__ import main

    def call(*words: str) -> int:
        monkeypatch.setattr(sys, "argv", ["trainers", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0)

    assert call("recipes") == 0
    assert "r4-efficientnet-gate" in capsys.readouterr().out
    folder = str(tmp_path / "run")
    new = ["new", folder, "--recipe", "r5-resnet", "--data", str(demo)]
    assert call(*new, "--set", "epoch=3") == 2
    assert "epoch: expected a setting of a training" in capsys.readouterr().err
    assert call(*new, "--set", "epochs") == 2
    assert "--set: expected key=value" in capsys.readouterr().err
    changes = [f"{name}={value}" for name, value in CLASSIFIER.items()]
    sets = [word for change in changes for word in ("--set", change)]
    assert call(*new, *sets) == 0
    assert call("train", folder) == 0
    assert "balanced_accuracy" in capsys.readouterr().out
    assert running.open_dataset(demo).name
