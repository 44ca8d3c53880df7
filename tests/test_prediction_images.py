"""`predict --draw`: images with what each model found, beside the ground truth."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from fracture_core.cli import app
from fracture_core.datasets.images import size_of
from fracture_core.demo import write_demo
from fracture_core.drawing.colours import PALETTES
from fracture_core.models import library
from fracture_core.prediction_images import Shown, panel_of
from fracture_core.predictions import Answer, Filter, find_items, predict_items


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_demo(tmp_path_factory.mktemp("demo") / "set", count=4, size=(160, 128))


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["predict", *map(str, arguments)])


def test_every_image_of_a_set_is_drawn_beside_the_file(demo: Path, tmp_path: Path) -> None:
    out, folder = tmp_path / "p.json", tmp_path / "drawn"
    done = run(demo, "--model", "fake", "--out", out, "--draw", folder)
    assert done.exit_code == 0, done.exception
    assert out.is_file()
    items, _ = find_items([demo])
    assert len(list(folder.rglob("*.png"))) == len(items)
    assert 640 <= max(size_of(next(folder.rglob("*.png")), "")) < 800


def test_models_stand_side_by_side_each_with_its_own_confidence(demo: Path, tmp_path: Path) -> None:
    library.add_named("scratch:tiny", model_id="tiny")
    done = run(demo, "--model", "fake", "--model", "tiny", "--draw", tmp_path / "two")
    assert done.exit_code == 0, done.exception
    alone = run(demo, "--model", "fake", "--draw", tmp_path / "one")
    assert alone.exit_code == 0
    two, one = (size_of(next((tmp_path / name).rglob("*.png")), "")[1] for name in ("two", "one"))
    assert two > 1.9 * one
    keep = Filter(confidence=0.9)
    shown = [Shown.of(library.open_model("fake").card, None, each) for each in (Filter(), keep)]
    assert [each.words for each in shown] == ["shown from 0.500, not measured", "shown from 0.900"]
    assert [each.keep.nms_iou for each in shown] == [0.5, 0.5]


def test_the_caption_counts_what_was_found_and_published_colours_show_the_best(
    demo: Path,
) -> None:
    model = library.open_model("fake")
    items, _ = find_items([demo])
    answers = [each for each in predict_items(model, items) if isinstance(each, Answer)]
    answer = next(each for each in answers if len(each.sample.ground_truth or ()))
    shown = Shown.of(model.card, None, Filter(confidence=0.0, nms_iou=1.0))
    sample, prediction = answer.sample, answer.prediction
    panel = panel_of(shown, sample, prediction, answer.item.classes, 640)
    assert f"{len(prediction.detections)} findings shown from 0.000" in panel.lines
    assert any("ground-truth box" in line for line in panel.lines)
    best = panel_of(shown, sample, prediction, answer.item.classes, 640, PALETTES["r1"])
    assert "1 finding shown from 0.000" in best.lines
    lime = (np.asarray(best.image) == (0, 255, 0)).all(axis=-1)
    assert lime.sum() > 20


def test_an_unreadable_image_is_told_and_the_others_drawn(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        Image.fromarray(np.zeros((64, 64), dtype=np.uint8)).save(folder / name)
    (folder / "c.png").write_bytes(b"no image")
    done = run(folder, "--model", "fake", "--draw", tmp_path / "drawn")
    assert done.exit_code == 1
    assert "c.png" in done.stderr
    assert sorted(path.name for path in (tmp_path / "drawn").iterdir()) == ["a.png", "b.png"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--model", "fake"), "expected --out, --draw or both"),
        (("--model", "fake", "--model", "fake", "--out", "a.json"), "the findings of one model"),
        (("--model", "fake", "--draw", "d", "--colours", "r9"), "one of viewer, r1, r3"),
    ],
)
def test_what_makes_no_sense_is_one_sentence(
    words: tuple[str, ...], sentence: str, demo: Path
) -> None:
    assert sentence in str(run(demo, *words).exception)
