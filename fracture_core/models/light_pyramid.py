"""A narrow ResNet or another small network with a feature pyramid, for light detectors.

torchvision's own detectors have 19 million parameters and more, and anchors that suit objects of 32
to 512 px. These have narrow layers and anchors half as large.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from torch import Tensor, nn
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.ops import FeaturePyramidNetwork

from fracture_core.errors import WeightsError, first_fault
from fracture_core.models.architectures import shape_of
from fracture_core.nets.backbone import BACKBONES
from fracture_core.nets.mobile import MOBILES, MobileTrunk, layer_channels, mobile_name
from fracture_core.nets.resnet import BLOCKS, RESNETS, BlockName, resnet

ANCHOR_SIZES_PX = (16, 32, 64, 128)
ASPECT_RATIOS = (0.5, 1.0, 2.0)
_BACKBONE_WIDTH = 32
_BODY = "backbone.body."
_LEVEL = "backbone.fpn.inner_blocks.{}.0.weight"


class PyramidShape(BaseModel):
    """The sizes of a backbone with a feature pyramid.

    Anchors have one size a level, in pixels of the input, the finest first; the last level is the
    backbone's last stage, of stride 32. `pyramid_width` is the channels of every level;
    `backbone_width`, those of the first stage, is a ResNet's alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    backbone: str = Field(default="resnet18", pattern=f"^({'|'.join(BACKBONES)})$")
    backbone_width: int = Field(default=_BACKBONE_WIDTH, ge=1, le=128)
    pyramid_width: int = Field(default=64, ge=1, le=512)
    anchor_sizes_px: tuple[int, ...] = Field(
        default=ANCHOR_SIZES_PX, min_length=1, max_length=len(ANCHOR_SIZES_PX)
    )

    @classmethod
    def told(cls, fields: Mapping[str, object], weights: Path) -> Self:
        """Returns the shape that a file's tensors tell.

        Raises WeightsError where there is none such.
        """
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            found = first_fault(error, "shape")
            raise WeightsError(weights, expected="a light network", found=found) from error

    @model_validator(mode="after")
    def _check_width(self) -> Self:
        if self.backbone in MOBILES and self.backbone_width != _BACKBONE_WIDTH:
            raise ValueError(f"backbone_width: expected none for {self.backbone}")
        return self


class Pyramid(nn.Module):
    """A backbone with its feature pyramid, as torchvision's detectors take one.

    (B, 3, H, W) pixels become a map (B, out_channels, h, w) for each level, by the names "0", "1"
    and so on, the finest first.
    """

    def __init__(self, shape: PyramidShape) -> None:
        super().__init__()
        trunk, channels = _trunk(shape)
        levels = len(shape.anchor_sizes_px)
        names = {f"layer{5 - levels + level}": str(level) for level in range(levels)}
        self.body = IntermediateLayerGetter(trunk, return_layers=names)
        self.fpn = FeaturePyramidNetwork(list(channels[-levels:]), shape.pyramid_width)
        self.out_channels = shape.pyramid_width

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        """Returns the maps of the levels by name."""
        levels: dict[str, Tensor] = self.fpn(self.body(pixels))
        return levels


def _trunk(shape: PyramidShape) -> tuple[nn.Module, tuple[int, ...]]:
    """The backbone with `layer1` … `layer4`, and the channels of these."""
    if shape.backbone in MOBILES:
        return MobileTrunk(shape.backbone, with_head=False), layer_channels(shape.backbone)
    trunk = resnet(shape.backbone, class_count=1, width=shape.backbone_width)
    expansion = BLOCKS[RESNETS[shape.backbone][0]].expansion
    return trunk, tuple(shape.backbone_width * 2**stage * expansion for stage in range(4))


def mobile_in(state: Mapping[str, Tensor]) -> str | None:
    """Returns the small network that a detector's state has as its backbone; None = another one."""
    return mobile_name(state, _BODY)


def pyramid_in(state: Mapping[str, Tensor], weights: Path) -> dict[str, object]:
    """Returns the fields of a `PyramidShape` that the tensors tell; raises WeightsError.

    The sizes of anchors, which they do not tell, are the last of `ANCHOR_SIZES_PX`, one a level.
    """
    levels = sum(_LEVEL.format(level) in state for level in range(len(ANCHOR_SIZES_PX)))
    if not levels:
        raise WeightsError(weights, expected="a pyramid of 1 to 4 levels", found="none")
    backbone, backbone_width = _backbone_of(state, weights)
    return {
        "backbone": backbone,
        "backbone_width": backbone_width,
        "pyramid_width": shape_of(state, _LEVEL.format(0), 4, weights)[0],
        "anchor_sizes_px": ANCHOR_SIZES_PX[-levels:],
    }


def anchor_note(sizes_px: tuple[int, ...]) -> str:
    """Says for the card what the tensors do not tell.

    Example:
        >>> anchor_note((16, 32))
        'The sizes of its anchors are not in the weights: 16, 32 px were assumed.'
    """
    taken = ", ".join(map(str, sizes_px))
    return f"The sizes of its anchors are not in the weights: {taken} px were assumed."


def _backbone_of(state: Mapping[str, Tensor], weights: Path) -> tuple[str, int]:
    """Returns the backbone's name and width."""
    mobile = mobile_in(state)
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
