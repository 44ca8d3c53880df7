"""A ResNet as the eyes of a detector: pixels in, the last feature map out."""

from typing import Self

from torch import Tensor, nn
from torchvision.ops import FrozenBatchNorm2d

from fracture_core.errors import ConfigError
from fracture_core.nets.limits import check_whole
from fracture_core.nets.pretrained import load_imagenet
from fracture_core.nets.resnet import ResNet, resnet


class Backbone(nn.Module):
    """The first `depth` of a ResNet's four stages, without its pool and classes.

    The first `frozen_stages` of stem, layer1 … layer4 are not trained: their weights get no
    gradient and their norms keep their statistics. Padding is not masked inside: near the edge
    of a picture the features depend on how far the batch is padded.
    """

    def __init__(self, trunk: ResNet, *, frozen_stages: int = 0, depth: int = 4) -> None:
        super().__init__()
        check_whole("frozen_stages", frozen_stages, 0, 5)
        check_whole("backbone_depth", depth, 1, 4)
        self.stride = 2 ** (depth + 1)
        self.channels = trunk.feature_channels // 2 ** (4 - depth)
        self.depth = depth
        self.stem = nn.Sequential(trunk.conv1, trunk.bn1, trunk.relu, trunk.maxpool)
        for number in range(1, depth + 1):
            self.add_module(f"layer{number}", trunk.get_submodule(f"layer{number}"))
        self.frozen_stages = frozen_stages
        for stage in self.stages()[:frozen_stages]:
            stage.requires_grad_(False)

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, in_channels, H, W) → (B, channels, ⌈H/stride⌉, ⌈W/stride⌉)."""
        for stage in self.stages():
            pixels = stage(pixels)
        return pixels

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        for stage in self.stages()[: self.frozen_stages]:
            stage.train(False)
        return self

    def stages(self) -> list[nn.Module]:
        """The stem and the stages, in the order of the pass."""
        names = (f"layer{stage}" for stage in range(1, self.depth + 1))
        return [self.stem, *(self.get_submodule(name) for name in names)]


def resnet_backbone(
    name: str,
    *,
    in_channels: int = 3,
    width: int = 64,
    weights: str | None = None,
    frozen_norm: bool = False,
    frozen_stages: int = 0,
    depth: int = 4,
) -> Backbone:
    """A backbone by its ResNet's name, new or with torchvision's `weights` ("IMAGENET1K_V2").

    With `frozen_norm` batch norm is a fixed scale and shift, as DETR has it for batches of few
    pictures; it only makes sense with weights, here or loaded later. Raises ConfigError and
    WeightsError.
    """
    trunk = resnet(
        name,
        class_count=1000,
        width=width,
        in_channels=in_channels,
        zero_init_last_norm=not frozen_norm,
        norm=FrozenBatchNorm2d if frozen_norm else nn.BatchNorm2d,
    )
    if weights is not None:
        _check_fits_imagenet(in_channels, width)
        load_imagenet(trunk, name, weights)
    return Backbone(trunk, frozen_stages=frozen_stages, depth=depth)


def _check_fits_imagenet(in_channels: int, width: int) -> None:
    if (in_channels, width) != (3, 64):
        raise ConfigError(
            "backbone",
            expected="3 channels and width 64, as ImageNet weights have",
            found=f"{in_channels} channels and width {width}",
            advice="Repeat a grey picture three times, or leave the weights out.",
        )
