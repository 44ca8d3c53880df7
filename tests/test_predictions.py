"""The predict command: a model over files and data sets, as COCO results."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faster_coco_eval import COCO
from PIL import Image
from typer.testing import CliRunner

from fracture_core import masks
from fracture_core.cli import app
from fracture_core.demo.case import demo_case
from fracture_core.errors import ConfigError
from fracture_core.models import library
from fracture_core.predictions import (
    Answer,
    Filter,
    Item,
    find_items,
    predict_items,
    write_predictions,
)
from tests.support.measurements import measured
from tests.support.yolo_files import image, save_checkpoint, yolo_network


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i, size in enumerate([(90, 120), (120, 90), (64, 64)]):
        Image.fromarray(image(*size, seed=i)).save(folder / f"{i}.png")
    return folder


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["predict", *map(str, arguments)])


def test_raw_findings_of_a_folder(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "predictions.json"
    assert run(images, "--model", "fake", "--out", out).exit_code == 0
    written = json.loads(out.read_text())
    assert [image["file_name"] for image in written["images"]] == [
        str(images / f"{i}.png") for i in range(3)
    ]
    assert (written["images"][0]["height"], written["images"][0]["width"]) == (90, 120)
    model = library.open_model("fake")
    items, _ = find_items([images])
    predictions = [a for a in predict_items(model, items) if isinstance(a, Answer)]
    raw = predictions[1].prediction.detections
    results = [a for a in written["annotations"] if a["image_id"] == 2]
    assert len(results) == len(raw)
    np.testing.assert_array_equal([r["score"] for r in results], raw.scores.astype(float))
    x, y, width, height = results[0]["bbox"]
    np.testing.assert_allclose([x, y, x + width, y + height], raw.xyxy[0], atol=1e-4)
    assert results[0]["segmentation"] == raw.masks[0].as_coco()
    assert written["categories"][0] == {"id": 0, "name": model.card.classes[0]}
    assert written["info"]["confidence"] is None


def test_coco_reads_it_as_results_and_by_itself(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "p.json"
    run(images, "--model", "fake", "--out", out)
    alone = COCO(str(out))
    assert len(alone.getImgIds()) == 3
    written = json.loads(out.read_text())
    ground_truth = tmp_path / "truth.json"
    ground_truth.write_text(json.dumps({**written, "annotations": []}))
    loaded = COCO(str(ground_truth)).loadRes(written["annotations"])
    assert len(loaded.getAnnIds()) == len(written["annotations"])
    first = loaded.loadAnns(1)[0]
    assert masks.decode(
        masks.Rle(height=90, width=120, counts=first["segmentation"]["counts"].encode())
    ).any()


def test_the_filter_is_the_one_filter(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "p.json"
    assert run(images, "--model", "fake", "--out", out, "--confidence", 0.2, "--nms", 0.3)
    written = json.loads(out.read_text())
    items, _ = find_items([images])
    predictions = [
        a for a in predict_items(library.open_model("fake"), items) if isinstance(a, Answer)
    ]
    shown = sum(len(a.prediction.detections.above(0.2).nms(0.3)) for a in predictions)
    assert len(written["annotations"]) == shown
    assert written["info"]["nms_iou"] == 0.3


def test_what_cannot_be_read_is_named_and_the_others_done(images: Path, tmp_path: Path) -> None:
    (images / "1.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    out = tmp_path / "p.json"
    done = run(images, tmp_path / "absent.png", "--model", "fake", "--out", out)
    assert done.exit_code == 1
    assert "1.png: expected" in done.stderr
    assert "absent.png: expected" in done.stderr
    assert len(json.loads(out.read_text())["images"]) == 2


def test_nothing_readable_leaves_no_file(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("no image")
    out = tmp_path / "p.json"
    assert run(tmp_path / "a.png", "--model", "fake", "--out", out).exit_code == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png"]


def test_an_error_on_the_way_keeps_the_old_file(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "p.json"
    out.write_text("the old one")

    class Broken:
        card = library.list_cards()[0]

        def predict(self, samples: Any) -> Any:
            raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError):
        write_predictions(Broken(), find_items([images])[0], out, keep=Filter())
    assert out.read_text() == "the old one"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.json", "pictures"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--model", "nothing"], "nothing: expected a model of the library"),
        (["--model", "fake", "--confidence", "1.5"], "confidence: expected a number from 0 to 1"),
        (["--model", "fake", "--nms", "nan"], "nms: expected a number from 0 to 1"),
    ],
)
def test_wrong_options(arguments: list[str], sentence: str, images: Path, tmp_path: Path) -> None:
    done = run(images, "--out", tmp_path / "p.json", *arguments)
    assert isinstance(done.exception, ConfigError)
    assert sentence in str(done.exception)


def test_a_place_that_cannot_be_written(images: Path, tmp_path: Path) -> None:
    for out in (tmp_path, tmp_path / "absent" / "p.json"):
        done = run(images, "--model", "fake", "--out", out)
        assert isinstance(done.exception, ConfigError)


def test_a_data_set_with_a_image_missing(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    for part in ("images", "labels"):
        (folder / "train" / part).mkdir(parents=True)
    (folder / "data.yaml").write_text("names: [wrist, elbow]\ntrain: train/images\n")
    for i in range(11):
        Image.fromarray(image(60, 80, seed=i)).save(folder / f"train/images/{i}.png")
        (folder / f"train/labels/{i}.txt").write_text("1 0.5 0.5 0.25 0.25\n")
    items, errors = find_items([folder])
    assert (len(items), errors) == (11, [])
    (folder / "train/images/4.png").write_bytes(b"gone bad")
    seen: list[int] = []
    out = tmp_path / "p.json"
    bad = write_predictions(
        library.open_model("fake"), items, out, keep=Filter(), progress=seen.append
    )
    assert len(bad) == 1
    assert "4.png" in str(bad[0])
    assert seen == list(range(1, 12))
    written = json.loads(out.read_text())
    assert len(written["images"]) == 10
    # The fake model knows the ground truth of a data set, and centres on it.
    best = [a for a in written["annotations"] if a["category_id"] == 1 and a["score"] > 0.5]
    assert best


def test_a_yolo_file_by_its_path(images: Path, tmp_path: Path) -> None:
    file = save_checkpoint(yolo_network("yolo11n-seg.yaml"), tmp_path / "best.pt")
    out = tmp_path / "p.json"
    assert run(images, "--model", file, "--out", out).exit_code == 0
    written = json.loads(out.read_text())
    assert [c["name"] for c in written["categories"]] == ["wrist", "elbow", "shoulder"]
    assert written["info"]["weights_sha256"]
    assert all("segmentation" in a for a in written["annotations"])


def test_real_images(shared_data: Path, tmp_path: Path) -> None:
    files = sorted((shared_data / "dicom").glob("*.dcm"))[:6]
    out = tmp_path / "p.json"
    done = run(*files, "--model", "fake", "--out", out)
    assert done.exit_code in (0, 1)
    sentences = [line for line in done.stderr.splitlines() if ": expected" in line]
    written = json.loads(out.read_text())
    named = {Path(image["file_name"]).name for image in written["images"]}
    assert len(named) + len(sentences) == len(files)


def test_each_image_in_scope_is_answered_by_the_points(tmp_path: Path) -> None:
    model = library.open_model("fake")
    inside = {"modality": "DX", "body part": "wrist", "origin": "synthetic"}

    def item(name: str, attributes: dict[str, str]) -> Item:
        sample = replace(demo_case(), sample_id=name, attributes=attributes)
        return Item(name=name, read=lambda: (sample,))

    items = [item("wrist", inside), item("breast", {**inside, "modality": "MG"}), item("told", {})]
    known = measured()
    best = float(model.predict([demo_case()])[0].detections.scores[0])
    assert best >= 0.7
    for confidence, expected in ((None, "finding"), (1.0, "none")):
        out = tmp_path / "p.json"
        write_predictions(model, items, out, keep=Filter(confidence=confidence), measured=known)
        written = json.loads(out.read_text())
        assert [image["answer"] for image in written["images"]] == [expected, "unknown", "unknown"]
        points = {name: written["info"][name] for name in ("sensitive_point", "specific_point")}
        assert points == {"sensitive_point": 0.1, "specific_point": 0.7}
    write_predictions(model, items[:1], out, keep=Filter())
    assert json.loads(out.read_text())["images"][0]["answer"] == "unknown"
