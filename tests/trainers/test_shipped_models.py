"""The models that come with the package: how they are made, what keeps one from being shipped, and
what they reach.

Their synthetic images are of the seeds 101 (train), 202 and 303; `HELD_OUT_SEED` is none of these.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from fracture_core.demo import write_demo
from fracture_core.demo.samples import demo_sample
from fracture_core.errors import ConfigError, TrainingError
from fracture_core.metrics import classification, coco
from fracture_core.models import library
from fracture_core.models.base import Model
from fracture_core.models.cards import ModelCard, read_card
from fracture_core.models.library import SHIPPED
from fracture_core.scope import SYNTHETIC
from fracture_core.types import Detections, Sample
from tests.trainers.test_synthetic_data import HELD_OUT_SEED
from trainers import shipping
from trainers.recipes import find_recipe
from trainers.shipped_models import CONSENSUS, SHIPPED_MODELS, ShippedModel
from trainers.shipping import (
    Workshop,
    check_goal,
    evaluate_shipped,
    metrics_of,
    start_of,
    train_shipped_models,
)

HELD_OUT_IMAGES = 150
MOST_BYTES = 60_000_000
LEAST = {"detect": ("ap50", 0.8), "segment": ("mask_ap50", 0.7), "classify": ("balanced", 0.8)}
SYNTHETIC_ONLY = [n for n, model in SHIPPED_MODELS.items() if model.shipped and model.is_synthetic]
IDS = sorted(folder.name for folder in SHIPPED.iterdir()) if SHIPPED.is_dir() else []


TINY = ShippedModel(
    title="Tiny",
    recipe="r5-resnet",
    data="radiographs",
    settings={
        "classify": "findings",
        "network": {"name": "resnet18", "width": 4},
        "input_size": 32,
        "epochs": 1,
        "batch": 8,
        "monitor": "loss",
    },
)


@pytest.fixture
def shipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "SHIPPED", SHIPPED)


@cache
def held_out() -> tuple[Sample, ...]:
    return tuple(demo_sample(HELD_OUT_SEED, number) for number in range(HELD_OUT_IMAGES))


def metric(model: Model, samples: Sequence[Sample]) -> float:
    """What `LEAST` asks of a model of this task."""
    said = model.predict(samples)
    ground_truths = [sample.ground_truth or Detections.empty() for sample in samples]
    if model.card.task == "classify":
        fracture = model.card.classes.index("fracture")
        chosen = np.array([np.argmax(each.class_scores) == fracture for each in said])
        there = np.array([len(ground_truth) > 0 for ground_truth in ground_truths])
        found = classification.report(there.astype(np.int64), chosen.astype(np.int64), 2)
        return found.balanced_accuracy
    merged = [Detections.ground_truth(t.xyxy, np.zeros(len(t)), t.masks) for t in ground_truths]
    raw = [each.detections for each in said]
    kept = [each.nms(0.5) for each in raw] if model.card.needs_nms else raw
    if model.card.task == "segment":
        return coco.evaluate_masks(kept, merged, 1).ap50
    return coco.evaluate_boxes(kept, merged, 1).ap50


@pytest.mark.slow
@pytest.mark.parametrize("model_id", IDS)
def test_it_reaches_its_goal_on_images_it_has_never_seen(shipped: None, model_id: str) -> None:
    model = library.open_model(model_id)
    name, least = LEAST[model.card.task]
    reached = metric(model, held_out())
    assert reached >= least, f"{model_id}: {name} {reached:.3f} on seed {HELD_OUT_SEED}"


def workshop(folder: Path) -> Workshop:
    return Workshop(work=folder / "work", radiographs=folder / "real", pretrained=folder / "start")


def card(task: str) -> ModelCard:
    return ModelCard.model_validate(
        {
            "model_id": "made",
            "title": "Made",
            "family": "resnet" if task == "classify" else "yolo",
            "task": task,
            "classes": ("healthy", "fracture") if task == "classify" else ("fracture",),
            "input_size": 64,
            "needs_nms": task != "classify",
        }
    )


@pytest.mark.parametrize("name", SHIPPED_MODELS)
def test_each_model_of_the_table_has_settings_that_its_recipe_takes(name: str) -> None:
    model = SHIPPED_MODELS[name]
    config = find_recipe(model.recipe).config("data", {**model.settings, "start": "x"})
    # The gate alone learns too little for lower precision to save time.
    assert model.is_synthetic or config.frozen_stages or config.precision == "bfloat16"
    before = list(SHIPPED_MODELS)[: list(SHIPPED_MODELS).index(name)]
    assert model.begins_from in ("", *before)
    assert not (model.begins_from and model.pretrained)


def test_what_is_shipped_is_of_the_table() -> None:
    shipped = {name for name, model in SHIPPED_MODELS.items() if model.shipped}
    assert set(IDS) == {*shipped, CONSENSUS}


@pytest.mark.parametrize("model_id", SYNTHETIC_ONLY)
def test_a_model_of_synthetic_images_says_what_it_is_not_for(shipped: None, model_id: str) -> None:
    card = read_card(SHIPPED / model_id)
    assert card in library.list_cards()
    assert card.note == shipping.SYNTHETIC_NOTE
    assert card.title.startswith("Demo")


def test_all_shipped_models_together_are_small() -> None:
    files = (file for file in SHIPPED.rglob("*") if file.is_file())
    assert sum(file.stat().st_size for file in files) <= MOST_BYTES


def test_an_unknown_name_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="yolo-segment"):
        train_shipped_models(workshop(tmp_path), ("no-such",))
    assert not (tmp_path / "work").exists()


def test_a_model_begins_from_another_run_a_file_or_a_packaged_backbone(tmp_path: Path) -> None:
    place = workshop(tmp_path)
    (tmp_path / "start").mkdir()
    file = tmp_path / "start" / "yolo11n-seg-coco.safetensors"
    with pytest.raises(ConfigError, match=r"a folder with yolo11n-seg-coco\.safetensors"):
        start_of(SHIPPED_MODELS["crops-yolo-segment"], place)
    file.touch()
    assert start_of(SHIPPED_MODELS["crops-yolo-segment"], place) == str(file)
    assert start_of(SHIPPED_MODELS["yolo-segment"], place) == str(place.run("crops-yolo-segment"))
    assert start_of(SHIPPED_MODELS["resnet"], place) == "mobilenet_v2:IMAGENET1K"
    assert start_of(SHIPPED_MODELS["patches-resnet"], place) == ""


@pytest.mark.parametrize(
    ("task", "metric"),
    [("detect", "AP50"), ("segment", "AP50"), ("classify", "balanced accuracy")],
)
def test_a_model_that_misses_its_goal_on_synthetic_images_is_not_shipped(
    task: str, metric: str
) -> None:
    check_goal(card(task), {f"synthetic {metric}": 0.81})
    with pytest.raises(TrainingError, match=rf"{metric} of 0\.8 or more on synthetic images"):
        check_goal(card(task), {f"synthetic {metric}": 0.79, f"FracAtlas valid {metric}": 0.9})
    with pytest.raises(TrainingError, match=r"found 0\.000"):
        check_goal(card(task), {})


@pytest.mark.slow
@pytest.mark.parametrize("model_id", [name for name in IDS if name not in SYNTHETIC_ONLY])
def test_evaluate_reproduces_the_metrics_of_its_card(
    shipped: None, model_id: str, shared_data: Path, tmp_path: Path
) -> None:
    card = read_card(SHIPPED / model_id)
    evaluation = evaluate_shipped(card, shared_data / "fracatlas", "val", tmp_path)
    reached = metrics_of(shipping.REAL, evaluation, card.task)
    assert reached
    assert reached == pytest.approx({name: card.metrics[name] for name in reached}, abs=1e-3)


@pytest.mark.slow
def test_one_after_another_in_different_precisions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (shipping, library):
        monkeypatch.setattr(module, "SHIPPED", tmp_path / "weights")
    monkeypatch.setattr(shipping, "GOALS", {"classify": ("balanced accuracy", 0.0)})
    half = {**TINY.settings, "precision": "bfloat16"}
    first = replace(TINY, title="First", settings=half, shipped=False)
    settings = {**TINY.settings, "network": {}, "precision": "float32"}
    second = replace(TINY, title="Second", settings=settings, begins_from="a")
    monkeypatch.setattr(shipping, "SHIPPED_MODELS", {"a": first, "b": second})
    place = workshop(tmp_path)
    write_demo(place.data("radiographs"), count=20, size=(128, 128), format="yolo")
    write_demo(place.radiographs, count=20, seed=1, size=(128, 128), format="coco")
    (line,) = train_shipped_models(place, ("b",))
    card = library.open_model("b").card
    assert line.startswith("b  0.")
    assert (card.title, card.model_id) == ("Second", "b")
    # The width is that of what it began from; what is shipped is in half precision.
    assert card.architecture["width"] == 4
    whole = read_card(place.run("b"))
    size = (place.run("b") / whole.weights_file).stat().st_size
    assert library.weights_bytes(card) < 0.6 * size
    measured = library.points_of(card)
    assert measured is not None
    assert (measured.split, measured.data) == ("val", "FracAtlas")
    assert {"FracAtlas valid ROC AUC", "synthetic balanced accuracy"} <= set(card.metrics)


@pytest.mark.slow
def test_one_of_synthetic_images_alone_says_so_and_is_tested_on_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (shipping, library):
        monkeypatch.setattr(module, "SHIPPED", tmp_path / "weights")
    monkeypatch.setattr(shipping, "GOALS", {"classify": ("balanced accuracy", 0.0)})
    demo = replace(TINY, title="Demo", data="synthetic")
    monkeypatch.setattr(shipping, "SHIPPED_MODELS", {"demo": demo})
    place = workshop(tmp_path)
    write_demo(place.data("synthetic"), count=20, size=(128, 128), format="yolo")
    train_shipped_models(place, ("demo",))
    card = library.open_model("demo").card
    assert (card.note, card.scope) == (shipping.SYNTHETIC_NOTE, SYNTHETIC)
    assert not any(name.startswith(shipping.REAL) for name in card.metrics)
    measured = library.points_of(card)
    assert measured is not None
    assert (measured.split, measured.data) == ("val", "synthetic radiographs")
    met = [point for point in measured.points if point.confidence is not None]
    assert {point.applied_to for point in met} == {"synthetic radiographs, split test"}


@pytest.mark.slow
def test_a_model_that_misses_its_goal_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (shipping, library):
        monkeypatch.setattr(module, "SHIPPED", tmp_path / "weights")
    monkeypatch.setattr(shipping, "GOALS", {"classify": ("balanced accuracy", 1.1)})
    monkeypatch.setattr(shipping, "SHIPPED_MODELS", {"weak": TINY})
    place = workshop(tmp_path)
    write_demo(place.data("radiographs"), count=20, size=(128, 128), format="yolo")
    write_demo(place.radiographs, count=20, seed=1, size=(128, 128), format="coco")
    with pytest.raises(TrainingError, match=r"balanced accuracy of 1\.1 or more"):
        train_shipped_models(place, ("weak",))
    assert not list((tmp_path / "weights").glob("*"))
