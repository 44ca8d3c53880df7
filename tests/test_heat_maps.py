"""`explain`: heat maps of images, and sheets of an evaluation's cases."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from fracture_core import heat_maps
from fracture_core.cli import app
from fracture_core.datasets import open_dataset
from fracture_core.datasets.images import size_of
from fracture_core.demo import write_demo
from fracture_core.errors import ConfigError
from fracture_core.evaluations.error_ranking import case_errors
from fracture_core.heat_maps import case_row, model_of, sheet_cases
from fracture_core.matching import MatchConfig
from fracture_core.models.efficientnet_gate import EfficientNetGateModel
from tests.support.dial_evaluations import ABOUT, classifier, detector
from tests.support.stored_evaluations import store

pytestmark = pytest.mark.usefixtures("one_thread")
SCORES = [[0.1, 0.8, 0.1], [0.9, 0.1, 0.0], [0.2, 0.1, 0.7], [0.6, 0.3, 0.1], [0.8, 0.1, 0.1]]
TRUE = [1, 1, 2, 2, 0]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_demo(tmp_path_factory.mktemp("demo") / "set", count=6, size=(128, 128))


@pytest.fixture(scope="module")
def gated() -> EfficientNetGateModel:
    return EfficientNetGateModel.from_name("mobilenet_v2")


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["explain", *map(str, arguments)])


def test_critical_errors_come_first_and_then_random_cases() -> None:
    errors = case_errors(classifier(SCORES, TRUE), MatchConfig(), 0.5, critical=[("b", "healthy")])
    cases = sheet_cases(errors, [("b", "healthy")], most=5, count=2)
    assert [case.sample_id for case in cases[:1]] == ["s3"]
    assert cases[0].lines[:2] == (
        "Critical error: b taken for healthy",
        "b, called healthy 0.60",
    )
    assert [case.lines[0] for case in cases[1:]] == ["Random case", "Random case"]
    assert len({case.sample_id for case in cases}) == 3
    assert cases == sheet_cases(errors, [("b", "healthy")], most=5, count=2)
    others = [sheet_cases(errors, [], most=0, count=2, seed=seed) for seed in range(6)]
    assert len({tuple(case.sample_id for case in each) for each in others}) > 1
    costliest = sheet_cases(errors, [], most=5, count=0)
    assert [case.sample_id for case in costliest] == ["s3", "s1"]


def test_a_gated_classifier_has_three_panels(demo: Path, gated: EfficientNetGateModel) -> None:
    dataset = open_dataset(demo)
    sample = dataset[dataset.ids[0]]
    (prediction,) = gated.predict([sample])
    row = case_row(gated, sample, prediction, None, ("why",))
    assert [panel.lines[0].partition(":")[0] for panel in row] == [
        "why",
        "Grad-CAM",
        "Attention gate",
    ]
    assert row[1].lines[1].endswith("not checked")
    checked = case_row(gated, sample, prediction, None, ("why",), checks=True)
    assert not checked[1].lines[1].endswith("not checked")
    first, heat = (np.asarray(panel.image).astype(int) for panel in row[:2])
    assert first.shape == heat.shape
    assert (np.abs(first - heat) > 0).any()


def test_maps_of_images_are_written_one_file_each(demo: Path, tmp_path: Path) -> None:
    done = run("fake", demo, "--out", tmp_path / "maps", "--no-checks", "--findings", 2)
    assert done.exit_code == 0, done.exception
    files = sorted((tmp_path / "maps").rglob("*.png"))
    assert len(files) == len(open_dataset(demo))
    assert "not checked" in done.stdout
    heights = {size_of(file, "")[0] for file in files}
    assert max(heights) > 700  # an image with two findings has two rows


def test_a_sheet_of_a_stored_evaluation(
    demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gated: EfficientNetGateModel
) -> None:
    made = classifier(SCORES, TRUE, data=str(demo))
    folder = store(replace(made, sample_ids=tuple(open_dataset(demo).ids[:5])), "one")
    monkeypatch.setattr(heat_maps, "open_model", lambda name: gated)
    out = tmp_path / "sheets" / "sheet.png"
    done = run("--sheet", folder, "--out", out, "--count", 1, "--critical", "b:healthy")
    assert done.exit_code == 0, done.exception
    assert done.stdout.endswith("sheet.png: 2 cases\n")
    assert size_of(out, "")[1] > 3 * 480


def test_the_model_must_be_the_one_that_was_evaluated(monkeypatch: pytest.MonkeyPatch) -> None:
    about = ABOUT.model_copy(update={"model_id": "fake", "weights_sha256": "other"})
    with pytest.raises(ConfigError, match="other weights"):
        model_of(Path("a/b/c"), about)


def test_without_known_ground_truth_there_is_no_sheet(tmp_path: Path, demo: Path) -> None:
    unknown = detector(2, [], [], known=[False, False], model_id="fake", data=str(demo))
    folder = store(unknown, "one")
    done = run("--sheet", folder, "--out", tmp_path / "a.png")
    assert "ground truth is known" in str(done.exception)


@pytest.mark.parametrize("words", [("fake",), ("fake", "a.png"), ("--out", "a"), ()])
def test_what_is_missing_is_one_sentence(words: tuple[str, ...]) -> None:
    assert "--sheet EVALUATION" in str(run(*words).exception)
