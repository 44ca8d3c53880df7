"""What a YOLO checkpoint says of its network, read in a process of its own."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from fracture_core.models.checkpoints.places import TensorPlace
from fracture_core.models.checkpoints.process import read_contents
from fracture_core.models.state_dicts import read_tensors


@dataclass(frozen=True, slots=True, kw_only=True)
class YoloWeights:
    """A checkpoint before its network is built: nothing here is trusted yet.

    `architecture` is the yaml as a dict, `places` tells by their state dict names where the tensors
    lie in the file.
    """

    path: Path
    architecture: dict[str, Any]
    classes: tuple[str, ...]
    input_size: int
    places: dict[str, TensorPlace]

    def read_tensors(self) -> dict[str, Tensor]:
        return read_tensors(self.path, self.places)


def read_yolo_weights(path: Path) -> YoloWeights:
    """Open a `.pt` of Ultralytics, the averaged weights (EMA) before the last ones.

    Raises WeightsError; nothing in the file runs.
    """
    read = read_contents(path, "yolo")
    return YoloWeights(
        path=path,
        architecture=read.facts["architecture"],
        classes=tuple(read.facts["classes"]),
        input_size=read.facts["input_size"],
        places=read.places,
    )
