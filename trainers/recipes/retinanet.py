"""RetinaNet of torchvision, of no published system."""

from trainers.recipes.recipe import Recipe

RECIPES = (
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
