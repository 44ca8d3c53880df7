import json

import pytest

from fracture_core.errors import ConfigError
from trainers.config import Augment, Phase, TrainConfig, make_config, read_config, write_config
from trainers.recipes import RECIPES, find_recipe


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_makes_a_config(name, tmp_path):
    config = RECIPES[name].config("data", {})
    assert config.recipe == name
    write_config(config, tmp_path / "config.json")
    assert read_config(tmp_path / "config.json") == config


def test_every_setting_is_documented():
    for kind in (Augment, Phase, TrainConfig):
        bare = [name for name, field in kind.model_fields.items() if not field.description]
        assert bare == []


def test_published_settings_of_r2():
    config = find_recipe("r2-faster-rcnn").config("data", {})
    first, second = config.phases
    assert (config.batch, first.epochs, first.lr, first.schedule) == (8, 10, 1e-4, "step")
    assert (first.schedule_every, first.schedule_factor, config.seed) == (3, 0.1, 42)
    assert (second.epochs, second.lr, second.frozen_stages, second.patience) == (5, 3e-5, 5, 3)
    assert (second.schedule, second.schedule_factor, second.min_delta) == ("plateau", 0.3, 1e-4)


def test_a_dotted_change_leaves_the_others_of_its_group():
    config = find_recipe("r1-detr").config("data", {"augment.flip": 0.5, "epochs": 2})
    assert (config.augment.flip, config.augment.brightness, config.epochs) == (0.5, 0.3, 2)
    assert find_recipe("r1-detr").config("data", {}).augment.flip == 0.0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"epoch": 3}, "epoch: expected a setting of a training, found none of that name"),
        ({"augment.flop": 1}, r"augment.flop: .*There are: flip, flip_vertical"),
        ({"epochs": 0}, "epochs: .* greater than or equal to 1"),
        ({"monitor": "auc"}, "monitor: expected one of loss, ap"),
        ({"epochs.now": 1}, "epochs.now: expected a group of settings"),
        ({"augment.scale": [2, 1]}, "scale: expected two numbers"),
    ],
)
def test_a_wrong_setting_is_named(change, words):
    with pytest.raises(ConfigError, match=words):
        find_recipe("r1-detr").config("data", change)


def test_an_unknown_recipe_lists_the_known_ones():
    with pytest.raises(ConfigError, match="recipe: expected one of r1-detr, r2-faster-rcnn"):
        find_recipe("r9")


@pytest.mark.parametrize("text", ["", "{", '{"family": "resnet"}', '{"family": 1, "data": ""}'])
def test_a_config_edited_into_nonsense_is_one_sentence(text, tmp_path):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ConfigError, match="expected"):
        read_config(tmp_path / "config.json")


def test_an_unknown_key_in_the_file_is_refused(tmp_path):
    known = json.loads(TrainConfig(family="resnet", data="x").model_dump_json())
    (tmp_path / "config.json").write_text(json.dumps({**known, "learning_rate": 1}))
    with pytest.raises(ConfigError, match="learning_rate: expected a setting of a training"):
        read_config(tmp_path / "config.json")


def test_make_config_names_its_source():
    with pytest.raises(ConfigError, match="batch: expected a valid setting in here"):
        make_config({"family": "resnet", "data": "x", "batch": "many"}, "here")
