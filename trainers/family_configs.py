"""What the trainings of each family are told beside what all of them are.

Configs from plain values and as `config.json`; their family says which settings there are.

Before settings had sections they all stood side by side, in files and behind `--set`. Such flat
names are still read: each setting is moved into the section that it has now.
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

_BOX_MONITORS = ("loss", "ap", "ap50", "f1", "any_hit_f1")


class Classification(Settings):
    """What a classifier learns, and how its loss weighs it."""

    classify: Literal["class", "findings"] = "class"
    """By the image's class, or whether there is any finding (healthy, fracture)."""
    class_weights: Literal["equal", "balanced"] = "equal"
    """Balanced weighs every class by its rarity."""
    class_multipliers: dict[str, float] = Field(default={})
    """Further factors of single classes; names of no class are refused."""
    focal_share: Share = 0.0
    """Share of the focal term in the loss, the rest is cross-entropy."""
    focal_gamma: Annotated[float, Field(ge=0)] = 2.0
    """Exponent of the focal term."""
    focal_of: Literal["sample", "batch"] = "sample"
    """The focal term of each image, or, as R4 published it, of the batch's mean."""


class SetLossWeights(Settings):
    """The weights of DETR's loss, which are those of its assignment, too."""

    class_weight: Annotated[float, Field(ge=0)] = 1.0
    """Weight of the cross-entropy."""
    l1_weight: Annotated[float, Field(ge=0)] = 5.0
    """Weight of the L1 distance."""
    giou_weight: Annotated[float, Field(ge=0)] = 2.0
    """Weight of the generalised IoU."""
    no_object_weight: Annotated[float, Field(ge=0)] = 0.1
    """Weight of the class "no object"."""


class ClassifierConfig(TrainConfig):
    """Both families of classifiers."""

    monitors: ClassVar[tuple[str, ...]] = (
        "accuracy",
        "balanced_accuracy",
        "loss",
        "macro_f1",
        "weighted_f1",
    )
    unused: ClassVar[tuple[str, ...]] = ("match_iou",)

    classification: Classification = Classification()
    """What is learned, and the loss."""


class ResNetConfig(ClassifierConfig):
    """A ResNet or a small network."""

    family: Literal["resnet"] = "resnet"
    """The model family."""
    network: ResNetNetwork = ResNetNetwork()
    """Parameters of the architecture, by the names on the model card."""


class EfficientNetGateConfig(ClassifierConfig):
    """EfficientNet with an attention gate."""

    family: Literal["efficientnet_gate"] = "efficientnet_gate"
    """The model family."""
    network: EfficientNetGateNetwork = EfficientNetGateNetwork()
    """Parameters of the architecture, by the names on the model card."""


class SetLossConfig(TrainConfig):
    """Both families that are trained by the set loss."""

    monitors: ClassVar[tuple[str, ...]] = _BOX_MONITORS

    set_loss: SetLossWeights = SetLossWeights()
    """The weights of the loss."""


class ScratchDetrConfig(SetLossConfig):
    """DETR from scratch."""

    family: Literal["scratch_detr"] = "scratch_detr"
    """The model family."""
    network: ScratchDetrNetwork = ScratchDetrNetwork()
    """Parameters of the architecture, by the names on the model card."""


class HfDetrConfig(SetLossConfig):
    """DETR of transformers; relatives with a loss of their own keep the set loss's defaults."""

    family: Literal["hf_detr"] = "hf_detr"
    """The model family."""
    network: HfDetrNetwork = HfDetrNetwork()
    """Parameters of the architecture, by the names on the model card."""


class SuppressedConfig(TrainConfig):
    """Families whose raw boxes overlap."""

    nms_iou: Share = 0.5
    """Boxes are merged at this IoU before they are matched."""

    @property
    def merged_at(self) -> float:
        return self.nms_iou


class FasterRcnnConfig(SuppressedConfig):
    """torchvision's Faster R-CNN."""

    monitors: ClassVar[tuple[str, ...]] = _BOX_MONITORS

    family: Literal["faster_rcnn"] = "faster_rcnn"
    """The model family."""
    network: FasterRcnnNetwork = FasterRcnnNetwork()
    """Parameters of the architecture, by the names on the model card."""


class RetinaNetConfig(SuppressedConfig):
    """torchvision's RetinaNet."""

    monitors: ClassVar[tuple[str, ...]] = _BOX_MONITORS

    family: Literal["retinanet"] = "retinanet"
    """The model family."""
    network: RetinaNetNetwork = RetinaNetNetwork()
    """Parameters of the architecture, by the names on the model card."""


class YoloConfig(SuppressedConfig):
    """YOLO, which Ultralytics' own trainer trains."""

    monitors: ClassVar[tuple[str, ...]] = ("loss", "ap", "ap50", "mask_ap", "mask_ap50")
    # Ultralytics' trainer knows nothing like these.
    unused: ClassVar[tuple[str, ...]] = (
        "augment.contrast",
        "augment.blur",
        "augment.blur_sigma",
        "backbone_lr",
        "frozen_epochs",
        "second_phase",
        "fused",
        "data_on_device",
        "trackers",
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
"""Of our own families, so that a config is read without torch; others' stand where they train."""


def trained_families() -> dict[str, str]:
    """The module of each family that the loop trains, by the family's name."""
    return {name: each.trainer for name, each in installed().families.items() if each.trainer}


def config_of(family: object) -> type[TrainConfig]:
    """The class of a family's config; raises ConfigError for one that cannot be trained."""
    if isinstance(family, str) and family in CONFIGS:
        return CONFIGS[family]
    modules = trained_families()
    if not isinstance(family, str) or family not in modules:
        known = ", ".join(dict.fromkeys((*CONFIGS, *modules)))
        expected = f"a family that can be trained ({known})"
        raise ConfigError("family", expected=expected, found=repr(family))
    config: type[TrainConfig] = importing.load(modules[family]).CONFIG
    return config


_SECTIONS: dict[str, type[Settings]]
_SECTIONS = {"classification": Classification, "set_loss": SetLossWeights}
_SECTION_OF = {name: section for section, kind in _SECTIONS.items() for name in kind.model_fields}


def make_config(values: Mapping[str, object], source: str) -> TrainConfig:
    """A config from plain values by dotted or flat name; raises ConfigError named after `source`.

    A later value counts: {"augment": {"flip": 0.5}, "augment.flip": 0.2} flips a fifth.
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
    """The config in a file; raises ConfigError, also for unknown keys."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(path, expected="a training config", found=str(error)[:200]) from error
    if not isinstance(values, dict):
        raise ConfigError(path, expected="a training config", found=type(values).__name__)
    return make_config(_without_others(values), path.name)


def write_config(config: TrainConfig, path: Path) -> None:
    """Write by rename; raises StorageError."""
    write_text(path, json.dumps(config.model_dump(mode="json"), indent=2) + "\n")


def _place(values: dict[str, Any], name: str, value: object) -> None:
    """`augment.flip` sets one setting of a group; the group's others stay."""
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
    """A flat file has the settings of every family; those of others never had an effect."""
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
    # By the name that was given, where that is a flat one.
    where = next((name for name in values if _SECTION_OF.get(name) == where), where)
    known = ", ".join(_group_at(kind, first["loc"][:-1]).model_fields)
    return ConfigError(
        where,
        expected=f"a setting of a training of the family {kind.model_fields['family'].default}",
        found="none of that name",
        advice=f"There are: {known}.",
    )


def _group_at(kind: type[BaseModel], location: tuple[int | str, ...]) -> type[BaseModel]:
    """The model that a place in a config is of."""
    for part in location:
        annotation = kind.model_fields[str(part)].annotation
        kind = next(
            each
            for each in (annotation, *get_args(annotation))
            if isinstance(each, type) and issubclass(each, BaseModel)
        )
    return kind
