"""A light Faster R-CNN of torchvision's parts on a narrow ResNet or another small network.

torchvision's own variants have 19 million parameters and more, and anchors that suit objects of
32 to 512 px. This one has narrow layers and anchors of one size a level, half as large.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.ops import FeaturePyramidNetwork, MultiScaleRoIAlign

from fracture_core.errors import WeightsError
from fracture_core.models.architectures import shape_of
from fracture_core.nets.backbone import BACKBONES
from fracture_core.nets.mobile import MOBILES, MobileTrunk, layer_channels, mobile_name
from fracture_core.nets.resnet import BLOCKS, RESNETS, BlockName, resnet

NAME = "fasterrcnn_light"
_ANCHOR_SIZES_PX = (16, 32, 64, 128)
_ASPECT_RATIOS = (0.5, 1.0, 2.0)
_POOLED_CELLS = 7
_MOST_PROPOSALS = 300
# In training alone: torchvision's 2,000 and 512 would be most of the work of a network like this.
_MOST_ANCHORS_JUDGED = 1_000
_PROPOSALS_LEARNT_FROM = 128
_TORCHVISION_PYRAMID_WIDTH = 256
_BACKBONE_WIDTH = 32
_BODY = "backbone.body."


class LightShape(BaseModel):
    """Anchors have one size a level, in pixels of the input, the finest first; the last level is
    the backbone's last stage, of stride 32. `pyramid_width` is the channels of every level,
    `head_width` those of the second stage's two layers. `backbone_width` is a ResNet's alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    backbone: str = Field(default="resnet18", pattern=f"^({'|'.join(BACKBONES)})$")
    backbone_width: int = Field(default=_BACKBONE_WIDTH, ge=1, le=128)
    pyramid_width: int = Field(default=64, ge=1, le=512)
    head_width: int = Field(default=256, ge=1, le=2048)
    anchor_sizes_px: tuple[int, ...] = Field(
        default=_ANCHOR_SIZES_PX, min_length=1, max_length=len(_ANCHOR_SIZES_PX)
    )

    @model_validator(mode="after")
    def _check_width(self) -> Self:
        if self.backbone in MOBILES and self.backbone_width != _BACKBONE_WIDTH:
            raise ValueError(f"backbone_width: expected none for {self.backbone}")
        return self


class _Pyramid(nn.Module):
    """(B, 3, H, W) → a map (B, out_channels, h, w) a level, by its name "0", "1", …"""

    def __init__(self, shape: LightShape) -> None:
        super().__init__()
        trunk, channels = _trunk(shape)
        levels = len(shape.anchor_sizes_px)
        names = {f"layer{5 - levels + level}": str(level) for level in range(levels)}
        self.body = IntermediateLayerGetter(trunk, return_layers=names)
        self.fpn = FeaturePyramidNetwork(list(channels[-levels:]), shape.pyramid_width)
        self.out_channels = shape.pyramid_width

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        levels: dict[str, Tensor] = self.fpn(self.body(pixels))
        return levels


def _trunk(shape: LightShape) -> tuple[nn.Module, tuple[int, ...]]:
    """The backbone with `layer1` … `layer4`, and the channels of these."""
    if shape.backbone in MOBILES:
        return MobileTrunk(shape.backbone, with_head=False), layer_channels(shape.backbone)
    trunk = resnet(shape.backbone, class_count=1, width=shape.backbone_width)
    expansion = BLOCKS[RESNETS[shape.backbone][0]].expansion
    return trunk, tuple(shape.backbone_width * 2**stage * expansion for stage in range(4))


def build_light(shape: LightShape, *, class_count: int, min_size: int, max_size: int) -> Any:
    """The network with random weights; `class_count` does not count the background."""
    sizes = tuple((size,) for size in shape.anchor_sizes_px)
    names = [str(level) for level in range(len(sizes))]
    return FasterRCNN(
        _Pyramid(shape),
        min_size=min_size,
        max_size=max_size,
        rpn_anchor_generator=AnchorGenerator(sizes, (_ASPECT_RATIOS,) * len(sizes)),
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
    if mobile_name(state, _BODY) is not None:
        return True
    basic = "backbone.body.layer1.0.conv3.weight" not in state
    pyramid = state.get("backbone.fpn.inner_blocks.0.0.weight")
    narrow = pyramid is not None and len(pyramid) != _TORCHVISION_PYRAMID_WIDTH
    return "backbone.body.layer1.0.conv1.weight" in state and (basic or narrow)


def shape_in(state: Mapping[str, Tensor], weights: Path) -> tuple[LightShape, str]:
    """The shape that the tensors tell, and a note on what they do not; raises WeightsError."""
    pyramid = "backbone.fpn.inner_blocks.{}.0.weight"
    levels = sum(pyramid.format(level) in state for level in range(len(_ANCHOR_SIZES_PX)))
    if not levels:
        raise WeightsError(weights, expected="a pyramid of 1 to 4 levels", found="none")
    sizes = _ANCHOR_SIZES_PX[-levels:]
    backbone, backbone_width = _backbone_of(state, weights)
    shape = LightShape(
        backbone=backbone,
        backbone_width=backbone_width,
        pyramid_width=shape_of(state, pyramid.format(0), 4, weights)[0],
        head_width=shape_of(state, "roi_heads.box_head.fc6.weight", 2, weights)[0],
        anchor_sizes_px=sizes,
    )
    taken = ", ".join(map(str, sizes))
    note = f"The sizes of its anchors are not in the weights: {taken} px were assumed."
    return shape, note


def _backbone_of(state: Mapping[str, Tensor], weights: Path) -> tuple[str, int]:
    """Its name and width."""
    mobile = mobile_name(state, _BODY)
    if mobile is not None:
        return mobile, _BACKBONE_WIDTH
    width = shape_of(state, "backbone.body.conv1.weight", 4, weights)[0]
    block: BlockName = "bottleneck" if "backbone.body.layer1.0.conv3.weight" in state else "basic"
    blocks = {tuple(name.split(".")[2:4]) for name in state if name.startswith("backbone.body.l")}
    counts = [sum(stage == f"layer{n}" for stage, *_ in blocks) for n in range(1, 5)]
    for name, (known, depths) in RESNETS.items():
        if (known, list(depths)) == (block, counts):
            return name, width
    found = f"{block} blocks, {counts} a stage"
    raise WeightsError(weights, expected=f"a backbone of {', '.join(BACKBONES)}", found=found)
