"""The models that come with the package and were trained on real and synthetic radiographs
(`trainers.mixed_data`), each from a pretrained network. Those of `trainers.demo_models` stand in
for families that have none yet.

Detectors learn on crops first, where a fracture is large and a step is cheap, then on whole images.
"""

from dataclasses import dataclass, field
from typing import Literal

Data = Literal["radiographs", "crops"]
Settings = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShippedModel:
    """How one model is made: `settings` on top of the recipe's. It begins from another one of the
    table (`begins_from`), or from what `pretrained` names: a file of the folder of pretrained
    weights (…safetensors), or a backbone from the Python package index. One that is not `shipped`
    only begins others.
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
    "input_size": 480,
    "batch": 16,
    "epochs": 7,
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
        title="YOLO26n",
        recipe="r5-yolo-detect",
        data="radiographs",
        pretrained="yolo26n-coco.safetensors",
        settings={**_YOLO_WHOLE, "network": {"name": "yolo26n.yaml", **_MIXED}, "epochs": 9},
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
}
