"""The model families there are, each in a module that is imported on first use.

A family's module declares its class, which keeps `Family`, as `ADAPTER`.
"""

from fracture_core import importing
from fracture_core.errors import ConfigError
from fracture_core.models.base import Family

FAMILIES: dict[str, str] = {
    "consensus": "fracture_core.models.consensus",
    "efficientnet_gate": "fracture_core.models.efficientnet_gate",
    "fake": "fracture_core.models.fake",
    "faster_rcnn": "fracture_core.models.faster_rcnn",
    "resnet": "fracture_core.models.resnet",
    "yolo": "fracture_core.models.yolo",
    "hf_detr": "fracture_core.models.hf_detr",
    "scratch_detr": "fracture_core.models.scratch_detr",
}


def check_family(name: str) -> None:
    """Raises ConfigError for a family that is not known; imports nothing."""
    if name not in FAMILIES:
        raise ConfigError(name, expected=f"a model family ({', '.join(FAMILIES)})", found="none")


def family(name: str) -> Family:
    """The family's class, imported with its libraries on first use, by one thread at a time."""
    check_family(name)
    found: Family = importing.load(FAMILIES[name]).ADAPTER
    return found
