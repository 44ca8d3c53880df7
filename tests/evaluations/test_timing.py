"""The time of an image by stage: measured, stored, joined with what was stored before, and told."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fracture_core.errors import ConfigError
from fracture_core.evaluations import array_files, load_evaluation, report_of
from fracture_core.evaluations.report_text import as_text, write_csv
from fracture_core.evaluations.storing import (
    Predictions,
    read_predictions,
    write_predictions,
)
from fracture_core.evaluations.timing import TIME, timing
from fracture_core.types import Detections, Prediction, StageSeconds
from tests.support.dial_evaluations import detector
from tests.support.stored_evaluations import store

SIZES = np.full((4, 2), 20, dtype=np.int64)
STAGES = StageSeconds(preprocess=0.25, inference=1.0, postprocess=0.5)


def answered(place: int, stages: StageSeconds | None) -> Predictions:
    one = Prediction(
        model_id="m",
        sample_id=f"s{place}",
        detections=Detections.empty(),
        image_score=0,
        seconds=stages.total if stages else 2.0,
        stages=stages,
    )
    return Predictions.of([place], [one])


def without_stages(path: Path) -> None:
    """As it was written before stages were kept."""
    with np.load(path) as held:
        arrays = {name: held[name] for name in held.files if name != "stage_seconds"}
    array_files.write_arrays(path, arrays)


def test_stages_come_back_as_they_were(tmp_path) -> None:
    path = tmp_path / "answers.npz"
    write_predictions(Predictions.joined([answered(0, STAGES), answered(1, None)]), path)
    found = read_predictions(path, SIZES).stage_seconds
    np.testing.assert_array_equal(found, np.array([[0.25, 1.0, 0.5], [np.nan] * 3]))


def test_what_was_stored_before_opens_and_is_joined(tmp_path) -> None:
    path = tmp_path / "old.npz"
    write_predictions(answered(0, STAGES), path)
    without_stages(path)
    old = read_predictions(path, SIZES)
    assert old.stage_seconds is None
    assert old.seconds.tolist() == [1.75]
    joined = Predictions.joined([old, answered(1, STAGES)]).stage_seconds
    assert np.isnan(joined[0]).all()
    assert joined[1].tolist() == [0.25, 1.0, 0.5]


@pytest.mark.parametrize("wrong", [-1.0, np.inf])
def test_times_that_make_no_sense_are_refused(tmp_path, wrong: float) -> None:
    path = tmp_path / "answers.npz"
    predictions = answered(0, STAGES)
    write_predictions(replace(predictions, stage_seconds=predictions.stage_seconds * wrong), path)
    with pytest.raises(ConfigError, match="seconds of 3 stages of 1 images"):
        read_predictions(path, SIZES)


def timed(stages: list[list[float]]):
    made = detector(3, [(0, 0, 0.9, 0)], [(0, 0, 0)])
    seconds = np.array([0.010, 0.020, 0.060], dtype=np.float32)
    return replace(made, seconds=seconds, stage_seconds=np.array(stages, dtype=np.float32))


def test_means_add_up_and_what_is_not_known_is_left_out() -> None:
    evaluation = timed([[0.001, 0.008, 0.001], [0.003, 0.014, 0.003], [np.nan] * 3])
    found = timing(evaluation)
    assert found.total_ms == pytest.approx(30)
    assert found.stages_ms == pytest.approx((2, 11, 2))
    assert timing(evaluation, np.median).total_ms == pytest.approx(20)
    assert found.text == "30 ms an image: pre-process 2, inference 11, post-process 2"
    alone = replace(evaluation, stage_seconds=None)
    assert (timing(alone).stages_ms, timing(alone).text) == ((), "30 ms an image")


def test_the_report_tells_it_in_text_and_csv(tmp_path) -> None:
    report = report_of(timed([[0.002, 0.011, 0.002]] * 3), intervals=False)
    assert "30 ms an image: pre-process 2, inference 11, post-process 2" in as_text(report)
    assert report.metric(TIME, "inference", "image").value == pytest.approx(11)
    write_csv(report, tmp_path / "report.csv")
    rows = csv.DictReader((tmp_path / "report.csv").read_text().splitlines())
    told = [row["name"] for row in rows if row["section"] == TIME]
    assert told == ["in all", "pre-process", "inference", "post-process"]


def test_an_evaluation_from_before_opens_with_the_total_alone(home) -> None:
    folder = store(timed([[0.002, 0.011, 0.002]] * 3), "old")
    without_stages(folder / "answers.npz")
    evaluation = load_evaluation(folder)
    assert evaluation.stage_seconds is None
    assert [each.name for each in report_of(evaluation).of_section(TIME)] == ["in all"]
