"""Residual networks (He et al. 2016, "Deep Residual Learning for Image Recognition").

Bottlenecks stride in their 3×3 convolution, and parameters are named as in torchvision, so that its
state dicts load unchanged.
"""

from collections.abc import Callable
from typing import Literal

from torch import Tensor, nn

from fracture_core.errors import ConfigError
from fracture_core.nets.limits import check_name, check_whole

Norm = Callable[[int], nn.Module]
BlockName = Literal["basic", "bottleneck"]
Depths = tuple[int, int, int, int]

RESNETS: dict[str, tuple[BlockName, Depths]] = {
    "resnet18": ("basic", (2, 2, 2, 2)),
    "resnet34": ("basic", (3, 4, 6, 3)),
    "resnet50": ("bottleneck", (3, 4, 6, 3)),
    "resnet101": ("bottleneck", (3, 4, 23, 3)),
    "resnet152": ("bottleneck", (3, 8, 36, 3)),
}


class BasicBlock(nn.Module):
    """Two 3×3 convolutions beside a shortcut."""

    expansion = 1

    def __init__(self, in_channels: int, width: int, *, stride: int, norm: Norm) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 3, stride, padding=1, bias=False)
        self.bn1 = norm(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = norm(width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(in_channels, width, stride, norm)

    def forward(self, x: Tensor) -> Tensor:
        """Turn (B, in_channels, H, W) into (B, width, ⌈H/s⌉, ⌈W/s⌉), s the stride."""
        residual = self.relu(self.bn1(self.conv1(x)))
        residual = self.bn2(self.conv2(residual))
        summed: Tensor = self.relu(residual + self.downsample(x))
        return summed

    @property
    def last_norm(self) -> nn.Module:
        """The norm before the shortcut is added."""
        return self.bn2


class Bottleneck(nn.Module):
    """A 1×1, a 3×3 and a 1×1 convolution beside a shortcut."""

    expansion = 4

    def __init__(self, in_channels: int, width: int, *, stride: int, norm: Norm) -> None:
        super().__init__()
        out_channels = width * self.expansion
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = norm(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = norm(width)
        self.conv3 = nn.Conv2d(width, out_channels, 1, bias=False)
        self.bn3 = norm(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(in_channels, out_channels, stride, norm)

    def forward(self, x: Tensor) -> Tensor:
        """Turn (B, in_channels, H, W) into (B, 4 · width, ⌈H/s⌉, ⌈W/s⌉), s the stride."""
        residual = self.relu(self.bn1(self.conv1(x)))
        residual = self.relu(self.bn2(self.conv2(residual)))
        residual = self.bn3(self.conv3(residual))
        summed: Tensor = self.relu(residual + self.downsample(x))
        return summed

    @property
    def last_norm(self) -> nn.Module:
        """The norm before the shortcut is added."""
        return self.bn3


BLOCKS: dict[str, type[BasicBlock | Bottleneck]] = {"basic": BasicBlock, "bottleneck": Bottleneck}


class ResNet(nn.Module):
    """A stem and four stages of blocks, then average pool and classes.

    The image is 1/4 as large behind the stem and is halved by each stage after the first. `depths`
    are the numbers of blocks; `width` is that of the first stage and doubles with each one. With
    `zero_init_last_norm` every block starts as its shortcut (Goyal et al. 2017). Raises ConfigError
    for a shape that cannot be.
    """

    def __init__(
        self,
        *,
        block: BlockName,
        depths: Depths,
        class_count: int,
        width: int = 64,
        in_channels: int = 3,
        zero_init_last_norm: bool = True,
        norm: Norm = nn.BatchNorm2d,
    ) -> None:
        super().__init__()
        _check(block, depths, class_count, width, in_channels)
        kind = BLOCKS[block]
        out = [width * 2**stage * kind.expansion for stage in range(4)]
        self.conv1 = nn.Conv2d(in_channels, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = norm(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = _stage(kind, width, width, depths[0], stride=1, norm=norm)
        self.layer2 = _stage(kind, out[0], width * 2, depths[1], stride=2, norm=norm)
        self.layer3 = _stage(kind, out[1], width * 4, depths[2], stride=2, norm=norm)
        self.layer4 = _stage(kind, out[2], width * 8, depths[3], stride=2, norm=norm)
        self.fc = nn.Linear(out[3], class_count)
        self.feature_channels = out[3]
        self._initialise(zero_init_last_norm)

    def forward(self, pixels: Tensor) -> Tensor:
        """Turn pixels (B, in_channels, H, W) of any size into logits (B, class_count)."""
        return self.classify(self.features(pixels))

    def features(self, pixels: Tensor) -> Tensor:
        """Turn pixels into the last feature map (B, feature_channels, ⌈H/32⌉, ⌈W/32⌉)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(pixels))))
        x = self.layer2(self.layer1(x))
        last: Tensor = self.layer4(self.layer3(x))
        return last

    def classify(self, features: Tensor) -> Tensor:
        """Turn the feature map (B, feature_channels, h, w) into logits (B, class_count)."""
        logits: Tensor = self.fc(features.mean(dim=(2, 3)))
        return logits

    def _initialise(self, zero_init_last_norm: bool) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, BasicBlock | Bottleneck) and zero_init_last_norm:
                nn.init.zeros_(module.last_norm.get_parameter("weight"))


def resnet(
    name: str,
    *,
    class_count: int,
    width: int = 64,
    in_channels: int = 3,
    zero_init_last_norm: bool = True,
    norm: Norm = nn.BatchNorm2d,
) -> ResNet:
    """Build a ResNet by name, with random weights; raises ConfigError for an unknown name."""
    check_name("resnet", name, RESNETS)
    block, depths = RESNETS[name]
    return ResNet(
        block=block,
        depths=depths,
        class_count=class_count,
        width=width,
        in_channels=in_channels,
        zero_init_last_norm=zero_init_last_norm,
        norm=norm,
    )


def _shortcut(in_channels: int, out_channels: int, stride: int, norm: Norm) -> nn.Sequential:
    """The identity where shapes agree, a 1×1 convolution where they do not."""
    if stride == 1 and in_channels == out_channels:
        return nn.Sequential()
    projection = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
    return nn.Sequential(projection, norm(out_channels))


def _stage(
    kind: type[BasicBlock | Bottleneck],
    in_channels: int,
    width: int,
    depth: int,
    *,
    stride: int,
    norm: Norm,
) -> nn.Sequential:
    first = kind(in_channels, width, stride=stride, norm=norm)
    rest = (kind(width * kind.expansion, width, stride=1, norm=norm) for _ in range(depth - 1))
    return nn.Sequential(first, *rest)


def _check(block: str, depths: Depths, class_count: int, width: int, in_channels: int) -> None:
    check_name("block", block, BLOCKS)
    if len(depths) != 4:
        raise ConfigError("depths", expected="blocks for each of four stages", found=str(depths))
    for depth in depths:
        check_whole("depths", depth, 1, 100)
    check_whole("class_count", class_count, 1, 10_000)
    check_whole("width", width, 1, 1024)
    check_whole("in_channels", in_channels, 1, 16)
