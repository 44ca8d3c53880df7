"""The families that the loop trains; YOLO goes through Ultralytics' own trainer."""

from collections.abc import Callable
from typing import Any

from fracture_core import importing
from fracture_core.errors import ConfigError
from trainers.config import TrainConfig
from trainers.trainee import Trainee

# The first is the config of the family.
Builder = Callable[[Any, tuple[str, ...], str], Trainee]

BUILDERS: dict[str, str] = {
    "efficientnet_gate": "trainers.families.efficientnet_gate",
    "faster_rcnn": "trainers.families.faster_rcnn",
    "hf_detr": "trainers.families.hf_detr",
    "resnet": "trainers.families.resnet",
    "scratch_detr": "trainers.families.scratch_detr",
}


def build_trainee(config: TrainConfig, classes: tuple[str, ...], model_id: str) -> Trainee:
    """The network to be trained, on the CPU; raises ConfigError and WeightsError.

    Each family's module has `build` with these arguments.
    """
    if config.family not in BUILDERS:
        expected = f"a family that can be trained ({', '.join(BUILDERS)}, yolo)"
        raise ConfigError("family", expected=expected, found=repr(config.family))
    build: Builder = importing.load(BUILDERS[config.family]).build
    return build(config, classes, model_id)
