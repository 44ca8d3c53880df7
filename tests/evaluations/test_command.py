"""`python -m fracture_core evaluate`: the report, its files, operating points from end to end."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fracture_core.cli import app
from fracture_core.demo import write_demo
from fracture_core.errors import ConfigError
from fracture_core.models.fake import CARD
from fracture_core.models.library import points_of
from fracture_core.operating_points import ANY_HIT_GRID


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> Path:
    return write_demo(tmp_path_factory.mktemp("demo") / "set", count=24, size=(160, 128))


def evaluate(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)])


def test_points_are_chosen_on_validation_and_applied_on_test(demo, tmp_path):
    asked = ("--model", "fake", "--data", demo)
    valid = evaluate(
        *asked, "--split", "valid", "--out", tmp_path / "valid", "--choose-points", "--limit", 99
    )
    assert valid.exit_code == 0, valid.output
    assert "Kept with the model's card: max F1, sensitivity ≥ 0.9" in valid.output
    chosen = points_of(CARD)
    assert (chosen.split, chosen.data) == ("val", "set")
    test = evaluate(*asked, "--split", "test", "--out", tmp_path / "test", "--apply-points")
    assert test.exit_code == 0, test.output
    assert "confidences chosen on set, split val" in test.output
    assert "measured sensitivity" in test.output
    assert "per lesion on set, split test." in test.output
    applied = points_of(CARD)
    assert {point.applied_to for point in applied.points if point.confidence is not None} == {
        "set, split test"
    }
    with pytest.raises(ConfigError, match="that they were not chosen on"):
        raise evaluate("--resume", tmp_path / "valid", "--apply-points").exception
    for name in ("report.json", "report.csv", "figures/precision-recall.png", "figures/froc.svg"):
        assert (tmp_path / "test" / name).stat().st_size > 500
    report = json.loads((tmp_path / "test" / "report.json").read_text())
    assert {metric["unit"] for metric in report["metrics"]} == {"lesion", "image", "study"}
    assert all(metric["rule"] for metric in report["metrics"])


def test_a_complete_one_is_reported_again_by_other_rules(demo, tmp_path):
    out = tmp_path / "out"
    assert evaluate("--model", "fake", "--data", demo, "--out", out).exit_code == 0
    stored = (out / "answers.npz").read_bytes()
    again = evaluate("--resume", out, "--match-iou", 0.9, "--critical", "oblique:missed")
    assert again.exit_code == 0, again.output
    assert "match IoU 0.9" in again.output
    assert "oblique read as missed" in again.output
    assert json.loads((out / "report.json").read_text())["match_iou"] == 0.9
    rules = ("--rule", "max any-hit F1", "--rule", "sensitivity >= 0.8")
    chosen = evaluate("--resume", out, "--choose-points", *rules)
    assert chosen.exit_code == 0, chosen.output
    points = points_of(CARD).points
    assert [point.rule for point in points] == ["max any-hit F1", "sensitivity ≥ 0.8"]
    assert points[0].confidence in ANY_HIT_GRID
    assert (out / "answers.npz").read_bytes() == stored


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "expected --model and --data, or --resume"),
        (("--model", "fake"), "expected --model and --data, or --resume"),
        (("--resume", "nowhere"), "expected an evaluation, found no such folder"),
        (("--resume", "nowhere", "--split", "test"), "expected --resume alone, found --split"),
        (("--model", "fake", "--data", "DEMO", "--match-iou", "1.5"), "match_iou: expected"),
        (("--model", "fake", "--data", "DEMO", "--out", "DEMO"), "new or empty"),
        (("--model", "nobody", "--data", "DEMO"), "nobody: expected a model of the library"),
        (("--rule", "max F1"), "--rule: expected --choose-points beside it"),
        (("--choose-points", "--rule", "best"), "rule: expected max F1, max any-hit F1, or"),
        (("--model", "fake", "--data", "nowhere"), "nowhere"),
    ],
)
def test_bad_input_is_one_sentence(demo, arguments, words):
    said = evaluate(*(demo if each == "DEMO" else each for each in arguments))
    assert isinstance(said.exception, Exception)
    assert words in str(said.exception)
    assert "\n" not in str(said.exception)


def test_points_that_there_are_none_of_cannot_be_applied(demo, tmp_path):
    said = evaluate("--model", "fake", "--data", demo, "--out", tmp_path / "o", "--apply-points")
    assert "Choose them on validation with --choose-points" in str(said.exception)
