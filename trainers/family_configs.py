"""The training config of each family, and how configs are read and written.

A config is the common part (`trainers.config`) and what its family adds: the network's parameters
and, in sections, the settings of its loss. It is kept as `config.json` in the run's folder, and is
made from plain values by the command line and the page of trainings.

Before there were sections all settings stood side by side, in files and behind `--set`. Such flat
names are still read: each setting is moved into its section.
"""

import json
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import BaseModel, Field, ValidationError

from fracture_core import importing
from fracture_core.errors import ConfigError
from fracture_core.files import write_text
from fracture_core.models.families import installed
from trainers.config import Settings, TrainConfig
from trainers.networks import (
    EfficientNetGateNetwork,
    FasterRcnnNetwork,
    HfDetrNetwork,
    ResNetNetwork,
    RetinaNetNetwork,
    ScratchDetrNetwork,
    Share,
    YoloNetwork,
)

# ---- one config for each family -----------------------------------------------------------------

_BOX_MONITORS = ("loss", "ap", "ap50", "f1", "any_hit_f1")
# Settings of augmentation for networks that take images of any size and know where one ends.
_OF_SIZES = tuple(f"augment.{name}" for name in ("sizes", "longest", "crop_sizes", "crop_sides"))


class Classification(Settings):
    """What a classifier learns, and how its loss weighs the classes."""

    classify: Literal["class", "findings"] = "class"
    """Learn the image's class, or whether there is any finding (healthy, fracture)."""
    class_weights: Literal["equal", "balanced"] = "equal"
    """Balanced weights make rare classes count as much as frequent ones."""
    class_multipliers: dict[str, float] = Field(default={})
    """Further factors of the weights of single classes, by name; those of classes that the data set
    does not have are without effect."""
    focal_share: Share = 0.0
    """Share of the focal term in the loss; the rest is cross-entropy."""
    focal_gamma: Annotated[float, Field(ge=0)] = 2.0
    """Exponent of the focal term."""
    focal_of: Literal["sample", "batch"] = "sample"
    """Take the focal term of each image or, as R4 published it, of the batch's mean loss."""
    focal_weighted: bool = False
    """Whether the class weights act on the focal term, too, as in R4."""

    def without_effect(self, classes: tuple[str, ...]) -> str:
        """Return a sentence about multipliers of classes that are not there; "" = there is none.

        Example:
            >>> Classification(class_multipliers={"Spiral": 2.0}).without_effect(("Linear",))
            'Class multipliers without effect, as the data set has no such class: Spiral.'
        """
        unknown = ", ".join(name for name in self.class_multipliers if name not in classes)
        about = "Class multipliers without effect, as the data set has no such class"
        return f"{about}: {unknown}." if unknown else ""


class SetLossWeights(Settings):
    """The weights of DETR's set loss; its assignment of queries to objects uses the same ones."""

    class_weight: Annotated[float, Field(ge=0)] = 1.0
    """Weight of the cross-entropy."""
    l1_weight: Annotated[float, Field(ge=0)] = 5.0
    """Weight of the L1 distance between boxes."""
    giou_weight: Annotated[float, Field(ge=0)] = 2.0
    """Weight of the generalised IoU (GIoU) of boxes."""
    no_object_weight: Annotated[float, Field(ge=0)] = 0.1
    """Weight of the class "no object"."""


class ClassifierConfig(TrainConfig):
    """The common part of the configs of both families of classifiers."""

    monitors: ClassVar[tuple[str, ...]] = (
        "accuracy",
        "balanced_accuracy",
        "loss",
        "macro_f1",
        "weighted_f1",
    )
    unused: ClassVar[tuple[str, ...]] = ("match_iou", "augment.least_left", *_OF_SIZES)

    classification: Classification = Classification()
    """What is learned, and the weights of the loss."""


class ResNetConfig(ClassifierConfig):
    """The config of the ResNet family, which also has the small networks."""

    family: Literal["resnet"] = "resnet"
    """The model family."""
    network: ResNetNetwork = ResNetNetwork()
    """Parameters of the architecture, by the names on the model card."""


class EfficientNetGateConfig(ClassifierConfig):
    """The config of EfficientNet with an attention gate."""

    family: Literal["efficientnet_gate"] = "efficientnet_gate"
    """The model family."""
    network: EfficientNetGateNetwork = EfficientNetGateNetwork()
    """Parameters of the architecture, by the names on the model card."""


class SetLossConfig(TrainConfig):
    """The common part of the configs of both DETR families, which are trained by the set loss."""

    monitors: ClassVar[tuple[str, ...]] = _BOX_MONITORS

    set_loss: SetLossWeights = SetLossWeights()
    """The weights of the loss."""


class ScratchDetrConfig(SetLossConfig):
    """The config of DETR from scratch."""

    family: Literal["scratch_detr"] = "scratch_detr"
    """The model family."""
    network: ScratchDetrNetwork = ScratchDetrNetwork()
    """Parameters of the architecture, by the names on the model card."""


class HfDetrConfig(SetLossConfig):
    """The config of DETR of transformers and its relatives.

    Those that have a loss of their own keep the defaults of `set_loss`, which they do not use.
    """

    family: Literal["hf_detr"] = "hf_detr"
    """The model family."""
    network: HfDetrNetwork = HfDetrNetwork()
    """Parameters of the architecture, by the names on the model card."""


class SuppressedConfig(TrainConfig):
    """The common part of the configs of families whose raw boxes overlap and need NMS."""

    nms_iou: Share = 0.5
    """The NMS IoU at which overlapping boxes are merged before they are matched."""

    @property
    def merged_at(self) -> float:
        return self.nms_iou


class FasterRcnnConfig(SuppressedConfig):
    """The config of torchvision's Faster R-CNN."""

    monitors: ClassVar[tuple[str, ...]] = _BOX_MONITORS

    family: Literal["faster_rcnn"] = "faster_rcnn"
    """The model family."""
    network: FasterRcnnNetwork = FasterRcnnNetwork()
    """Parameters of the architecture, by the names on the model card."""


class RetinaNetConfig(SuppressedConfig):
    """The config of torchvision's RetinaNet."""

    monitors: ClassVar[tuple[str, ...]] = _BOX_MONITORS

    family: Literal["retinanet"] = "retinanet"
    """The model family."""
    network: RetinaNetNetwork = RetinaNetNetwork()
    """Parameters of the architecture, by the names on the model card."""


class YoloConfig(SuppressedConfig):
    """The config of YOLO, which Ultralytics' own trainer trains."""

    monitors: ClassVar[tuple[str, ...]] = ("loss", "ap", "ap50", "mask_ap", "mask_ap50")
    # Ultralytics' trainer has nothing that corresponds to these.
    unused: ClassVar[tuple[str, ...]] = (
        "augment.contrast",
        "augment.blur",
        "augment.blur_sigma",
        *_OF_SIZES,
        "backbone_lr",
        "frozen_epochs",
        "frozen_names",
        "second_phase",
        "fused",
        "data_on_device",
        "shown_confidence",
        "match_iou",
    )

    family: Literal["yolo"] = "yolo"
    """The model family."""
    network: YoloNetwork = YoloNetwork()
    """Parameters of the architecture and further settings of Ultralytics."""


CONFIGS: dict[str, type[TrainConfig]] = {
    "efficientnet_gate": EfficientNetGateConfig,
    "faster_rcnn": FasterRcnnConfig,
    "hf_detr": HfDetrConfig,
    "resnet": ResNetConfig,
    "retinanet": RetinaNetConfig,
    "scratch_detr": ScratchDetrConfig,
    "yolo": YoloConfig,
}
"""The configs of the built-in families, known here so that one is read without importing torch.

Those of extensions are the `CONFIG` of the module that trains them.
"""


def trained_families() -> dict[str, str]:
    """Return the name of the module that trains each family in the loop, by the family's name."""
    return {name: each.trainer for name, each in installed().families.items() if each.trainer}


def config_of(family: object) -> type[TrainConfig]:
    """Return the class of a family's config; raise ConfigError where it cannot be trained.

    Example:
        >>> config_of("resnet").__name__
        'ResNetConfig'
    """
    if isinstance(family, str) and family in CONFIGS:
        return CONFIGS[family]
    modules = trained_families()
    if not isinstance(family, str) or family not in modules:
        known = ", ".join(dict.fromkeys((*CONFIGS, *modules)))
        expected = f"a family that can be trained ({known})"
        raise ConfigError("family", expected=expected, found=repr(family))
    config: type[TrainConfig] = importing.load(modules[family]).CONFIG
    return config


# ---- reading and writing ------------------------------------------------------------------------

_SECTIONS: dict[str, type[Settings]]
_SECTIONS = {"classification": Classification, "set_loss": SetLossWeights}
_SECTION_OF = {name: section for section, kind in _SECTIONS.items() for name in kind.model_fields}


def make_config(values: Mapping[str, object], source: str) -> TrainConfig:
    """Make a config from plain values by dotted or flat name.

    Of two values for the same setting the later one counts. Raises ConfigError, which names
    `source`, for an unknown family or setting and for a value that does not fit.

    Example:
        >>> values = {"family": "resnet", "data": "", "augment": {"flip": 0.5}}
        >>> make_config({**values, "augment.flip": 0.2}, "an example").augment.flip
        0.2
    """
    placed: dict[str, Any] = {}
    for name, value in values.items():
        _place(placed, name, value)
    kind = config_of(placed.get("family"))
    try:
        return kind.model_validate(placed)
    except ValidationError as error:
        raise _refused(source, kind, error, values) from error


def read_config(path: Path) -> TrainConfig:
    """Read the config in a JSON file.

    Raises ConfigError where it cannot be read, and as `make_config` does. Flat files have the
    settings of all families; those of others are passed over.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(path, expected="a training config", found=str(error)[:200]) from error
    if not isinstance(values, dict):
        raise ConfigError(path, expected="a training config", found=type(values).__name__)
    return make_config(_without_others(values), path.name)


def write_config(config: TrainConfig, path: Path) -> None:
    """Write a config as JSON, replacing the file only once it is complete; raises StorageError."""
    write_text(path, json.dumps(config.model_dump(mode="json"), indent=2) + "\n")


def _place(values: dict[str, Any], name: str, value: object) -> None:
    """Put a value in its place: `augment.flip` sets one setting of a group, the others stay."""
    first = name.partition(".")[0]
    dotted = f"{_SECTION_OF[first]}.{name}" if first in _SECTION_OF else name
    *groups, last = dotted.split(".")
    for group in groups:
        inner = values.setdefault(group, {})
        if not isinstance(inner, dict):
            raise ConfigError(name, expected="a group of settings before the dot", found=group)
        values = inner
    values[last] = deepcopy(value)


def _without_others(values: dict[str, object]) -> dict[str, object]:
    """The settings of a flat file without those of other families, which never had an effect."""
    if not any(name in _SECTION_OF for name in values):
        return values
    own = config_of(values.get("family")).model_fields
    idle = {name for name, section in _SECTION_OF.items() if section not in own}
    idle |= {"nms_iou"} - set(own)
    return {name: value for name, value in values.items() if name not in idle}


def _refused(
    source: str, kind: type[TrainConfig], error: ValidationError, values: Mapping[str, object]
) -> ConfigError:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"]) or "the file"
    if first["type"] != "extra_forbidden":
        return ConfigError(where, expected=f"a valid setting in {source}", found=first["msg"])
    # Where a flat name was given, the error names it and not the section.
    where = next((name for name in values if _SECTION_OF.get(name) == where), where)
    known = ", ".join(_group_at(kind, first["loc"][:-1]).model_fields)
    return ConfigError(
        where,
        expected=f"a setting of a training of the family {kind.model_fields['family'].default}",
        found="none of that name",
        advice=f"There are: {known}.",
    )


def _group_at(kind: type[BaseModel], location: tuple[int | str, ...]) -> type[BaseModel]:
    """The class of the group of settings at a place in a config."""
    for part in location:
        annotation = kind.model_fields[str(part)].annotation
        kind = next(
            each
            for each in (annotation, *get_args(annotation))
            if isinstance(each, type) and issubclass(each, BaseModel)
        )
    return kind
