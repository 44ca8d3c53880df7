"""R5: a ResNet from scratch, YOLOv8x for boxes and YOLOv8n-seg for outlines, on radiographs."""

from typing import Any

from trainers.recipes.recipe import Recipe, two_forms

_RESNET = two_forms(
    Recipe(
        name="r5-resnet",
        summary="ResNet from scratch, one class an image (R5)",
        settings={
            "family": "resnet",
            # Two basic blocks in each of four stages.
            "network": {"name": "resnet18", "standardise": "half"},
            "input_size": 512,
            "batch": 48,
            "epochs": 200,
            "lr": 1e-5,
            "optimiser": "adam",
            "weight_decay": 0.0,
            "monitor": "loss",
            "patience": 25,
            "augment": {"flip": 0.5, "flip_vertical": 0.5, "degrees": 30.0},
        },
    ),
    {"monitor": "weighted_f1"},
    "The checkpoint of the highest weighted F1 is kept, the metric that is reported, and training "
    "stops 25 epochs after it; published was the validation loss, which may rise while F1 still "
    "does. In both forms images without a label are left out and counted.",
)
# Ultralytics' defaults but for epochs and size. Its optimizer=auto gives AdamW with the rate
# 0.002 · 5 / (4 + classes), of seven classes, and a momentum of 0.9; biases begin at 0.
_YOLO: dict[str, Any] = {
    "family": "yolo",
    "input_size": 320,
    "batch": 16,
    "lr": 0.000909,
    "optimiser": "adamw",
    "weight_decay": 5e-4,
    "clip_norm": 10.0,
    "warmup_epochs": 3.0,
    "precision": "float16",
    "nms_iou": 0.7,
    "augment": {"flip": 0.5, "brightness": 0.4, "shift": 0.1, "scale": [0.5, 1.5]},
}
_YOLO_NETWORK: dict[str, Any] = {
    "nbs": 64,
    "mosaic": 1.0,
    "close_mosaic": 10,
    "momentum": 0.9,
    "warmup_momentum": 0.8,
    "warmup_bias_lr": 0.0,
    "lrf": 0.01,
    "box": 7.5,
    "cls": 0.5,
    "dfl": 1.5,
}
_YOLO_CHANGES: dict[str, object] = {"warmup_share": 0.1}
_YOLO_MENDED = (
    "The warm-up takes at most a tenth of the epochs: in the published 50 and 90 that are the "
    "published three, but of six epochs three would be half of the training. In both forms "
    "gradients left at the end of an epoch make a step of their own instead of being carried over, "
    "so that a run can be resumed exactly."
)
_DETECT = two_forms(
    Recipe(
        name="r5-yolo-detect",
        summary="YOLOv8x, boxes, on radiographs (R5)",
        settings={
            **_YOLO,
            "network": {"name": "yolov8x.yaml", **_YOLO_NETWORK},
            "start": "yolov8x.pt",
            "epochs": 50,
            "monitor": "ap",
        },
    ),
    _YOLO_CHANGES,
    _YOLO_MENDED,
)
_SEGMENT = two_forms(
    Recipe(
        name="r5-yolo-segment",
        summary="YOLOv8n-seg, outlines, on radiographs (R5)",
        settings={
            **_YOLO,
            "network": {
                "name": "yolov8n-seg.yaml",
                "overlap_mask": True,
                "mask_ratio": 4,
                **_YOLO_NETWORK,
            },
            "start": "yolov8n-seg.pt",
            "epochs": 90,
            "monitor": "mask_ap",
        },
    ),
    _YOLO_CHANGES,
    _YOLO_MENDED,
)
RECIPES = (*_RESNET, *_DETECT, *_SEGMENT)
