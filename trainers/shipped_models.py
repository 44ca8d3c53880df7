"""The models that come with the package: one of each family, trained on real and synthetic
radiographs as one class (`trainers.mixed_data`), each from a pretrained network.

Detectors learn on crops first, where a fracture is large and a step is cheap, or begin from what
the classifier has learnt of whole images. The DETR of our own learns on synthetic images before
(`trainers.synthetic_data`), where it takes dozens of epochs until its queries find anything.
"""

from dataclasses import dataclass, field
from typing import Literal

from fracture_core.models.consensus_making import Rule, Voice

Data = Literal["radiographs", "crops", "synthetic", "patches"]
Settings = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShippedModel:
    """How one model is made: `settings` on top of the recipe's. It begins from another one of the
    table (`begins_from`), from what `pretrained` names (a file of the folder of pretrained weights,
    …safetensors, or a backbone from the Python package index), or from random weights. One that is
    not `shipped` only begins others.
    """

    title: str
    recipe: str
    data: Data
    settings: Settings = field(default_factory=dict)
    begins_from: str = ""
    pretrained: str = ""
    shipped: bool = True


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
    "classify": "findings",
    "class_weights": "balanced",
    "class_multipliers": {},
    "focal_share": 0.0,
    "input_size": 448,
    "batch": 16,
    "epochs": 5,
    "lr": 6e-4,
    "backbone_lr": 3e-4,
    "weight_decay": 0.05,
    "clip_norm": 2.0,
    "normals": 1.0,
    "ema": 0.99,
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

_DETECT: Settings = {
    **_COMMON,
    "merge_classes": "fracture",
    "monitor": "ap50",
    "ema": 0.99,
    "augment": {
        "flip": 0.5,
        "flip_vertical": 0.5,
        "brightness": 0.4,
        "contrast": 0.3,
        "degrees": 15.0,
        "shift": 0.08,
        "scale": [0.8, 1.25],
    },
}
_RT_DETR: Settings = {**_DETECT, "weight_decay": 1e-3, "clip_norm": 1.0}

_SYNTHETIC: Settings = {
    **_COMMON,
    "data_licence": "none needed: drawn by this package",
    "schedule_factor": 0.02,
    "augment": {"flip": 0.5, "flip_vertical": 0.5, "brightness": 0.3, "contrast": 0.3},
}
_SYNTHETIC_DETR: Settings = {
    **_SYNTHETIC,
    "merge_classes": "fracture",
    "monitor": "ap",
    "input_size": 320,
    "batch": 16,
    "lr": 4e-4,
    "backbone_lr": 2e-4,
    "clip_norm": 0.1,
    "frozen_stages": 1,
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
            # Larger, and drawn otherwise, so that it adds to what the other one finds.
            "input_size": 768,
            "seed": 1,
            "epochs": 3,
            "lr": 4e-4,
            "warmup_steps": 30,
        },
    ),
    "efficientnet-gate": ShippedModel(
        title="EfficientNet-Lite0 with attention gate",
        recipe="r4-efficientnet-gate",
        data="radiographs",
        pretrained="efficientnet_lite0:IMAGENET1K",
        settings={
            **_CLASSIFY,
            "network": {
                "name": "efficientnet_lite0",
                "hidden_width": 128,
                "dropout": 0.3,
                "stochastic_depth": 0.1,
            },
        },
    ),
    "resnet": ShippedModel(
        title="MobileNetV2",
        recipe="r5-resnet",
        data="radiographs",
        pretrained="mobilenet_v2:IMAGENET1K",
        settings={**_CLASSIFY, "network": {"name": "mobilenet_v2"}},
    ),
    "faster-rcnn": ShippedModel(
        title="Light Faster R-CNN on MobileNetV2",
        recipe="r2-faster-rcnn",
        data="radiographs",
        begins_from="resnet",
        settings={
            **_DETECT,
            "network": {
                "name": "fasterrcnn_light",
                "levels": 3,
                "anchor_px": 24,
                "pyramid_width": 96,
            },
            "input_size": 448,
            "batch": 8,
            "epochs": 5,
            "lr": 6e-4,
            "backbone_lr": 2e-4,
            "weight_decay": 0.02,
            "clip_norm": 5.0,
            "normals": 0.6,
            "second_phase": None,
        },
    ),
    "crops-rt-detr": ShippedModel(
        title="RT-DETR on MobileNetV2, on crops",
        recipe="r1-detr",
        data="crops",
        pretrained="mobilenet_v2:IMAGENET1K",
        settings={
            **_RT_DETR,
            "network": {"name": "rt_detr:small"},
            # Crops at two thirds of their size: the scale of whole images at 512 px.
            "input_size": 256,
            "batch": 16,
            "epochs": 2,
            "lr": 5e-4,
            "backbone_lr": 2e-4,
            "ema": 0.995,
        },
        shipped=False,
    ),
    "rt-detr": ShippedModel(
        title="RT-DETR on MobileNetV2",
        recipe="r1-detr",
        data="radiographs",
        begins_from="crops-rt-detr",
        settings={
            **_RT_DETR,
            "network": {},
            "input_size": 512,
            "batch": 8,
            "epochs": 5,
            "lr": 3e-4,
            "backbone_lr": 1e-4,
            "normals": 0.6,
        },
    ),
    "patches-resnet": ShippedModel(
        title="ResNet-18 of width 32 on patches",
        recipe="r5-resnet",
        data="patches",
        settings={
            **_SYNTHETIC,
            "classify": "findings",
            "class_weights": "balanced",
            "class_multipliers": {},
            "network": {"name": "resnet18", "width": 32},
            "input_size": 64,
            "batch": 32,
            "epochs": 6,
            "lr": 1e-3,
            "weight_decay": 0.05,
            "clip_norm": 2.0,
            "monitor": "balanced_accuracy",
        },
        shipped=False,
    ),
    "synthetic-faster-rcnn": ShippedModel(
        title="Light Faster R-CNN on synthetic images",
        recipe="r2-faster-rcnn",
        data="synthetic",
        begins_from="patches-resnet",
        settings={
            **_SYNTHETIC,
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
        shipped=False,
    ),
    "first-detr": ShippedModel(
        title="DETR from scratch on synthetic images, first part",
        recipe="r3-detr-scratch",
        data="synthetic",
        begins_from="synthetic-faster-rcnn",
        settings={
            **_SYNTHETIC_DETR,
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
            "epochs": 14,
            "lr": 5e-4,
            "frozen_stages": 2,
            "monitor": "ap50",
            # Of 400 cells hardly one is an object.
            "no_object_weight": 0.05,
        },
        shipped=False,
    ),
    "second-detr": ShippedModel(
        title="DETR from scratch on synthetic images, second part",
        recipe="r3-detr-scratch",
        data="synthetic",
        begins_from="first-detr",
        settings={**_SYNTHETIC_DETR, "network": {}, "epochs": 5, "no_object_weight": 0.1},
        shipped=False,
    ),
    "third-detr": ShippedModel(
        title="DETR from scratch on synthetic images, third part",
        recipe="r3-detr-scratch",
        data="synthetic",
        begins_from="second-detr",
        # At 0.1 more that is wrong scores above 0.5 (F1 on test 0.68, here 0.76).
        settings={**_SYNTHETIC_DETR, "network": {}, "epochs": 14, "no_object_weight": 0.25},
        shipped=False,
    ),
    "detr": ShippedModel(
        title="DETR from scratch",
        recipe="r3-detr-scratch",
        data="radiographs",
        begins_from="third-detr",
        settings={
            **_DETECT,
            "network": {},
            "input_size": 448,
            "batch": 16,
            "epochs": 6,
            "lr": 4e-4,
            "backbone_lr": 2e-4,
            "weight_decay": 1e-3,
            "clip_norm": 0.1,
            "normals": 0.6,
            "no_object_weight": 0.25,
        },
    ),
}

STAND_INS = {
    "demo-detr": "detr",
    "demo-efficientnet-gate": "efficientnet-gate",
    "demo-faster-rcnn": "faster-rcnn",
}
"""What the package has instead of a model of the table that is not trained, or misses its goal: a
model of the same family that was trained on synthetic images alone, and says so.
"""
NOT_YET = ("rt-detr",)
"""Models of the table that are not trained, and for which nothing stands in."""
CONSENSUS = "shipped-consensus"
"""Not the name that a consensus of a reader's own gets first."""
CONSENSUS_TITLE = "Consensus of the shipped models"
VOICES = (
    Voice(model_id="yolo-segment"),
    Voice(model_id="yolo-segment", flipped=True),
    Voice(model_id="yolo-detect"),
    Voice(model_id="resnet"),
)
RULE = Rule(fusion_iou=0.4, scores="raw", gate=0.25)
"""Chosen on FracAtlas's validation images among what is shipped, see docs/experiments.md."""
