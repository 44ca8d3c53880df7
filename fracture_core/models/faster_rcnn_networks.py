"""Faster R-CNN networks, torchvision's and a light one: built from a card, recognised by tensors.

The light one has torchvision's parts on a narrow backbone and pyramid (`light_pyramid`).
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor
from torchvision.models import get_model
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.ops import MultiScaleRoIAlign

from fracture_core.errors import ConfigError
from fracture_core.models.adapter import drawn_from
from fracture_core.models.architectures import (
    named_classes,
    shape_of,
    unknown_state,
)
from fracture_core.models.cards import ModelCard
from fracture_core.models.light_pyramid import (
    ASPECT_RATIOS,
    Pyramid,
    PyramidShape,
    anchor_note,
    mobile_in,
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

# ---- the light network ---------------------------------------------------------------------------

NAME = "fasterrcnn_light"
_POOLED_CELLS = 7
_MOST_PROPOSALS = 300
# In training alone: proposals before NMS, and those that the second stage learns from. With
# torchvision's 2,000 and 512 they would be most of the work of a network as small as this.
_MOST_PROPOSALS_BEFORE_NMS = 1_000
_PROPOSALS_LEARNT_FROM = 128
_TORCHVISION_PYRAMID_WIDTH = 256


class LightShape(PyramidShape):
    """The sizes of a light network.

    `head_width` is the channels of the second stage's two layers.
    """

    head_width: int = Field(default=256, ge=1, le=2048)


def build_light(shape: LightShape, *, class_count: int, min_size: int, max_size: int) -> Any:
    """Returns the network with random weights; `class_count` does not count the background."""
    sizes = tuple((size,) for size in shape.anchor_sizes_px)
    names = [str(level) for level in range(len(sizes))]
    return FasterRCNN(
        Pyramid(shape),
        min_size=min_size,
        max_size=max_size,
        rpn_anchor_generator=AnchorGenerator(sizes, (ASPECT_RATIOS,) * len(sizes)),
        rpn_pre_nms_top_n_train=_MOST_PROPOSALS_BEFORE_NMS,
        rpn_post_nms_top_n_train=_MOST_PROPOSALS,
        rpn_post_nms_top_n_test=_MOST_PROPOSALS,
        box_batch_size_per_image=_PROPOSALS_LEARNT_FROM,
        box_roi_pool=MultiScaleRoIAlign(names, output_size=_POOLED_CELLS, sampling_ratio=2),
        box_head=TwoMLPHead(shape.pyramid_width * _POOLED_CELLS**2, shape.head_width),
        box_predictor=FastRCNNPredictor(shape.head_width, class_count + 1),
    )


def is_light(state: Mapping[str, Tensor]) -> bool:
    """Tells whether a Faster R-CNN's state has a backbone or a pyramid unlike torchvision's own."""
    if mobile_in(state) is not None:
        return True
    basic = "backbone.body.layer1.0.conv3.weight" not in state
    pyramid = state.get("backbone.fpn.inner_blocks.0.0.weight")
    narrow = pyramid is not None and len(pyramid) != _TORCHVISION_PYRAMID_WIDTH
    return "backbone.body.layer1.0.conv1.weight" in state and (basic or narrow)


def shape_in(state: Mapping[str, Tensor], weights: Path) -> tuple[LightShape, str]:
    """Returns the shape that the tensors tell, and a note on what they do not.

    Raises WeightsError.
    """
    pyramid = pyramid_in(state, weights)
    head_width = shape_of(state, "roi_heads.box_head.fc6.weight", 2, weights)[0]
    shape = LightShape.told({**pyramid, "head_width": head_width}, weights)
    return shape, anchor_note(shape.anchor_sizes_px)


# ---- all networks --------------------------------------------------------------------------------

FAMILY = "faster_rcnn"
# The length to which an image's shorter side is scaled, and the most for the longer, in pixels.
INPUT_SIZES = {
    "fasterrcnn_resnet50_fpn": (800, 1333),
    "fasterrcnn_resnet50_fpn_v2": (800, 1333),
    "fasterrcnn_mobilenet_v3_large_fpn": (800, 1333),
    "fasterrcnn_mobilenet_v3_large_320_fpn": (320, 640),
    NAME: (320, 384),
}
_PRIMING_SIZE_PX = 256
_HEAD = "roi_heads.box_predictor.cls_score.weight"


class FasterRcnnArchitecture(TorchvisionArchitecture):
    """A Faster R-CNN's architecture.

    `light` is the shape of the light network, None for all others. The `norm_eps` is not set in a
    light network with a mobile backbone, which has its own.
    """

    light: LightShape | None = None

    @model_validator(mode="after")
    def _shape_belongs_to_the_light_network(self) -> Self:
        if (self.light is not None) != (self.name == NAME):
            raise ValueError(f"light: expected for {NAME} and no other network")
        return self


def architecture_on(card: ModelCard) -> FasterRcnnArchitecture:
    """Returns the architecture on a card; raises WeightsError where it is malformed."""
    return FasterRcnnArchitecture.of(card)


def from_library(name: str, weights: str) -> tuple[FasterRcnnArchitecture, tuple[str, ...]]:
    """Returns the architecture that torchvision has by this name, and its classes.

    Without `weights` there is one class. Raises ConfigError where either name is unknown.
    """
    check_name("Faster R-CNN", name, INPUT_SIZES)
    if not weights:
        light = LightShape() if name == NAME else None
        architecture = FasterRcnnArchitecture(name=name, max_size=INPUT_SIZES[name][1], light=light)
        return architecture, ("class 0",)
    if name == NAME:
        raise ConfigError(f"weights of {name}", expected="none", found=repr(weights))
    classes = published_classes(name, weights)
    eps = COCO_RESNET50_EPS if name == "fasterrcnn_resnet50_fpn" else NORM_EPS
    architecture = FasterRcnnArchitecture(
        name=name, weights=weights, max_size=INPUT_SIZES[name][1], norm_eps=eps
    )
    return architecture, classes


def build_network(architecture: FasterRcnnArchitecture, *, class_count: int, min_size: int) -> Any:
    """Returns the network, with random weights or those that torchvision publishes under its name.

    `class_count` does not count the background; `min_size` is the input's shorter side in pixels.
    Raises ConfigError and WeightsError.
    """
    check_name("Faster R-CNN", architecture.name, INPUT_SIZES)
    with drawn_from(architecture.seed):
        network = _build(architecture, class_count, min_size)
    if architecture.weights:
        state = imagenet_state(architecture.name, architecture.weights)
        fit(network, state, Path(f"{architecture.name}:{architecture.weights}"))
    _prime(network)
    return network


def describe_weights(
    weights: Path, classes: tuple[str, ...] | None
) -> tuple[FasterRcnnArchitecture, tuple[str, ...], str]:
    """Returns architecture, classes and a note, from the tensors in a file; raises WeightsError."""
    state = read_weights(weights)
    name = _name_of(state)
    count = shape_of(state, _HEAD, 2, weights)[0] - 1
    if count < 1:
        raise unknown_state(state, weights, "a Faster R-CNN of at least one class")
    classes = named_classes(classes, count, weights, note=" (the background is none)")
    architecture, note = _architecture_of(name, state, weights)
    with torch.device("meta"):
        fit(_build(architecture, count, INPUT_SIZES[name][0]), state, weights)
    return architecture, classes, note


def read_weights(weights: Path) -> State:
    """Returns the tensors of a file, freed of what they were wrapped in; raises WeightsError."""
    given = read_state(weights)
    state = unwrap(given, _is_faster_rcnn)
    if state is None:
        raise unknown_state(given, weights, "a state dict of torchvision's Faster R-CNN")
    return state


def _is_faster_rcnn(names: Collection[str]) -> bool:
    return _HEAD in names


def _architecture_of(name: str, state: State, weights: Path) -> tuple[FasterRcnnArchitecture, str]:
    max_size = INPUT_SIZES[name][1]
    if name == NAME:
        light, note = shape_in(state, weights)
        return FasterRcnnArchitecture(name=name, max_size=max_size, light=light), note
    eps, note = _norm_eps(name, state)
    return FasterRcnnArchitecture(name=name, max_size=max_size, norm_eps=eps), note


def _name_of(state: State) -> str:
    if is_light(state):
        return NAME
    if "roi_heads.box_head.fc6.weight" not in state:
        return "fasterrcnn_resnet50_fpn_v2"
    if "backbone.body.conv1.weight" in state:
        return "fasterrcnn_resnet50_fpn"
    return "fasterrcnn_mobilenet_v3_large_fpn"


def _norm_eps(name: str, state: State) -> tuple[float, str]:
    """Returns what the tensors do not tell, and in words for the card how it was decided."""
    if name == "fasterrcnn_mobilenet_v3_large_fpn":
        note = (
            "The 320 variant has the same tensors: if this is one, set the architecture's name "
            "to fasterrcnn_mobilenet_v3_large_320_fpn, max_size to 640 and input_size to 320."
        )
        return NORM_EPS, note
    return guess_norm_eps(state) if name == "fasterrcnn_resnet50_fpn" else (NORM_EPS, "")


def _build(architecture: FasterRcnnArchitecture, class_count: int, min_size: int) -> Any:
    max_size = architecture.max_size
    if architecture.light is not None:
        network = build_light(
            architecture.light, class_count=class_count, min_size=min_size, max_size=max_size
        )
    else:
        network = get_model(
            architecture.name,
            weights=None,
            weights_backbone=None,
            num_classes=class_count + 1,
            min_size=min_size,
            max_size=max_size,
        )
    light = architecture.light
    if light is None or light.backbone not in MOBILES:
        set_norm_eps(network.backbone, architecture.norm_eps)
    return network.eval().requires_grad_(False)


@torch.no_grad()
def _prime(network: Any) -> None:
    """Lets the pooler learn the strides of its levels from a square image.

    It infers them once, from the heights of the first image it sees, and gets them wrong for good
    where that one is a thin strip.
    """
    pooler: MultiScaleRoIAlign = network.roi_heads.box_roi_pool
    side = _PRIMING_SIZE_PX
    features = network.backbone(torch.zeros(1, 3, side, side))
    pooler(features, [torch.tensor([[0.0, 0.0, side, side]])], [(side, side)])
