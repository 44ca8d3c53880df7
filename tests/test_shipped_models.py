"""How the models that come with the package are made, and what keeps one from being shipped."""

from pathlib import Path

import pytest

from fracture_core.errors import ConfigError, TrainingError
from fracture_core.models.cards import ModelCard
from trainers.recipes import find_recipe
from trainers.shipped_models import SHIPPED_MODELS
from trainers.shipping import Workshop, check_goal, start_of, train_shipped_models


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
    assert config.precision == "bfloat16"
    assert model.begins_from in ("", *SHIPPED_MODELS)
    assert bool(model.begins_from) != bool(model.pretrained)


def test_an_unknown_name_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="yolo-segment"):
        train_shipped_models(workshop(tmp_path), ("no-such",))
    assert not (tmp_path / "work").exists()


def test_a_model_begins_from_another_run_a_file_or_a_packaged_backbone(tmp_path: Path) -> None:
    place = workshop(tmp_path)
    (tmp_path / "start").mkdir()
    file = tmp_path / "start" / "yolo26n-coco.safetensors"
    with pytest.raises(ConfigError, match=r"a folder with yolo26n-coco\.safetensors"):
        start_of(SHIPPED_MODELS["yolo-detect"], place)
    file.touch()
    assert start_of(SHIPPED_MODELS["yolo-detect"], place) == str(file)
    assert start_of(SHIPPED_MODELS["yolo-segment"], place) == str(place.run("crops-yolo-segment"))
    assert start_of(SHIPPED_MODELS["efficientnet-gate"], place) == "efficientnet_lite0:IMAGENET1K"


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
