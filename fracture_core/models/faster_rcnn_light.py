"""A light Faster R-CNN of torchvision's parts on a `light_pyramid`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field
from torch import Tensor
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.ops import MultiScaleRoIAlign

from fracture_core.models.architectures import shape_of
from fracture_core.models.light_pyramid import (
    ASPECT_RATIOS,
    Pyramid,
    PyramidShape,
    anchor_note,
    mobile_in,
    pyramid_in,
)

NAME = "fasterrcnn_light"
_POOLED_CELLS = 7
_MOST_PROPOSALS = 300
# In training alone: torchvision's 2,000 and 512 would be most of the work of a network like this.
_MOST_ANCHORS_JUDGED = 1_000
_PROPOSALS_LEARNT_FROM = 128
_TORCHVISION_PYRAMID_WIDTH = 256


class LightShape(PyramidShape):
    """`head_width` is the channels of the second stage's two layers."""

    head_width: int = Field(default=256, ge=1, le=2048)


def build_light(shape: LightShape, *, class_count: int, min_size: int, max_size: int) -> Any:
    """The network with random weights; `class_count` does not count the background."""
    sizes = tuple((size,) for size in shape.anchor_sizes_px)
    names = [str(level) for level in range(len(sizes))]
    return FasterRCNN(
        Pyramid(shape),
        min_size=min_size,
        max_size=max_size,
        rpn_anchor_generator=AnchorGenerator(sizes, (ASPECT_RATIOS,) * len(sizes)),
        rpn_pre_nms_top_n_train=_MOST_ANCHORS_JUDGED,
        rpn_post_nms_top_n_train=_MOST_PROPOSALS,
        rpn_post_nms_top_n_test=_MOST_PROPOSALS,
        box_batch_size_per_image=_PROPOSALS_LEARNT_FROM,
        box_roi_pool=MultiScaleRoIAlign(names, output_size=_POOLED_CELLS, sampling_ratio=2),
        box_head=TwoMLPHead(shape.pyramid_width * _POOLED_CELLS**2, shape.head_width),
        box_predictor=FastRCNNPredictor(shape.head_width, class_count + 1),
    )


def is_light(state: Mapping[str, Tensor]) -> bool:
    """Whether a Faster R-CNN's state has a backbone or a pyramid that torchvision's have not."""
    if mobile_in(state) is not None:
        return True
    basic = "backbone.body.layer1.0.conv3.weight" not in state
    pyramid = state.get("backbone.fpn.inner_blocks.0.0.weight")
    narrow = pyramid is not None and len(pyramid) != _TORCHVISION_PYRAMID_WIDTH
    return "backbone.body.layer1.0.conv1.weight" in state and (basic or narrow)


def shape_in(state: Mapping[str, Tensor], weights: Path) -> tuple[LightShape, str]:
    """The shape that the tensors tell, and a note on what they do not; raises WeightsError."""
    pyramid = pyramid_in(state, weights)
    head_width = shape_of(state, "roi_heads.box_head.fc6.weight", 2, weights)[0]
    shape = LightShape.told({**pyramid, "head_width": head_width}, weights)
    return shape, anchor_note(shape.anchor_sizes_px)
