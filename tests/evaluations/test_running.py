"""A data set predicted once: what is stored, what survives a stop, and what is refused."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from fracture_core.cli import app
from fracture_core.datasets import open_dataset
from fracture_core.demo import write_demo
from fracture_core.errors import ConfigError
from fracture_core.evaluations import (
    EvaluateConfig,
    check_evaluation,
    delete_evaluation,
    list_evaluations,
    load_evaluation,
    new_evaluation,
    run_evaluation,
    running,
)
from fracture_core.evaluations.folders import PARTS, PREDICTIONS, read_completed
from fracture_core.metrics.detection_table import DetectionTable
from fracture_core.models.fake import CARD, FakeModel
from fracture_core.runs import RunFolder

COUNT = 24


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> Path:
    return write_demo(tmp_path_factory.mktemp("demo") / "set", count=COUNT, size=(160, 128))


def ask(demo: Path, **asked: object) -> EvaluateConfig:
    return EvaluateConfig.of(model="fake", data=str(demo), **{"split": "all", **asked})


@pytest.fixture
def small_batches(monkeypatch) -> None:
    monkeypatch.setattr(running, "BATCH", 3)
    monkeypatch.setattr(running, "PART_IMAGES", 6)


def assert_same(one, two) -> None:
    """But for when it was made, and how long each image took."""
    assert one.about.model_copy(update={"created_utc": ""}) == two.about.model_copy(
        update={"created_utc": ""}
    )
    for name in ("sample_ids", "group_ids"):
        assert getattr(one, name) == getattr(two, name)
    for name in ("known", "image_scores", "image_classes", "sizes_px"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    for name in ("raw", "ground_truths"):
        assert_same_columns(getattr(one, name), getattr(two, name))


def assert_same_columns(one: DetectionTable, two: DetectionTable) -> None:
    assert (one.image_count, one.masks) == (two.image_count, two.masks)
    for name in ("image", "xyxy", "scores", "labels", "crowd"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


def test_what_is_stored_is_what_the_model_says(demo):
    run = new_evaluation(ask(demo, split="train"))
    found = run_evaluation(run.path)
    dataset = open_dataset(demo)
    samples = [dataset[each] for each in dataset.splits["train"]]
    model = FakeModel(CARD.model_copy(update={"classes": dataset.classes}))
    said = model.predict(samples)
    assert found.sample_ids == dataset.splits["train"]
    assert found.group_ids == tuple(sample.group_id for sample in samples)
    assert_same_columns(found.raw, DetectionTable.of([each.detections for each in said]))
    assert_same_columns(
        found.ground_truths, DetectionTable.of([sample.ground_truth for sample in samples])
    )
    merged = DetectionTable.of([each.detections.nms(0.4) for each in said])
    assert_same_columns(found.found(0.4), merged)
    assert found.found(0.4) is found.found(0.4)
    assert found.known.all()
    assert found.sizes_px.tolist() == [[each.height, each.width] for each in samples]
    assert found.image_scores == pytest.approx([each.image_score for each in said])
    assert found.class_scores is None


def test_it_is_asked_once(demo, monkeypatch):
    run = new_evaluation(ask(demo, split="val"))
    first = run_evaluation(run.path)
    monkeypatch.setattr(FakeModel, "predict", None)
    assert_same(first, run_evaluation(run.path))


def test_one_that_was_stopped_is_equal_to_one_that_never_was(demo, small_batches):
    straight = run_evaluation(new_evaluation(ask(demo)).path)
    run = new_evaluation(ask(demo))
    told: list[tuple[int, int]] = []
    for enough in (4, 11, 100):
        count = len(told) + enough
        evaluation = run_evaluation(
            run.path, lambda *each: told.append(each), lambda count=count: len(told) >= count
        )
        if evaluation is None:
            assert run.stopped.is_file()
            assert not run.evaluation.exists()
    assert told[-1] == (COUNT, COUNT)
    assert_same(straight, evaluation)
    assert not run.stopped.exists()
    assert not (run.path / PARTS).exists()


def test_a_part_that_does_not_follow_is_asked_again(demo, small_batches):
    straight = run_evaluation(new_evaluation(ask(demo)).path)
    run, told = new_evaluation(ask(demo)), []
    assert run_evaluation(run.path, lambda *each: told.append(each), lambda: len(told) > 5) is None
    parts = sorted((run.path / PARTS).glob("*.npz"))
    assert len(parts) > 1
    parts[0].rename(parts[0].with_name("lost.npz.part"))
    assert_same(straight, run_evaluation(run.path))


SLOW = """
import sys, time
from pathlib import Path
from fracture_core.evaluations import command, running
from fracture_core.evaluations.command import Wishes
from fracture_core.models.fake import FakeModel
running.BATCH, running.PART_IMAGES = 3, 3
swift = FakeModel.predict
def predict(self, samples):
    time.sleep(0.2)
    return swift(self, samples)
FakeModel.predict = predict
sys.exit(command.resume(Path(sys.argv[1]), {}, {}, Wishes()))
"""


def start_slow(run: RunFolder) -> subprocess.Popen[str]:
    """In a process of its own; returns after the second part was written."""
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, str(run.path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while len(list((run.path / PARTS).glob("*.npz"))) < 2:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    return process


def test_a_kill_takes_nothing_that_was_answered(demo, small_batches):
    straight = run_evaluation(new_evaluation(ask(demo)).path)
    run = new_evaluation(ask(demo))
    with start_slow(run) as process:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    assert not run.evaluation.exists()
    kept = len(list((run.path / PARTS).glob("*.npz")))
    told: list[int] = []
    assert_same(straight, run_evaluation(run.path, lambda done, of: told.append(done)))
    assert told[0] >= 3 * kept >= 6


def test_sigterm_ends_it_cleanly(demo):
    run = new_evaluation(ask(demo))
    with start_slow(run) as process:
        process.terminate()
        said, complained = process.communicate(timeout=30)
    assert process.returncode == 0, complained
    assert "Go on with: python -m fracture_core evaluate --resume" in said
    assert run.stopped.is_file()
    assert not run.evaluation.exists()
    lines = run.read_metrics()
    assert lines[-1]["kind"] == "progress"
    assert 6 <= lines[-1]["done"] < lines[-1]["of"] == COUNT


def test_unreadable_images_are_listed(demo, tmp_path):
    broken = shutil.copytree(demo, tmp_path / "broken")
    victims = sorted(broken.glob("train/*.png"))[:2] or sorted(broken.rglob("*.png"))[:2]
    whole = victims[0].read_bytes()
    victims[0].write_bytes(whole[: len(whole) // 2])
    victims[1].write_bytes(b"no picture")
    run = new_evaluation(ask(broken))
    found = run_evaluation(run.path)
    assert len(found) == COUNT - 2
    unreadable = read_completed(run).unreadable
    assert len(unreadable) == 2
    assert all(each.sentence for each in unreadable)
    assert {each.sample_id for each in unreadable}.isdisjoint(found.sample_ids)
    assert list_evaluations()[0].unreadable == 2
    said = CliRunner().invoke(app, ["evaluate", "--resume", str(run.path)])
    assert said.exit_code == 1
    assert all(each.sentence in said.output for each in unreadable)


def test_a_limit_is_spread_evenly(demo):
    found = run_evaluation(new_evaluation(ask(demo, limit=4)).path)
    ids = open_dataset(demo).ids
    assert found.sample_ids == (ids[0], ids[6], ids[12], ids[18])


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_validation_has_several_names(demo, name):
    found = run_evaluation(new_evaluation(ask(demo, split=name)).path)
    assert found.about.split == "val"
    assert found.sample_ids == open_dataset(demo).splits["val"]


def test_an_unknown_split_names_those_there_are(demo):
    words = r"expected a split \(train, val, test, all\), found 'night'"
    with pytest.raises(ConfigError, match=words):
        check_evaluation(ask(demo, split="night"))
    said = CliRunner().invoke(
        app, ["evaluate", "--model", "fake", "--data", str(demo), "--split", "night"]
    )
    assert isinstance(said.exception, ConfigError)
    assert list_evaluations() == []


def test_other_classes_are_refused_unless_they_all_count_as_one(demo, monkeypatch):
    strange = FakeModel(CARD.model_copy(update={"classes": ("cat", "dog"), "family": "yolo"}))
    monkeypatch.setattr(running, "open_model", lambda _: strange)
    run = new_evaluation(ask(demo))
    words = r"a class of .* \(cat, dog\), found other classes \(.*oblique.*\).*--one-class"
    with pytest.raises(ConfigError, match=words):
        run_evaluation(run.path)
    # Its boxes around ground truths are of the ground truth's class, which it does not have.
    monkeypatch.setattr(FakeModel, "predict", predict_dogs)
    found = run_evaluation(new_evaluation(ask(demo, one_class=True)).path)
    assert found.about.classes == ("finding",)
    assert set(found.raw.labels) == set(found.ground_truths.labels) == {0}


def predict_dogs(self, samples):
    swift = FakeModel(CARD)
    said = [swift._predict_one(sample) for sample in samples]
    return [replace(each, detections=as_dogs(each.detections)) for each in said]


def as_dogs(found):
    return replace(found, labels=np.ones(len(found), dtype=np.int64))


def test_a_split_without_truth_is_refused_before_anything_is_predicted(demo, tmp_path, monkeypatch):
    from fracture_core.datasets.records import RecordedDataset

    honest = RecordedDataset.__getitem__

    def unknown(self, sample_id):
        return replace(honest(self, sample_id), ground_truth=None, image_class=None)

    monkeypatch.setattr(RecordedDataset, "__getitem__", unknown)
    monkeypatch.setattr(FakeModel, "predict", None)
    words = "expected a ground truth to compare with, found images that nothing is known of"
    with pytest.raises(ConfigError, match=words):
        check_evaluation(ask(demo))
    with pytest.raises(ConfigError, match=words):
        run_evaluation(new_evaluation(ask(demo)).path)


def test_a_data_set_that_changed_meanwhile_is_refused(demo, tmp_path, small_batches):
    data = shutil.copytree(demo, tmp_path / "data")
    run, told = new_evaluation(ask(data)), []
    run_evaluation(run.path, lambda *each: told.append(each), lambda: len(told) > 2)
    annotations = next(data.rglob("*.json"))
    record = json.loads(annotations.read_text())
    record["annotations"][0]["bbox"][2] -= 1
    annotations.write_text(json.dumps(record))
    with pytest.raises(ConfigError, match="found a changed data set"):
        run_evaluation(run.path)


def test_a_half_written_one_is_listed_with_a_sentence(demo, small_batches):
    run, told = new_evaluation(ask(demo), "half"), []
    run_evaluation(run.path, lambda *each: told.append(each), lambda: len(told) > 2)
    (listed,) = list_evaluations()
    assert (listed.name, listed.complete, listed.images) == ("half", False, 0)
    assert listed.about.model_id == "fake"
    words = "half: expected a complete evaluation, found one that has not ended"
    assert listed.problem.startswith(words)
    with pytest.raises(ConfigError, match=words):
        load_evaluation(run.path)


def test_the_list_is_of_everything_the_latest_first(demo):
    first = new_evaluation(ask(demo, split="val"))
    run_evaluation(first.path)
    second = new_evaluation(ask(demo, split="val"))
    os.utime(second.config, (time.time() + 5, time.time() + 5))
    (second.path.parent / "strange").mkdir()
    listed = list_evaluations()
    assert listed[0].name == second.name == "eval-fake-set-val-2"
    by_name = {each.name: each for each in listed}
    assert set(by_name) == {first.name, second.name, "strange"}
    assert by_name[first.name].complete
    assert by_name[first.name].images == len(open_dataset(demo).splits["val"])
    assert by_name[second.name].about is None
    assert "config.json" in by_name["strange"].problem
    assert by_name["strange"].config is None


def test_one_can_be_deleted(demo):
    run = new_evaluation(ask(demo, split="val"))
    run_evaluation(run.path)
    delete_evaluation(run.path)
    assert list_evaluations() == []
    other = run.path.with_name("other")
    other.mkdir()
    (other / "config.json").write_text("{}")
    with pytest.raises(ConfigError, match="expected an evaluation, found none"):
        delete_evaluation(other)
    assert other.is_dir()


def test_answers_that_do_not_belong_are_refused(demo):
    one = new_evaluation(ask(demo, split="val"))
    two = new_evaluation(ask(demo, split="test"))
    run_evaluation(one.path)
    run_evaluation(two.path)
    shutil.copy(two.path / PREDICTIONS, one.path / PREDICTIONS)
    with pytest.raises(ConfigError, match="Evaluate again"):
        load_evaluation(one.path)
