"""Backbones of detectors, a ResNet or a mobile network: pixels in, the last feature map out."""

from collections.abc import Sequence
from typing import Self

from torch import Tensor, nn
from torchvision.ops import FrozenBatchNorm2d

from fracture_core.errors import ConfigError
from fracture_core.nets.limits import check_whole
from fracture_core.nets.mobile import MOBILES, MobileTrunk, layer_channels
from fracture_core.nets.pretrained import load_imagenet
from fracture_core.nets.resnet import RESNETS, resnet

BACKBONES = (*RESNETS, *MOBILES)
FULL_WIDTH = 64


class Backbone(nn.Module):
    """The stem and the first `depth` of four layers of a network, without pool and classes.

    The `layers` have strides of 4, 8, 16 and 32 to the image and end in these `channels`.

    The first `frozen_stages` of stem, layer1 … layer4 are not trained: their weights get no
    gradient and their norms keep their statistics. Padding is not masked inside: near the edge
    of an image the features depend on how far the batch is padded. Raises ConfigError for a number
    of stages that there is not.
    """

    def __init__(
        self,
        stem: nn.Module,
        layers: Sequence[nn.Module],
        channels: Sequence[int],
        *,
        frozen_stages: int = 0,
        depth: int = 4,
    ) -> None:
        super().__init__()
        check_whole("frozen_stages", frozen_stages, 0, 5)
        check_whole("backbone_depth", depth, 1, 4)
        self.stride = 2 ** (depth + 1)
        self.channels = channels[depth - 1]
        self.depth = depth
        self.stem = stem
        for number, layer in enumerate(layers[:depth], start=1):
            self.add_module(f"layer{number}", layer)
        self.frozen_stages = frozen_stages
        for stage in self.stages()[:frozen_stages]:
            stage.requires_grad_(False)

    def forward(self, pixels: Tensor) -> Tensor:
        """Turn pixels (B, in_channels, H, W) into (B, channels, ⌈H/stride⌉, ⌈W/stride⌉)."""
        for stage in self.stages():
            pixels = stage(pixels)
        return pixels

    def train(self, mode: bool = True) -> Self:
        """Switch to training, or back; frozen stages stay in evaluation mode."""
        super().train(mode)
        for stage in self.stages()[: self.frozen_stages]:
            stage.train(False)
        return self

    def stages(self) -> list[nn.Module]:
        """Return the stem and the layers, in the order of the forward pass."""
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
    """Build a ResNet backbone by name, with random weights or torchvision's ("IMAGENET1K_V2").

    With `frozen_norm` batch norm is a fixed scale and shift, as DETR has it for batches of few
    images; that only makes sense with weights, given here or loaded later. Raises ConfigError for
    what cannot be built, WeightsError for weights that are not at hand.
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
    stem = nn.Sequential(trunk.conv1, trunk.bn1, trunk.relu, trunk.maxpool)
    layers = (trunk.layer1, trunk.layer2, trunk.layer3, trunk.layer4)
    channels = [trunk.feature_channels // 2**halvings for halvings in (3, 2, 1, 0)]
    return Backbone(stem, layers, channels, frozen_stages=frozen_stages, depth=depth)


def mobile_backbone(
    name: str, *, frozen_norm: bool = False, frozen_stages: int = 0, depth: int = 4
) -> Backbone:
    """Build one of `fracture_core.nets.mobile` with random weights; see `resnet_backbone`."""
    norm = FrozenBatchNorm2d if frozen_norm else nn.BatchNorm2d
    stem, *layers = MobileTrunk(name, norm=norm, with_head=False).parts()
    channels = layer_channels(name)
    return Backbone(stem, layers, channels, frozen_stages=frozen_stages, depth=depth)


def _check_fits_imagenet(in_channels: int, width: int) -> None:
    if (in_channels, width) != (3, FULL_WIDTH):
        raise ConfigError(
            "backbone",
            expected="3 channels and width 64, as ImageNet weights have",
            found=f"{in_channels} channels and width {width}",
            advice="Repeat a grey image three times, or leave the weights out.",
        )
