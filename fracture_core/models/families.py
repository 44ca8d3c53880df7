"""The model families there are, each declared here and imported on first use.

A family of another package comes in by its entry point in the group `fracture_core.families`, which
names a `ModelFamily` (see `fracture_core.extensions`).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from fracture_core import importing
from fracture_core.errors import ConfigError
from fracture_core.extensions import load_extensions
from fracture_core.models.base import Family
from fracture_core.models.cards import ModelCard

GROUP = "fracture_core.families"


class ClassRows(NamedTuple):
    """Where a state dict of the family tells its number of classes.

    The tensor has `anchors` rows for each class, and as many for each of `others` that are no
    class, such as a background.
    """

    tensor: str
    others: int = 0
    anchors: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFamily:
    """One family, described without importing it.

    `name` is the family on cards, and `module` declares its class, which implements `Family`, as
    `ADAPTER`. `names` is a pattern of the whole names that its `from_name` takes ("" = none), and
    `example` one of them. `takes_files` tells whether its `describe` makes a card of a weights
    file, `has_gate` whether it offers `explain_gate`. `class_rows` recognises a weights file of the
    family from which a training can begin, and tells its number of classes. `trainer` is the module
    whose `build` makes what the training loop trains; "" means that the loop does not train the
    family.
    """

    name: str
    module: str
    names: str = ""
    example: str = ""
    takes_files: bool = True
    has_gate: bool = False
    class_rows: ClassRows | None = None
    trainer: str = ""


_OURS: tuple[ModelFamily, ...] = (
    ModelFamily(name="consensus", module="fracture_core.models.consensus"),
    ModelFamily(
        name="efficientnet_gate",
        module="fracture_core.models.efficientnet_gate",
        names=r"efficientnet_.*",
        example="efficientnet_b4:IMAGENET1K_V1",
        has_gate=True,
        class_rows=ClassRows("head.4.weight"),
        trainer="trainers.families.efficientnet_gate",
    ),
    ModelFamily(name="fake", module="fracture_core.models.fake", takes_files=False),
    ModelFamily(
        name="faster_rcnn",
        module="fracture_core.models.faster_rcnn",
        names=r"fasterrcnn_.*",
        example="fasterrcnn_resnet50_fpn:COCO_V1",
        class_rows=ClassRows("roi_heads.box_predictor.cls_score.weight", others=1),
        trainer="trainers.families.faster_rcnn",
    ),
    ModelFamily(
        name="resnet",
        module="fracture_core.models.resnet",
        names=r"resnet.*",
        example="resnet50:IMAGENET1K_V2",
        class_rows=ClassRows("fc.weight"),
        trainer="trainers.families.resnet",
    ),
    ModelFamily(
        name="retinanet",
        module="fracture_core.models.retinanet",
        names=r"retinanet_.*",
        example="retinanet_resnet50_fpn:COCO_V1",
        class_rows=ClassRows("head.classification_head.cls_logits.weight", others=1, anchors=9),
        trainer="trainers.families.retinanet",
    ),
    ModelFamily(
        name="yolo",
        module="fracture_core.models.yolo",
        names=r"(?i:.*\.ya?ml)",
        example="yolo11n.yaml",
    ),
    ModelFamily(
        name="scratch_detr",
        module="fracture_core.models.scratch_detr",
        names=r"scratch:.*",
        example="scratch:tiny",
        class_rows=ClassRows("class_head.weight", others=1),
        trainer="trainers.families.scratch_detr",
    ),
    ModelFamily(
        name="hf_detr",
        module="fracture_core.models.hf_detr",
        # "owner/model" on the hub, "architecture:random" for random weights.
        names=r"(?a:\w[\w.\-]*/\w[\w\-]*)|.*:(random|small|tiny)",
        example="facebook/detr-resnet-50",
        class_rows=ClassRows("class_labels_classifier.weight", others=1),
        trainer="trainers.families.hf_detr",
    ),
)
"""Our own families, in the order in which `family_of` tries a name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """All families by name, our own first.

    `broken` has a sentence on each that cannot be loaded.
    """

    families: Mapping[str, ModelFamily]
    broken: tuple[str, ...]


@cache
def installed() -> Installed:
    """Returns our families and those of other packages, which are looked for once a process."""
    ours = {each.name: each for each in _OURS}
    others = load_extensions(GROUP, ModelFamily, ours)
    families = ours | {each.name: each for each in others.found}
    return Installed(families=families, broken=others.broken)


def find_family(name: str) -> ModelFamily:
    """Returns the declaration of a family; raises ConfigError for one that is not known."""
    families = installed().families
    if name not in families:
        raise ConfigError(name, expected=f"a model family ({', '.join(families)})", found="none")
    return families[name]


def family(name: str) -> Family:
    """Returns the family's class; its module is imported on first use, by one thread at a time.

    Raises ConfigError for a family that is not known.
    """
    found: Family = importing.load(find_family(name).module).ADAPTER
    return found


def offers_gate(card: ModelCard) -> bool:
    """Tells whether a model is a `Gated` one, with an attention gate to show beside its map."""
    known = installed().families.get(card.family)
    return known is not None and known.has_gate


def examples() -> tuple[str, ...]:
    """Returns names that a family's library knows, one of each family that has any."""
    return tuple(each.example for each in installed().families.values() if each.example)


def family_of(name: str) -> str:
    """Returns the name of the family that knows a model's name.

    Raises ConfigError where none does.
    """
    for each in installed().families.values():
        if each.names and re.fullmatch(each.names, name):
            return each.name
    raise ConfigError(
        name,
        expected="a model of the library, a .pt file or a known name",
        found="none of these",
        advice=f"Names look like {', '.join(examples())}.",
    )
