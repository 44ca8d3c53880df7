"""The families that the loop trains, one file for each; YOLO has Ultralytics' own trainer.

The `trainer` of a `ModelFamily` names the module that trains it. That has a function `build`, and,
where the family comes from an extension, the class of its config as `CONFIG`.
"""

from collections.abc import Callable
from typing import Any

from fracture_core import importing
from fracture_core.errors import ConfigError
from trainers.config import TrainConfig
from trainers.family_configs import trained_families
from trainers.training_module import TrainingModule

# Takes the config of the family, the classes and the model's id.
Builder = Callable[[Any, tuple[str, ...], str], TrainingModule]


def build_module(config: TrainConfig, classes: tuple[str, ...], model_id: str) -> TrainingModule:
    """Build the training module of a config's family, on the CPU.

    This calls `build` of the family's module with the same arguments. Raises ConfigError for a
    family that the loop does not train and for settings that do not fit, and WeightsError for a
    start that cannot be taken over.
    """
    modules = trained_families()
    if config.family not in modules:
        expected = f"a family that the loop can train ({', '.join(modules)})"
        raise ConfigError("family", expected=expected, found=repr(config.family))
    build: Builder = importing.load(modules[config.family]).build
    return build(config, classes, model_id)
