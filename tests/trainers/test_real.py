"""Recipes on real images, shrunk to what a CPU does in seconds: they run, whatever they learn."""

import json
import shutil
from pathlib import Path

from fracture_core.conversion import Options, convert
from fracture_core.models.cards import ModelCard
from trainers.running import make_run, train_run

SMALL = {"device": "cpu", "start": "", "epochs": 1, "limit": 48}
SMALL_DETR = {
    "input_size": 96,
    "network.backbone": "resnet18",
    "network.backbone_width": 16,
    "network.width": 32,
    "network.feedforward_width": 64,
}


def train(recipe: str, data: Path, run: Path, **changes: object) -> ModelCard:
    card = train_run(make_run(run, recipe, str(data), {**SMALL, **changes}))
    assert card is not None
    return card


def test_r3_detr_from_scratch_runs_an_epoch_on_fracture7_as_coco(shared_data, tmp_path):
    data = shared_data / "fracture7"
    card = train("r3-detr-scratch", data, tmp_path / "r3", **SMALL_DETR)
    assert len(card.classes) >= 7
    assert 0 <= card.metrics["val ap50"] <= 1


def test_r4_runs_an_epoch_on_fracture10_with_its_class_multipliers(shared_data, tmp_path):
    small = {"network.name": "efficientnet_b0", "input_size": 64, "batch": 16}
    card = train("r4-efficientnet-gate", shared_data / "fracture10", tmp_path / "r4", **small)
    assert "Transverse Displaced" in card.classes
    assert 0 <= card.metrics["val accuracy"] <= 1


def test_r1_runs_an_epoch_on_an_hdf5_file_made_from_fracatlas(shared_data, tmp_path):
    source = small_fracatlas(shared_data / "fracatlas", tmp_path / "source")
    options = Options(
        to="hdf5", size_px=96, drop=frozenset({"masks"}), shares=(0.7, 0.15, 0.15), seed=0
    )
    convert(source, tmp_path / "slices.h5", options)
    small = {"network.name": "detr:tiny", "input_size": 96, "batch": 16, "precision": "float32"}
    card = train("r1-detr", tmp_path / "slices.h5", tmp_path / "r1", **small)
    assert card.family == "hf_detr"
    assert 0 <= card.metrics["test ap50"] <= 1


def small_fracatlas(folder: Path, to: Path) -> Path:
    """Every third image of the valid split, by itself."""
    content = json.loads((folder / "annotations" / "valid.json").read_text())
    images = content["images"][::3]
    kept = {image["id"] for image in images}
    (to / "annotations").mkdir(parents=True)
    (to / "images").mkdir()
    for image in images:
        name = Path(image["file_name"]).name
        shutil.copy(folder / "images" / name, to / "images" / name)
    of_them = [each for each in content["annotations"] if each["image_id"] in kept]
    text = json.dumps({**content, "images": images, "annotations": of_them})
    (to / "annotations" / "valid.json").write_text(text)
    return to
