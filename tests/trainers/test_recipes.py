"""The recipes against tables that were typed from the publications, and not from the recipes.

A setting that a table does not name has to have the family's default.
"""

from typing import Any

import pytest

from fracture_core.errors import ConfigError
from trainers.families import build_module
from trainers.family_configs import make_config
from trainers.recipes import RECIPES, find_recipe

R1 = {
    "family": "hf_detr",
    "start": "facebook/detr-resnet-50",
    "network.auxiliary_loss": False,
    "input_size": 256,
    "batch": 100,
    "epochs": 40,
    "optimiser": "adamw",
    "lr": 1e-4,
    "backbone_lr": 1e-5,
    "weight_decay": 1e-3,
    "precision": "float16",
    "clip_norm": 0.1,
    "monitor": "any_hit_f1",
    "patience": 20,
    "frozen_stages": 0,
    "frozen_names": ["conv1", "bn1", "layer1", "layer2"],
    "shown_confidence": 0.1,
    "match_iou": 0.5,
    "rules": ["max any-hit F1"],
    "augment.brightness": 0.3,
    "augment.contrast": 0.3,
    "augment.blur": 1.0,
    "augment.blur_sigma": [0.1, 2.0],
}
R2 = {
    "family": "faster_rcnn",
    "network.name": "fasterrcnn_resnet50_fpn",
    "start": "COCO_V1",
    "input_size": 800,
    "batch": 8,
    "epochs": 10,
    "optimiser": "adamw",
    "lr": 1e-4,
    "weight_decay": 1e-4,
    "schedule": "step",
    "schedule_every": 3,
    "schedule_factor": 0.1,
    "frozen_stages": 2,
    "monitor": "loss",
    "seed": 42,
    "second_phase.epochs": 5,
    "second_phase.optimiser": "adamw",
    "second_phase.lr": 3e-5,
    "second_phase.weight_decay": 1e-2,
    "second_phase.frozen_stages": 5,
    "second_phase.schedule": "plateau",
    "second_phase.schedule_factor": 0.3,
    "second_phase.schedule_every": 1,
    "second_phase.monitor": "loss",
    "second_phase.patience": 3,
    "second_phase.min_delta": 1e-4,
    "second_phase.best_anew": True,
}
DETR_AUGMENTATION = {
    "augment.flip": 0.5,
    # In shares of the input of 800 px.
    "augment.sizes": [
        side / 800 for side in (480, 512, 544, 576, 608, 640, 672, 704, 736, 768, 800)
    ],
    "augment.longest": 1333 / 800,
    "augment.crop": 0.5,
    "augment.crop_sizes": [400 / 800, 500 / 800, 600 / 800],
    "augment.crop_sides": [384 / 800, 600 / 800],
    "augment.least_left": 0.0,
}
SET_LOSS = {"set_loss.class_weight": 1.0, "set_loss.l1_weight": 5.0, "set_loss.giou_weight": 2.0}
R3_SCRATCH = {
    "family": "scratch_detr",
    "start": "IMAGENET1K_V2",
    "network.backbone": "resnet50",
    "network.encoder_depth": 3,
    "network.decoder_depth": 3,
    "network.width": 256,
    "network.head_count": 8,
    "network.feedforward_width": 2048,
    "network.dropout": 0.3,
    "network.query_count": 4,
    "input_size": 800,
    "batch": 4,
    "epochs": 100,
    "optimiser": "adamw",
    "lr": 1e-4,
    "weight_decay": 1e-3,
    "clip_norm": 0.1,
    "monitor": "ap",
    **SET_LOSS,
    **DETR_AUGMENTATION,
}
R3_FINETUNE = {
    "family": "hf_detr",
    "start": "facebook/detr-resnet-50",
    "network.auxiliary_loss": False,
    "network.square": True,
    "input_size": 800,
    "batch": 4,
    "epochs": 100,
    "optimiser": "adamw",
    "lr": 1e-5,
    "weight_decay": 1e-4,
    "clip_norm": 0.1,
    "monitor": "ap",
    **SET_LOSS,
    **DETR_AUGMENTATION,
}
R4 = {
    "family": "efficientnet_gate",
    "network.name": "efficientnet_b4",
    "network.reduction": 8,
    "network.hidden_width": 512,
    "network.dropout": 0.5,
    "start": "IMAGENET1K_V1",
    "input_size": 224,
    "batch": 32,
    "epochs": 25,
    "optimiser": "adamw",
    "lr": 5e-4,
    "weight_decay": 1e-2,
    "clip_norm": 1.0,
    "schedule": "plateau",
    "schedule_every": 3,
    "monitor": "accuracy",
    "patience": 7,
    "min_delta": 0.001,
    "classification.class_weights": "balanced",
    "classification.class_multipliers.Comminuted": 3.0,
    "classification.class_multipliers.Transverse Displaced": 2.0,
    "classification.class_multipliers.Oblique Displaced": 1.5,
    "classification.class_multipliers.Healthy": 0.7,
    "classification.focal_share": 0.6,
    "classification.focal_gamma": 2.0,
    "classification.focal_of": "batch",
    "classification.focal_weighted": True,
    "augment.flip": 0.5,
    "augment.flip_vertical": 0.5,
    "augment.brightness": 0.3,
    "augment.contrast": 0.3,
    "augment.degrees": 15.0,
    "augment.shift": 0.1,
    "augment.scale": [0.9, 1.1],
}
R5_RESNET = {
    "family": "resnet",
    "network.name": "resnet18",
    "network.standardise": "half",
    "start": "",
    "input_size": 512,
    "batch": 48,
    "epochs": 200,
    "optimiser": "adam",
    "lr": 1e-5,
    "weight_decay": 0.0,
    "monitor": "loss",
    "patience": 25,
    "augment.flip": 0.5,
    "augment.flip_vertical": 0.5,
    "augment.degrees": 30.0,
}
R5_YOLO = {
    "family": "yolo",
    "input_size": 320,
    "batch": 16,
    "network.nbs": 64,
    "optimiser": "adamw",
    "lr": 0.000909,
    "network.lrf": 0.01,
    "network.momentum": 0.9,
    "weight_decay": 0.0005,
    "clip_norm": 10.0,
    "warmup_epochs": 3.0,
    "network.warmup_momentum": 0.8,
    "network.warmup_bias_lr": 0.0,
    "precision": "float16",
    "nms_iou": 0.7,
    "network.box": 7.5,
    "network.cls": 0.5,
    "network.dfl": 1.5,
    "network.mosaic": 1.0,
    "network.close_mosaic": 10,
    "augment.flip": 0.5,
    "augment.brightness": 0.4,
    "augment.shift": 0.1,
    "augment.scale": [0.5, 1.5],
}
R5_DETECT = {
    **R5_YOLO,
    "network.name": "yolov8x.yaml",
    "start": "yolov8x.pt",
    "epochs": 50,
    "monitor": "ap",
}
R5_SEGMENT = {
    **R5_YOLO,
    "network.name": "yolov8n-seg.yaml",
    "network.overlap_mask": True,
    "network.mask_ratio": 4,
    "start": "yolov8n-seg.pt",
    "epochs": 90,
    "monitor": "mask_ap",
}
PUBLISHED: dict[str, dict[str, Any]] = {
    "r1-detr": R1,
    "r2-faster-rcnn": R2,
    "r3-detr-scratch": R3_SCRATCH,
    "r3-detr-finetune": R3_FINETUNE,
    "r4-efficientnet-gate": R4,
    "r5-resnet": R5_RESNET,
    "r5-yolo-detect": R5_DETECT,
    "r5-yolo-segment": R5_SEGMENT,
}
# Where the default form departs, and nowhere else.
MENDED: dict[str, dict[str, Any]] = {
    "r1-detr": {"frozen_names": [], "frozen_stages": 3, "rules": []},
    "r2-faster-rcnn": {"second_phase.best_anew": False},
    "r3-detr-scratch": {"augment.least_left": 0.25},
    "r3-detr-finetune": {"augment.least_left": 0.25},
    "r4-efficientnet-gate": {"classification.focal_of": "sample"},
    "r5-resnet": {"monitor": "weighted_f1"},
    "r5-yolo-detect": {"warmup_share": 0.1},
    "r5-yolo-segment": {"warmup_share": 0.1},
}


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings by dotted name; an empty group is none."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        group = isinstance(value, dict)
        found |= flat(value, f"{prefix}{name}.") if group else {f"{prefix}{name}": value}
    return found


def settings_of(name: str) -> dict[str, Any]:
    found = flat(find_recipe(name).config("data", {}).model_dump(mode="json"))
    assert found.pop("recipe") == name
    return found


def filled(table: dict[str, Any]) -> dict[str, Any]:
    """The settings that a table asks for; what it does not name is the family's default."""
    values: dict[str, Any] = {"family": table["family"], "data": "data"}
    if any(name.startswith("second_phase.") for name in table):
        values["second_phase"] = {}
    defaults = flat(make_config(values, "a test").model_dump(mode="json"))
    del defaults["recipe"]
    return {**defaults, **table}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_form_has_the_published_values(name: str) -> None:
    assert settings_of(f"{name}-as-published") == filled(PUBLISHED[name])


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_default_form_departs_where_it_says_so(name: str) -> None:
    expected = filled({**PUBLISHED[name], **MENDED[name]})
    assert settings_of(name) == expected
    assert expected != filled(PUBLISHED[name])
    assert len(RECIPES[name].mended) > 50
    assert not RECIPES[f"{name}-as-published"].mended


def test_every_recipe_of_a_published_system_has_both_forms() -> None:
    published = {name for name in RECIPES if name.startswith("r") and name[1].isdigit()}
    assert published == {*PUBLISHED, *(f"{name}-as-published" for name in PUBLISHED)}


TRIED = {
    "r3-detr-scratch+queries-50": {"network.query_count": 50},
    "r3-detr-scratch+queries-100": {"network.query_count": 100},
    "r3-detr-scratch+layers-6": {"network.encoder_depth": 6, "network.decoder_depth": 6},
    "r3-detr-scratch+loss-1-10-5": {"set_loss.l1_weight": 10.0, "set_loss.giou_weight": 5.0},
    "r3-detr-scratch+size-1000": {"input_size": 1000},
    "r3-detr-finetune+size-800x1333": {"network.square": False, "network.longest_edge": 1333},
    "r3-detr-finetune+size-1000": {"input_size": 1000},
    "r3-detr-finetune+frozen-30": {"frozen_stages": 5, "frozen_epochs": 30},
    "r3-detr-finetune+loss-1-10-5": {"set_loss.l1_weight": 10.0, "set_loss.giou_weight": 5.0},
}


@pytest.mark.parametrize("name", TRIED)
def test_what_r3_tried_is_a_variant(name: str) -> None:
    plain = settings_of(name.partition("+")[0])
    assert settings_of(name) == {**plain, **TRIED[name]}


def test_all_variants_are_tried_ones() -> None:
    known = {f"{recipe.name}+{each}" for recipe in RECIPES.values() for each in recipe.variants}
    assert {name for name in known if "as-published" not in name} == set(TRIED)


def test_variants_join_and_unknown_ones_are_refused() -> None:
    both = find_recipe("r3-detr-scratch-as-published+queries-50+layers-6").config("data", {})
    assert (both.network.query_count, both.network.encoder_depth) == (50, 6)
    with pytest.raises(
        ConfigError, match=r"a variant of r1-detr \(it has none\), found 'queries-50'"
    ):
        find_recipe("r1-detr+queries-50")


def test_r1_trains_17_96_million_of_the_backbones_weights_and_mended_22_02() -> None:
    random = {"start": "", "network.name": "detr:random"}
    module = build_module(find_recipe("r1-detr").config("data", random), ("fracture",), "r1")
    backbone = {id(each) for stage in module.stages() for each in stage.parameters()}

    def trained(name: str) -> dict[str, int]:
        config = find_recipe(name).config("data", random)
        module.freeze(config.frozen_stages, config.frozen_names)
        return {
            module.plain_name(name).removesuffix(".weight"): each.numel()
            for name, each in module.network.named_parameters()
            if id(each) in backbone and each.requires_grad and each.ndim == 4
        }

    letter, ours = trained("r1-detr-as-published"), trained("r1-detr")
    assert round(sum(letter.values()) / 1e6, 2) == 17.96
    assert round(sum(ours.values()) / 1e6, 2) == 22.02
    first = [f"layer3.{block}.conv1" for block in range(6)]
    assert set(ours) - set(letter) == {*first, *(f"layer4.{block}.conv1" for block in range(3))}
    assert set(letter) < set(ours)
