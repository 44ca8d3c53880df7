"""R4: EfficientNet-B4 with an attention gate, one class an image."""

from trainers.recipes.recipe import Recipe, two_forms

RECIPES = two_forms(
    Recipe(
        name="r4-efficientnet-gate",
        summary="EfficientNet-B4 with an attention gate, one class an image (R4)",
        settings={
            "family": "efficientnet_gate",
            "network": {
                "name": "efficientnet_b4",
                "reduction": 8,
                "hidden_width": 512,
                "dropout": 0.5,
            },
            "start": "IMAGENET1K_V1",
            "input_size": 224,
            "batch": 32,
            "epochs": 25,
            "lr": 5e-4,
            # Not told: AdamW's own.
            "weight_decay": 1e-2,
            "clip_norm": 1.0,
            "schedule": "plateau",
            "schedule_every": 3,
            "monitor": "accuracy",
            "patience": 7,
            "min_delta": 0.001,
            "classification": {
                "class_weights": "balanced",
                "class_multipliers": {
                    "Comminuted": 3.0,
                    "Transverse Displaced": 2.0,
                    "Oblique Displaced": 1.5,
                    "Healthy": 0.7,
                },
                "focal_share": 0.6,
                "focal_gamma": 2.0,
                "focal_of": "batch",
                "focal_weighted": True,
            },
            # Its jitter of saturation by 0.2 changes nothing in a grey image.
            "augment": {
                "flip": 0.5,
                "flip_vertical": 0.5,
                "brightness": 0.3,
                "contrast": 0.3,
                "degrees": 15.0,
                "shift": 0.1,
                "scale": [0.9, 1.1],
            },
        },
    ),
    {"classification.focal_of": "sample"},
    "The focal term is taken image by image, so that hard images weigh more than easy ones; of the "
    "batch's mean loss, as published, it weighs all images of a batch alike. In both forms images "
    "without a label are left out and counted, not taken for the first class.",
)
