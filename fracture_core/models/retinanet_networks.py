"""torchvision's RetinaNets and a light one: built from a card, recognised by their tensors."""

import re
from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import Any, Self

import torch
from pydantic import Field, model_validator
from torch import nn
from torchvision.models import get_model
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.retinanet import RetinaNet, RetinaNetHead

from fracture_core.errors import ConfigError
from fracture_core.models.adapter import drawn_from
from fracture_core.models.architectures import named_classes, shape_of, unknown_state
from fracture_core.models.cards import ModelCard
from fracture_core.models.light_pyramid import (
    ASPECT_RATIOS,
    Pyramid,
    PyramidShape,
    anchor_note,
    pyramid_in,
)
from fracture_core.models.state_dicts import State, fit, read_state, unwrap
from fracture_core.models.torchvision_detector import (
    COCO_RESNET50_EPS,
    NORM_EPS,
    TorchvisionArchitecture,
    guess_norm_eps,
    published_classes,
    set_norm_eps,
)
from fracture_core.nets.limits import check_name
from fracture_core.nets.mobile import MOBILES
from fracture_core.nets.pretrained import imagenet_state

LIGHT = "retinanet_light"
_FIRST, _V2 = "retinanet_resnet50_fpn", "retinanet_resnet50_fpn_v2"
FAMILY = "retinanet"
# The length to which an image's shorter side is scaled, and the most for the longer, in pixels.
INPUT_SIZES = {_FIRST: (800, 1333), _V2: (800, 1333), LIGHT: (320, 384)}
ANCHORS_A_CELL = 9
CLASS_HEAD = "head.classification_head.cls_logits."
_ANCHOR_PX = 16
_LEVELS = 3
# As torchvision's v2 has it: 256 channels in 32 groups.
_CHANNELS_A_GROUP = 8
# How torchvision named a head's layers before they could have norms; the weights that it publishes
# still have these names.
_OLD_LAYER = re.compile(r"(head\.(?:classification|regression)_head\.conv)\.(\d)\.(weight|bias)")


class RetinaNetShape(PyramidShape):
    """The sizes of a light RetinaNet.

    The anchors of a level have three sizes, a third of an octave apart; `anchor_sizes_px` is the
    smallest of them. Both heads have the pyramid's width, in groups of 8 channels.
    """

    pyramid_width: int = Field(
        default=64, ge=_CHANNELS_A_GROUP, le=512, multiple_of=_CHANNELS_A_GROUP
    )
    anchor_sizes_px: tuple[int, ...] = Field(
        default=tuple(_ANCHOR_PX * 2**level for level in range(_LEVELS)), min_length=1, max_length=4
    )


class RetinaNetArchitecture(TorchvisionArchitecture):
    """A RetinaNet's architecture.

    `background` tells whether the network's first class is the background, as torchvision counts
    classes; it is trained to be nowhere and is never found. `light` is the shape of the light
    network, None for all others; the `norm_eps` is not set in one with a mobile backbone, which has
    its own.
    """

    background: bool = True
    light: RetinaNetShape | None = None

    @model_validator(mode="after")
    def _shape_belongs_to_the_light_network(self) -> Self:
        if (self.light is not None) != (self.name == LIGHT):
            raise ValueError(f"light: expected for {LIGHT} and no other network")
        return self


def architecture_on(card: ModelCard) -> RetinaNetArchitecture:
    """Returns the architecture on a card; raises WeightsError where it is malformed."""
    return RetinaNetArchitecture.of(card)


def from_library(name: str, weights: str) -> tuple[RetinaNetArchitecture, tuple[str, ...]]:
    """Returns the architecture that torchvision has by this name, and its classes.

    Without `weights` there is one class. Raises ConfigError where either name is unknown.
    """
    check_name("RetinaNet", name, INPUT_SIZES)
    if weights and name == LIGHT:
        raise ConfigError(f"weights of {name}", expected="none", found=repr(weights))
    classes = published_classes(name, weights) if weights else ("class 0",)
    architecture = RetinaNetArchitecture(
        name=name,
        weights=weights,
        max_size=INPUT_SIZES[name][1],
        norm_eps=COCO_RESNET50_EPS if weights and name == _FIRST else NORM_EPS,
        light=RetinaNetShape() if name == LIGHT else None,
    )
    return architecture, classes


def build_network(architecture: RetinaNetArchitecture, *, class_count: int, min_size: int) -> Any:
    """Returns the network, with random weights or those that torchvision publishes under its name.

    `class_count` does not count the background; `min_size` is the input's shorter side in pixels.
    Raises ConfigError and WeightsError.
    """
    check_name("RetinaNet", architecture.name, INPUT_SIZES)
    with drawn_from(architecture.seed):
        network = _build(architecture, class_count, min_size)
    if architecture.weights:
        state = imagenet_state(architecture.name, architecture.weights)
        source = Path(f"{architecture.name}:{architecture.weights}")
        fit(network, state, source, canonical=present_name)
    return network


def describe_weights(
    weights: Path, classes: tuple[str, ...] | None
) -> tuple[RetinaNetArchitecture, tuple[str, ...], str]:
    """Returns architecture, classes and a note, from the tensors in a file; raises WeightsError.

    The first class is taken for the background unless there is a name for every class.
    """
    state = read_weights(weights)
    columns, rest = divmod(shape_of(state, f"{CLASS_HEAD}weight", 4, weights)[0], ANCHORS_A_CELL)
    if rest or not columns:
        raise unknown_state(state, weights, f"a RetinaNet of {ANCHORS_A_CELL} anchors a cell")
    background = columns > 1 and (classes is None or len(classes) != columns)
    about = " (the background is none)" if background else ""
    classes = named_classes(classes, columns - background, weights, note=about)
    architecture, note = _architecture_of(state, weights, background)
    with torch.device("meta"):
        fit(_build(architecture, len(classes), INPUT_SIZES[architecture.name][0]), state, weights)
    return architecture, classes, note


def present_name(name: str) -> str:
    """Returns a tensor's name as torchvision has it today.

    Example:
        >>> present_name("head.regression_head.conv.2.bias")
        'head.regression_head.conv.1.0.bias'
    """
    old = _OLD_LAYER.fullmatch(name)
    return f"{old[1]}.{int(old[2]) // 2}.0.{old[3]}" if old else name


def read_weights(weights: Path) -> State:
    """Returns the tensors of a file by their present names, unwrapped; raises WeightsError."""
    given = read_state(weights)
    state = unwrap(given, _is_retinanet)
    if state is None:
        raise unknown_state(given, weights, "a state dict of torchvision's RetinaNet")
    return {present_name(name): tensor for name, tensor in state.items()}


def _is_retinanet(names: Collection[str]) -> bool:
    return f"{CLASS_HEAD}weight" in names


def _architecture_of(
    state: State, weights: Path, background: bool
) -> tuple[RetinaNetArchitecture, str]:
    name, light, eps, note = _FIRST, None, NORM_EPS, ""
    if "backbone.fpn.extra_blocks.p6.weight" not in state:
        name, light = LIGHT, _shape_in(state, weights)
        note = anchor_note(light.anchor_sizes_px)
    elif "head.classification_head.conv.0.1.weight" in state:
        name = _V2
    else:
        eps, note = guess_norm_eps(state)
    architecture = RetinaNetArchitecture(
        name=name,
        max_size=INPUT_SIZES[name][1],
        norm_eps=eps,
        background=background,
        light=light,
    )
    return architecture, note


def _shape_in(state: State, weights: Path) -> RetinaNetShape:
    """The shape that the tensors tell, with the usual sizes of anchors."""
    pyramid = pyramid_in(state, weights)
    levels: Any = pyramid["anchor_sizes_px"]
    sizes = [_ANCHOR_PX * 2**level for level in range(len(levels))]
    return RetinaNetShape.told({**pyramid, "anchor_sizes_px": sizes}, weights)


def _build(architecture: RetinaNetArchitecture, class_count: int, min_size: int) -> Any:
    columns, light = class_count + architecture.background, architecture.light
    if light is None:
        network = get_model(
            architecture.name,
            weights=None,
            weights_backbone=None,
            num_classes=columns,
            min_size=min_size,
            max_size=architecture.max_size,
        )
    else:
        network = _build_light(light, columns, min_size, architecture.max_size)
    if light is None or light.backbone not in MOBILES:
        set_norm_eps(network.backbone, architecture.norm_eps)
    return network.eval().requires_grad_(False)


def _build_light(shape: RetinaNetShape, columns: int, min_size: int, max_size: int) -> Any:
    """Builds the light network.

    Its heads are narrow, so they are normalised and boxes learn by GIoU, as in torchvision's v2.
    """
    sizes = tuple(
        tuple(int(size * 2 ** (third / 3)) for third in range(3)) for size in shape.anchor_sizes_px
    )
    norm = partial(nn.GroupNorm, shape.pyramid_width // _CHANNELS_A_GROUP)
    head = RetinaNetHead(shape.pyramid_width, ANCHORS_A_CELL, columns, norm_layer=norm)
    head.regression_head._loss_type = "giou"
    return RetinaNet(
        Pyramid(shape),
        columns,
        min_size=min_size,
        max_size=max_size,
        anchor_generator=AnchorGenerator(sizes, (ASPECT_RATIOS,) * len(sizes)),
        head=head,
    )
