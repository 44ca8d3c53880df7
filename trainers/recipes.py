"""Recipes: named settings of trainings, most of them those of a published system.

R1 … R5 are the five published systems that the README names. Where a recipe departs from what was
published, because that had a flaw, `mended` says how; a recipe whose name ends in "-as-published"
keeps the flaw, for comparison.
"""

from dataclasses import dataclass

from fracture_core.errors import ConfigError
from trainers.config import TrainConfig
from trainers.family_configs import make_config


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A named way to train.

    `settings` are those that differ from the defaults of the family's config; `mended` says where
    they depart from what was published.
    """

    name: str
    summary: str
    settings: dict[str, object]
    mended: str = ""

    def config(self, data: str, changes: dict[str, object]) -> TrainConfig:
        """Return the config for a data set, with changes by dotted or flat name.

        Raises ConfigError for a change that is not valid.

        Example:
            >>> RECIPES["r5-resnet"].config("data", {"network.width": 32}).network.given()
            {'name': 'resnet50', 'width': 32}
        """
        values = {**self.settings, "recipe": self.name, "data": data, **changes}
        return make_config(values, f"the recipe {self.name}")


_R1_AUGMENT = {"brightness": 0.3, "contrast": 0.3, "blur": 1.0, "blur_sigma": [0.1, 2.0]}
_R3_AUGMENT = {"flip": 0.5, "scale": [0.6, 1.0], "crop": 0.5, "crop_least": 0.5}
# R5 kept Ultralytics' defaults but for epochs and size; three epochs of warm-up are 681 steps.
_R5_YOLO: dict[str, object] = {
    "family": "yolo",
    "input_size": 320,
    "batch": 16,
    "lr": 0.01,
    "optimiser": "sgd",
    "weight_decay": 5e-4,
    "clip_norm": 10.0,
    "warmup_steps": 681,
    "augment": {"flip": 0.5, "brightness": 0.4, "shift": 0.1, "scale": [0.5, 1.5]},
}
_R5_NETWORK: dict[str, object] = {
    "mosaic": 1.0,
    "close_mosaic": 10,
    "momentum": 0.937,
    "lrf": 0.01,
    "warmup_bias_lr": 0.1,
    "warmup_momentum": 0.8,
}
_R4_MULTIPLIERS = {
    "Comminuted": 3.0,
    "Transverse Displaced": 2.0,
    "Oblique Displaced": 1.5,
    "Healthy": 0.7,
}
_R4: dict[str, object] = {
    "family": "efficientnet_gate",
    "network": {"name": "efficientnet_b4"},
    "start": "IMAGENET1K_V1",
    "input_size": 224,
    "batch": 32,
    "epochs": 25,
    "lr": 5e-4,
    "weight_decay": 1e-2,
    "clip_norm": 1.0,
    "schedule": "plateau",
    "schedule_every": 10,
    "monitor": "accuracy",
    "patience": 7,
    "min_delta": 0.001,
    "classification": {
        "class_weights": "balanced",
        "class_multipliers": _R4_MULTIPLIERS,
        "focal_share": 0.6,
        "focal_gamma": 2.0,
    },
    "augment": {
        "flip": 0.5,
        "flip_vertical": 0.5,
        "brightness": 0.3,
        "contrast": 0.3,
        "degrees": 15.0,
        "shift": 0.1,
        "scale": [0.9, 1.1],
    },
}

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="r1-detr",
            summary="DETR of transformers on CT slices, fine-tuned (R1)",
            settings={
                "family": "hf_detr",
                "start": "facebook/detr-resnet-50",
                # As in the published checkpoint: the loss takes in the last layer only.
                "network": {"auxiliary_loss": False},
                "input_size": 256,
                "batch": 100,
                "epochs": 40,
                "lr": 1e-4,
                "backbone_lr": 1e-5,
                "weight_decay": 1e-3,
                "clip_norm": 0.1,
                "frozen_stages": 3,
                "precision": "float16",
                "monitor": "any_hit_f1",
                "patience": 20,
                "shown_confidence": 0.1,
                "augment": _R1_AUGMENT,
            },
            mended="Operating points are chosen among all scores, not at the edge of a grid.",
        ),
        Recipe(
            name="r2-faster-rcnn",
            summary="Faster R-CNN of torchvision on CT slices, two phases (R2)",
            settings={
                "family": "faster_rcnn",
                "network": {"name": "fasterrcnn_resnet50_fpn"},
                "start": "COCO_V1",
                "input_size": 800,
                "batch": 8,
                "epochs": 10,
                "lr": 1e-4,
                "weight_decay": 1e-4,
                "schedule": "step",
                "schedule_every": 3,
                "schedule_factor": 0.1,
                # With COCO's weights torchvision trains the last three of the five stages.
                "frozen_stages": 2,
                "monitor": "loss",
                "seed": 42,
                "second_phase": {
                    "epochs": 5,
                    "lr": 3e-5,
                    "weight_decay": 1e-2,
                    "frozen_stages": 5,
                    "schedule": "plateau",
                    "schedule_every": 1,
                    "schedule_factor": 0.3,
                    "monitor": "loss",
                    "patience": 3,
                    "min_delta": 1e-4,
                },
            },
            mended="Every image of a batch is evaluated, not the first one only.",
        ),
        Recipe(
            name="r3-detr-scratch",
            summary="Our own DETR with a pretrained backbone on radiographs (R3, E1)",
            settings={
                "family": "scratch_detr",
                "network": {
                    "backbone": "resnet50",
                    "query_count": 4,
                    "encoder_depth": 3,
                    "decoder_depth": 3,
                    "width": 256,
                    "head_count": 8,
                    "feedforward_width": 2048,
                    "dropout": 0.3,
                },
                "start": "IMAGENET1K_V2",
                "input_size": 800,
                "batch": 4,
                "epochs": 100,
                "lr": 1e-4,
                "weight_decay": 1e-3,
                "clip_norm": 0.1,
                "monitor": "ap",
                "augment": _R3_AUGMENT,
            },
        ),
        Recipe(
            name="r3-detr-finetune",
            summary="DETR of transformers on radiographs, fine-tuned (R3, E2)",
            settings={
                "family": "hf_detr",
                "start": "facebook/detr-resnet-50",
                "network": {"auxiliary_loss": False},
                "input_size": 800,
                "batch": 4,
                "epochs": 100,
                "lr": 1e-5,
                "weight_decay": 1e-4,
                "clip_norm": 0.1,
                "monitor": "ap",
                "augment": _R3_AUGMENT,
            },
        ),
        Recipe(
            name="r4-efficientnet-gate",
            summary="EfficientNet-B4 with an attention gate, one class an image (R4)",
            settings=_R4,
            mended="The focal term is taken image by image; images without a label are left "
            "out and counted, never the first class.",
        ),
        Recipe(
            name="r4-efficientnet-gate-as-published",
            summary="As r4-efficientnet-gate, with the focal term of the batch's mean loss",
            settings={**_R4, "classification.focal_of": "batch"},
        ),
        Recipe(
            name="r5-resnet",
            summary="ResNet from scratch, one class an image (R5)",
            settings={
                "family": "resnet",
                "network": {"name": "resnet50"},
                "input_size": 224,
                "batch": 48,
                "epochs": 200,
                "lr": 1e-5,
                "optimiser": "adam",
                "weight_decay": 0.0,
                "monitor": "weighted_f1",
                "patience": 25,
            },
        ),
        Recipe(
            name="r5-yolo-detect",
            summary="YOLOv8x, boxes, on radiographs (R5)",
            settings={
                **_R5_YOLO,
                "network": {"name": "yolov8x.yaml", **_R5_NETWORK},
                "start": "yolov8x.pt",
                "epochs": 50,
                "monitor": "ap",
            },
        ),
        Recipe(
            name="r5-yolo-segment",
            summary="YOLOv8n-seg, outlines, on radiographs (R5)",
            settings={
                **_R5_YOLO,
                "network": {"name": "yolov8n-seg.yaml", **_R5_NETWORK},
                "start": "yolov8n-seg.pt",
                "epochs": 90,
                "monitor": "mask_ap",
            },
        ),
        Recipe(
            name="retinanet",
            summary="RetinaNet of torchvision on radiographs, fine-tuned from COCO",
            settings={
                "family": "retinanet",
                "network": {"name": "retinanet_resnet50_fpn_v2"},
                "start": "COCO_V1",
                "input_size": 800,
                "batch": 8,
                "epochs": 30,
                "lr": 1e-4,
                "weight_decay": 1e-4,
                # Few of tens of thousands of anchors are positive: single gradients may be large.
                "clip_norm": 1.0,
                "schedule": "cosine",
                "schedule_factor": 0.01,
                "warmup_steps": 500,
                "frozen_stages": 2,
                "monitor": "ap",
                "patience": 10,
                "augment": {"flip": 0.5},
            },
        ),
    )
}


def find_recipe(name: str) -> Recipe:
    """Return the recipe of a name; raise ConfigError for an unknown one."""
    if name not in RECIPES:
        raise ConfigError("recipe", expected=f"one of {', '.join(RECIPES)}", found=repr(name))
    return RECIPES[name]
