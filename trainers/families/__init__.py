"""The families that the loop trains; YOLO goes through Ultralytics' own trainer.

Each is named by the `trainer` of its `ModelFamily`, a module with `build`.
"""

from collections.abc import Callable
from typing import Any

from fracture_core import importing
from fracture_core.errors import ConfigError
from trainers.config import TrainConfig
from trainers.family_configs import trained_families
from trainers.training_module import TrainingModule

# The first is the config of the family.
Builder = Callable[[Any, tuple[str, ...], str], TrainingModule]


def build_module(config: TrainConfig, classes: tuple[str, ...], model_id: str) -> TrainingModule:
    """The network to be trained, on the CPU; raises ConfigError and WeightsError.

    Each family's module has `build` with these arguments.
    """
    modules = trained_families()
    if config.family not in modules:
        expected = f"a family that the loop can train ({', '.join(modules)})"
        raise ConfigError("family", expected=expected, found=repr(config.family))
    build: Builder = importing.load(modules[config.family]).build
    return build(config, classes, model_id)
