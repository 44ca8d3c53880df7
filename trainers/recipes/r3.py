"""R3: DETR on radiographs, our own from scratch (E1) and that of transformers fine-tuned (E2)."""

from typing import Any

from trainers.recipes.recipe import Recipe, two_forms

# DETR's: flip, then a resize to one of eleven sizes, half of the time with a crop before it. In
# pixels of its input of 800, so that another input size scales them.
_AUGMENT: dict[str, Any] = {
    "flip": 0.5,
    "sizes": [side / 800 for side in range(480, 801, 32)],
    "longest": 1333 / 800,
    "crop": 0.5,
    "crop_sizes": [400 / 800, 500 / 800, 600 / 800],
    "crop_sides": [384 / 800, 600 / 800],
    "least_left": 0.0,
}
_LOSS: dict[str, Any] = {"class_weight": 1.0, "l1_weight": 5.0, "giou_weight": 2.0}
_LOSS_1_10_5: dict[str, Any] = {"set_loss.l1_weight": 10.0, "set_loss.giou_weight": 5.0}
_MENDED = (
    "A box of which a crop leaves less than a quarter is no ground truth any more; published, a "
    "sliver at the edge was taught as a whole fracture."
)
_CHANGES: dict[str, object] = {"augment.least_left": 0.25}

_SCRATCH = two_forms(
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
            "set_loss": _LOSS,
            "start": "IMAGENET1K_V2",
            "input_size": 800,
            "batch": 4,
            "epochs": 100,
            "lr": 1e-4,
            "weight_decay": 1e-3,
            "clip_norm": 0.1,
            "monitor": "ap",
            "augment": _AUGMENT,
        },
        variants={
            "queries-50": {"network.query_count": 50},
            "queries-100": {"network.query_count": 100},
            "layers-6": {"network.encoder_depth": 6, "network.decoder_depth": 6},
            "loss-1-10-5": _LOSS_1_10_5,
            "size-1000": {"input_size": 1000},
        },
    ),
    _CHANGES,
    _MENDED,
)
_FINETUNE = two_forms(
    Recipe(
        name="r3-detr-finetune",
        summary="DETR of transformers on radiographs, fine-tuned (R3, E2)",
        settings={
            "family": "hf_detr",
            "start": "facebook/detr-resnet-50",
            "network": {"auxiliary_loss": False, "square": True},
            "set_loss": _LOSS,
            "input_size": 800,
            "batch": 4,
            "epochs": 100,
            "lr": 1e-5,
            "weight_decay": 1e-4,
            "clip_norm": 0.1,
            "monitor": "ap",
            "augment": _AUGMENT,
        },
        variants={
            "size-800x1333": {"network.square": False, "network.longest_edge": 1333},
            "size-1000": {"input_size": 1000},
            "frozen-30": {"frozen_stages": 5, "frozen_epochs": 30},
            "loss-1-10-5": _LOSS_1_10_5,
        },
    ),
    _CHANGES,
    _MENDED,
)
RECIPES = (*_SCRATCH, *_FINETUNE)
