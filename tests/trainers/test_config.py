import dataclasses
import json
from pathlib import Path
from typing import get_args

import pytest

from fracture_core.errors import ConfigError
from fracture_core.models import retinanet_networks
from fracture_core.models.efficientnet_gate import EfficientNetGateArchitecture
from fracture_core.models.faster_rcnn_networks import INPUT_SIZES, LightShape
from fracture_core.models.packaged import known_weights
from fracture_core.models.retinanet_networks import RetinaNetShape
from fracture_core.nets.detr import DetrArchitecture
from fracture_core.nets.efficientnet_gate import GATED
from fracture_core.nets.mobile import MOBILES
from fracture_core.nets.pretrained import STANDARDS
from fracture_core.nets.resnet import RESNETS
from trainers import networks
from trainers.config import Phase, Settings
from trainers.family_configs import (
    CONFIGS,
    ResNetConfig,
    make_config,
    read_config,
    trained_families,
    write_config,
)
from trainers.networks import (
    EfficientNetGateNetwork,
    EfficientNetName,
    FasterRcnnName,
    FasterRcnnNetwork,
    Mobile,
    Network,
    ResNetName,
    RetinaNetName,
    RetinaNetNetwork,
    ScratchDetrNetwork,
)
from trainers.recipes import RECIPES, find_recipe
from trainers.starts import may_begin, published_starts

OLD_RUNS = Path(__file__).parents[1] / "old_runs"
FLAT = OLD_RUNS / "configs"


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_makes_a_config(name, tmp_path):
    config = RECIPES[name].config("data", {})
    assert config.recipe == name
    write_config(config, tmp_path / "config.json")
    assert read_config(tmp_path / "config.json") == config


def groups_of(kind):
    """A model and the groups of settings in it."""
    yield kind
    for field in kind.model_fields.values():
        for each in (field.annotation, *get_args(field.annotation)):
            if isinstance(each, type) and issubclass(each, Settings | Network):
                yield from groups_of(each)


@pytest.mark.parametrize("family", CONFIGS)
def test_every_setting_is_documented(family):
    for kind in groups_of(CONFIGS[family]):
        bare = [name for name, field in kind.model_fields.items() if not field.description]
        assert bare == []


def test_every_family_that_can_be_trained_has_a_config():
    assert set(CONFIGS) == {*trained_families(), "yolo"}
    assert all(kind.model_fields["family"].default == name for name, kind in CONFIGS.items())


@pytest.mark.parametrize("name", sorted(file.stem for file in FLAT.glob("*.json")))
def test_a_flat_file_of_before_is_read_as_it_stands(name):
    """Whatever the recipe has become since, and without what there was not then."""
    file, config = FLAT / f"{name}.json", read_config(FLAT / f"{name}.json")
    read = config.model_dump(mode="json")
    sections = read.pop("classification", {}) | read.pop("set_loss", {})
    found = {**sections, **read}
    told = {name: value for name, value in json.loads(file.read_text()).items() if name in found}
    assert len(told) > 45
    for setting, value in told.items():
        now = found[setting]
        group = isinstance(value, dict) and isinstance(now, dict)
        assert value.items() <= now.items() if group else value == now, setting
    if config.family == "efficientnet_gate":
        assert not config.classification.focal_weighted
    assert config.warmup(10) == file_steps(file)
    assert config.augment.least_left == 0.25
    assert not config.rules


def file_steps(file):
    return json.loads(file.read_text())["warmup_steps"]


@pytest.mark.parametrize("name", ["detector", "gate"])
def test_the_config_of_an_old_run_can_be_read_and_written(name, tmp_path):
    config = read_config(OLD_RUNS / name / "config.json")
    write_config(config, tmp_path / "config.json")
    assert read_config(tmp_path / "config.json") == config


def test_flat_settings_move_into_their_sections(tmp_path):
    flat = json.loads((FLAT / "r4-efficientnet-gate-as-published.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**flat, "focal_gamma": 1.5}))
    section = read_config(tmp_path / "config.json").classification
    assert (section.focal_of, section.focal_gamma, section.focal_share) == ("batch", 1.5, 0.6)
    assert section.class_multipliers["Comminuted"] == 3.0


def test_flat_settings_of_other_families_are_left_out_of_a_file(tmp_path):
    flat = json.loads((FLAT / "r3-detr-scratch.json").read_text())
    changed = {**flat, "nms_iou": 0.3, "focal_share": 0.5, "no_object_weight": 0.2}
    (tmp_path / "config.json").write_text(json.dumps(changed))
    config = read_config(tmp_path / "config.json")
    assert config.set_loss.no_object_weight == 0.2
    assert config.merged_at == 0.5
    assert not {"classification", "nms_iou"} & set(config.model_dump())


@pytest.mark.parametrize("name", ["no_object_weight", "set_loss.no_object_weight"])
def test_a_change_takes_the_flat_name_and_the_dotted_one(name):
    config = find_recipe("r3-detr-scratch").config("data", {name: 0.3})
    assert (config.set_loss.no_object_weight, config.set_loss.l1_weight) == (0.3, 5.0)


def test_a_change_of_one_multiplier_leaves_the_others():
    for name in ("class_multipliers.Healthy", "classification.class_multipliers.Healthy"):
        config = find_recipe("r4-efficientnet-gate").config("data", {name: 0.1})
        multipliers = config.classification.class_multipliers
        assert (multipliers["Healthy"], multipliers["Comminuted"]) == (0.1, 3.0)
    untouched = find_recipe("r4-efficientnet-gate").config("data", {})
    assert untouched.classification.class_multipliers["Healthy"] == 0.7


@pytest.mark.parametrize(
    ("recipe", "change", "words"),
    [
        ("r5-yolo-detect", "no_object_weight", "^no_object_weight: .* family yolo, .*nms_iou"),
        ("r3-detr-scratch", "nms_iou", "nms_iou: .* family scratch_detr.*There are: .*set_loss"),
        ("r5-resnet", "set_loss.l1_weight", "set_loss: .* family resnet.*classification"),
        ("r5-resnet", "network.query_count", "network.query_count: .*There are: name, width"),
        ("r5-yolo-detect", "network.mosaics", "network.mosaics: .*There are: name.* mosaic,"),
        ("r5-resnet", "classification.focal", "classification.focal: .*There are: classify,"),
    ],
)
def test_a_setting_of_another_family_is_refused_by_name(recipe, change, words):
    with pytest.raises(ConfigError, match=words):
        find_recipe(recipe).config("data", {change: 0.5})


@pytest.mark.parametrize(
    ("recipe", "changes", "name"),
    [
        ("r5-resnet", {"network.name": "resnet7"}, "network.name"),
        ("r3-detr-scratch", {"network.dropout": 1.0}, "network.dropout"),
        ("r2-faster-rcnn", {"network.levels": 5}, "network.levels"),
        ("r5-yolo-detect", {"network.mosaic": 1.1}, "network.mosaic"),
        ("r1-detr", {"network.num_queries": 0}, "network.num_queries"),
        ("r1-detr", {"network.init_std": [1]}, "network.init_std"),
        ("r5-resnet", {"family": "fake"}, "family: expected a family that can be trained"),
    ],
)
def test_a_network_that_cannot_be_is_refused(recipe, changes, name):
    with pytest.raises(ConfigError, match=name):
        find_recipe(recipe).config("data", changes)


@pytest.mark.parametrize("network", [*RESNETS, *GATED])
def test_published_starts_are_weights_that_there_are(network):
    family = "resnet" if network in RESNETS else "efficientnet_gate"
    names = [name.rpartition(":")[2] for name in published_starts(family, network)]
    assert set(names) == set(known_weights(network)) - {"DEFAULT"}


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_start_of_a_recipe_fits_its_network(recipe):
    config = find_recipe(recipe).config("", {})
    name = "backbone" if config.family == "scratch_detr" else "name"
    network = getattr(config.network, name) or config.start
    assert may_begin(config.family, network, config.start)
    assert may_begin(config.family, network, "runs/mine")
    assert not may_begin("resnet", "resnet18", "IMAGENET1K_V2")


def test_names_and_usual_values_are_those_of_the_networks():
    assert get_args(ResNetName) == tuple(RESNETS)
    assert get_args(networks.Standard) == tuple(STANDARDS)
    assert set(get_args(Mobile)) == set(MOBILES)
    assert {*get_args(EfficientNetName), *MOBILES} == set(GATED)
    assert set(get_args(FasterRcnnName)) == set(INPUT_SIZES)
    assert set(get_args(RetinaNetName)) == set(retinanet_networks.INPUT_SIZES)
    detr, light = DetrArchitecture(class_count=1), LightShape()
    retinanet = RetinaNetShape()
    gate = EfficientNetGateArchitecture(name="efficientnet_b4", healthy="")
    for kind, built in (
        (ScratchDetrNetwork, detr),
        (FasterRcnnNetwork, light),
        (RetinaNetNetwork, retinanet),
        (EfficientNetGateNetwork, gate),
    ):
        for name in kind.model_fields:
            usual = kind.usual(name)
            if usual is not None and hasattr(built, name):
                assert usual == getattr(built, name), name
    for kind, shape in ((FasterRcnnNetwork, light), (RetinaNetNetwork, retinanet)):
        anchor, levels = kind.usual("anchor_px"), kind.usual("levels")
        assert shape.anchor_sizes_px == tuple(anchor * 2**level for level in range(levels))
    assert {field.name for field in dataclasses.fields(DetrArchitecture)} == {
        *ScratchDetrNetwork.model_fields,
        "class_count",
        "in_channels",
    }


def test_a_second_phase_can_be_left_out():
    assert find_recipe("r2-faster-rcnn").config("data", {"second_phase": None}).phases[1:] == ()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"augment.crop_sizes": [0.5]}, "crop_sizes: expected crop above 0, and sizes"),
        ({"rules": ["max F2"]}, "rule: expected max F1, max any-hit F1.*found 'max F2'"),
    ],
)
def test_settings_that_need_others_say_so(changes, words):
    with pytest.raises(ConfigError, match=words):
        find_recipe("r1-detr").config("data", changes)


def test_a_warm_up_in_epochs_is_never_longer_than_its_share_and_leaves_the_last_epoch():
    def steps(**values):
        return Phase(**values).warmup(100)

    assert steps(epochs=50, warmup_epochs=3) == 300
    assert steps(epochs=6, warmup_epochs=3, warmup_share=0.1) == 60
    assert steps(epochs=2, warmup_epochs=3) == 100
    assert steps(epochs=1, warmup_epochs=3) == 0
    assert steps(epochs=6, warmup_epochs=3, warmup_steps=681) == 681


def test_a_dotted_change_leaves_the_others_of_its_group():
    config = find_recipe("r1-detr").config("data", {"augment.flip": 0.5, "epochs": 2})
    assert (config.augment.flip, config.augment.brightness, config.epochs) == (0.5, 0.3, 2)
    assert find_recipe("r1-detr").config("data", {}).augment.flip == 0.0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"epoch": 3}, "epoch: expected a setting of a training of the family hf_detr, found none"),
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
    with pytest.raises(
        ConfigError, match="recipe: expected one of r1-detr, r1-detr-as-published, r2"
    ):
        find_recipe("r9")


@pytest.mark.parametrize("text", ["", "{", '{"family": "resnet"}', '{"family": 1, "data": ""}'])
def test_a_config_edited_into_nonsense_is_one_sentence(text, tmp_path):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ConfigError, match="expected"):
        read_config(tmp_path / "config.json")


def test_an_unknown_key_in_the_file_is_refused(tmp_path):
    known = ResNetConfig(data="x").model_dump(mode="json")
    (tmp_path / "config.json").write_text(json.dumps({**known, "learning_rate": 1}))
    with pytest.raises(ConfigError, match="learning_rate: expected a setting of a training"):
        read_config(tmp_path / "config.json")


def test_make_config_names_its_source():
    with pytest.raises(ConfigError, match="batch: expected a valid setting in here"):
        make_config({"family": "resnet", "data": "x", "batch": "many"}, "here")
