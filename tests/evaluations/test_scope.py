"""An evaluation tells whether its model was made for the images."""

import json
import shutil
from pathlib import Path

import pytest

from fracture_core.demo import write_demo
from fracture_core.evaluations import EvaluateConfig, new_evaluation, report_of, run_evaluation
from fracture_core.evaluations.attributes import NOT_RECORDED, ScopeCounts, banner_of, count_scope
from fracture_core.evaluations.folders import STARTED
from fracture_core.evaluations.report_text import as_text, write_json
from fracture_core.scope import Scope

HANDS = Scope(modalities=("DX",), body_parts=("hand",), origins=("real",))
HAND = {"modality": "DX", "body part": "hand"}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_demo(tmp_path_factory.mktemp("demo") / "set", count=4, size=(160, 128))


def evaluated(data: Path):
    run = new_evaluation(EvaluateConfig(model="fake", data=str(data), split="all"))
    evaluation = run_evaluation(run.path)
    assert evaluation is not None
    return evaluation


def test_images_are_counted_by_how_they_stand_to_the_scope() -> None:
    chest = HAND | {"body part": "chest"}
    counts = count_scope(HANDS, [HAND, chest, chest, {}])
    assert (counts.inside, counts.outside, counts.unknown) == (1, 2, 1)
    assert counts.sentences[0] == "This model has never seen images like this: chest"
    assert banner_of(counts) == (
        "2 of 4 images lie outside what this model is for; of 1 of 4 images nothing tells whether "
        "they do. This model has never seen images like this: chest. Nothing tells what this image "
        "shows: neither kind of image nor body part is known."
    )


def test_nothing_is_said_where_all_lie_inside() -> None:
    assert banner_of(count_scope(HANDS, [HAND, HAND])) == ""


def test_an_older_evaluation_says_that_nothing_was_recorded() -> None:
    assert banner_of(None) == NOT_RECORDED


def test_a_model_without_a_scope_leaves_doubt_of_every_image() -> None:
    counts = count_scope(None, [HAND])
    assert counts.unknown == 1
    assert "is not stated" in banner_of(counts)


def test_an_evaluation_on_what_the_model_is_for_has_no_banner(demo: Path) -> None:
    report = report_of(evaluated(demo), intervals=False)
    assert report.about.scope == ScopeCounts(inside=4, outside=0, unknown=0)
    assert report.banner == ""
    assert "\n! " not in as_text(report)


def test_text_and_json_of_a_report_carry_the_banner(demo: Path, tmp_path: Path) -> None:
    strange = tmp_path / "mammograms"
    shutil.copytree(demo, strange)
    for path in (strange / "annotations").glob("*.json"):
        content = json.loads(path.read_text())
        for image in content["images"]:
            image["attributes"] = {"modality": "MG"}
        path.write_text(json.dumps(content))
    report = report_of(evaluated(strange), intervals=False)
    assert report.banner.startswith("4 of 4 images lie outside what this model is for.")
    assert "! 4 of 4 images lie outside" in as_text(report)
    assert all(len(line) <= 98 for line in as_text(report).splitlines())
    write_json(report, tmp_path / "report.json")
    written = json.loads((tmp_path / "report.json").read_text())
    assert written["banner"] == report.banner
    assert written["about"]["scope"]["outside"] == 4


def test_one_begun_before_scopes_were_recorded_goes_on(demo: Path) -> None:
    run = new_evaluation(EvaluateConfig(model="fake", data=str(demo), split="all"))
    assert run_evaluation(run.path, stop=lambda: True) is None
    started = run.path / STARTED
    older = json.loads(started.read_text())
    del older["scope"]
    started.write_text(json.dumps(older))
    evaluation = run_evaluation(run.path)
    assert evaluation is not None
    assert evaluation.about.scope is None
