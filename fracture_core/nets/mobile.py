"""Networks of inverted residuals, made for small machines: MobileNetV2 and EfficientNet-Lite0.

MobileNetV2 is that of Sandler et al. (2018); EfficientNet-Lite0 is EfficientNet-B0 (Tan and Le
2019) without squeeze-and-excitation and with ReLU6 in place of SiLU. Lite0's published weights were
trained with TensorFlow's padding, right and below before a stride; here it is padded evenly, as all
other networks are, and its classifier works as well.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from fracture_core.nets.limits import check_name, check_share, check_whole

Norm = Callable[..., nn.Module]


@dataclass(frozen=True, slots=True)
class _Stage:
    """`depth` blocks, the first with the stride; inside they have `expansion` × the channels."""

    expansion: int
    kernel: int
    channels: int
    depth: int
    stride: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """The seven stages of a network, and the `eps` of its norms."""

    stages: tuple[_Stage, ...]
    eps: float


_STEM_CHANNELS = 32
LAST_CHANNELS = 1280
_PLANS = {
    "efficientnet_lite0": _Plan(
        stages=(
            _Stage(1, 3, 16, 1, 1),
            _Stage(6, 3, 24, 2, 2),
            _Stage(6, 5, 40, 2, 2),
            _Stage(6, 3, 80, 3, 2),
            _Stage(6, 5, 112, 3, 1),
            _Stage(6, 5, 192, 4, 2),
            _Stage(6, 3, 320, 1, 1),
        ),
        eps=1e-3,
    ),
    "mobilenet_v2": _Plan(
        stages=(
            _Stage(1, 3, 16, 1, 1),
            _Stage(6, 3, 24, 2, 2),
            _Stage(6, 3, 32, 3, 2),
            _Stage(6, 3, 64, 4, 2),
            _Stage(6, 3, 96, 3, 1),
            _Stage(6, 3, 160, 3, 2),
            _Stage(6, 3, 320, 1, 1),
        ),
        eps=1e-5,
    ),
}
MOBILES = tuple(_PLANS)
# The stages that share one stride to the image: 2, 4, 8, 16 and 32.
_PARTS = (slice(0, 1), slice(1, 2), slice(2, 3), slice(3, 5), slice(5, 7))


class InvertedResidual(nn.Module):
    """Widens (1×1), looks around (depthwise) and narrows (1×1), with a shortcut where shapes agree.

    See Sandler et al. (2018).
    """

    def __init__(
        self, in_channels: int, stage: _Stage, *, stride: int, skipped: float, layer: "_Layers"
    ) -> None:
        super().__init__()
        hidden = in_channels * stage.expansion
        widen = stage.expansion > 1
        self.expand = layer(in_channels, hidden) if widen else nn.Sequential()
        self.depthwise = layer(hidden, hidden, kernel=stage.kernel, stride=stride, groups=hidden)
        self.project = layer(hidden, stage.channels, acts=False)
        self.has_shortcut = stride == 1 and in_channels == stage.channels
        self.skip = StochasticDepth(skipped, "row")

    def forward(self, x: Tensor) -> Tensor:
        """Turn (B, in_channels, H, W) into (B, channels, ⌈H/stride⌉, ⌈W/stride⌉)."""
        narrow: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + self.skip(narrow) if self.has_shortcut else narrow


def _stages(plan: _Plan, layer: "_Layers", skipped: float) -> list[list[nn.Module]]:
    """The blocks of every stage; the last of all is skipped almost as often as `skipped`."""
    count = sum(stage.depth for stage in plan.stages)
    stages: list[list[nn.Module]] = []
    channels, done = _STEM_CHANNELS, 0
    for stage in plan.stages:
        stages.append([])
        for number in range(stage.depth):
            stride = stage.stride if number == 0 else 1
            share = skipped * done / count
            block = InvertedResidual(channels, stage, stride=stride, skipped=share, layer=layer)
            stages[-1].append(block)
            channels, done = stage.channels, done + 1
    return stages


class MobileTrunk(nn.Module):
    """The feature extractor: `stem`, `layer1` … `layer4` of strides 2, 4, 8, 16, 32, then `head`.

    `stochastic_depth` is how often, in training, the last block is skipped, earlier ones less.
    Without `with_head` the last map has 320 channels instead of 1,280. Raises ConfigError for an
    unknown name or a share that cannot be.
    """

    def __init__(
        self,
        name: str,
        *,
        stochastic_depth: float = 0.0,
        norm: Norm = nn.BatchNorm2d,
        with_head: bool = True,
    ) -> None:
        super().__init__()
        check_name("network", name, MOBILES)
        check_share("stochastic_depth", stochastic_depth)
        plan = _PLANS[name]
        layer = _Layers(plan, norm)
        stages = _stages(plan, layer, stochastic_depth)
        stem, *rest = ([one for stage in stages[part] for one in stage] for part in _PARTS)
        self.stem = nn.Sequential(layer(3, _STEM_CHANNELS, kernel=3, stride=2), *stem)
        for number, part in enumerate(rest, start=1):
            self.add_module(f"layer{number}", nn.Sequential(*part))
        channels = plan.stages[-1].channels
        self.head = layer(channels, LAST_CHANNELS) if with_head else nn.Sequential()
        self.out_channels = LAST_CHANNELS if with_head else channels

    def forward(self, pixels: Tensor) -> Tensor:
        """Turn pixels (B, 3, H, W) into the last feature map (B, out_channels, ⌈H/32⌉, ⌈W/32⌉)."""
        for part in self.parts():
            pixels = part(pixels)
        last: Tensor = self.head(pixels)
        return last

    def parts(self) -> list[nn.Module]:
        """Return the stem and the four layers, each of which halves the image."""
        return [self.stem, *(self.get_submodule(f"layer{number}") for number in range(1, 5))]

    def stages(self) -> list[nn.Module]:
        """Return the same five modules, the last of them together with the head."""
        *first, last = self.parts()
        return [*first, nn.ModuleList([last, self.head])]


class MobileClassifier(nn.Module):
    """A `MobileTrunk`, average pool, dropout and classes; it takes the same images."""

    def __init__(self, name: str, *, class_count: int, dropout: float = 0.2) -> None:
        super().__init__()
        check_whole("class_count", class_count, 1, 10_000)
        check_share("dropout", dropout)
        self.extractor = MobileTrunk(name)
        self.feature_channels = LAST_CHANNELS
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(LAST_CHANNELS, class_count)

    def forward(self, pixels: Tensor) -> Tensor:
        """Turn pixels (B, 3, H, W) of any size into logits (B, class_count)."""
        return self.classify(self.features(pixels))

    def features(self, pixels: Tensor) -> Tensor:
        """Turn pixels into the last feature map (B, feature_channels, ⌈H/32⌉, ⌈W/32⌉)."""
        last: Tensor = self.extractor(pixels)
        return last

    def classify(self, features: Tensor) -> Tensor:
        """Turn the feature map (B, feature_channels, h, w) into logits (B, class_count)."""
        logits: Tensor = self.fc(self.dropout(features.mean(dim=(2, 3))))
        return logits


def layer_channels(name: str) -> tuple[int, int, int, int]:
    """Return the channels of `layer1` … `layer4`; raises ConfigError for an unknown name."""
    check_name("network", name, MOBILES)
    first, second, third, fourth = (_PLANS[name].stages[part][-1].channels for part in _PARTS[1:])
    return first, second, third, fourth


def mobile_name(state: Mapping[str, Tensor], prefix: str) -> str | None:
    """Return which network's trunk lies under `prefix` in a state dict, None = none of these."""
    last = state.get(f"{prefix}layer2.0.project.0.weight")
    if f"{prefix}stem.0.0.weight" not in state or last is None:
        return None
    names = {layer_channels(name)[1]: name for name in MOBILES}
    return names.get(len(last))


class _Layers:
    """Makes layers of a plan: a convolution, a norm and, with `acts`, a ReLU6."""

    def __init__(self, plan: _Plan, norm: Norm) -> None:
        self._plan = plan
        self._norm = norm

    def __call__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        acts: bool = True,
    ) -> nn.Sequential:
        convolution = nn.Conv2d(
            in_channels,
            out_channels,
            kernel,
            stride,
            padding=kernel // 2,
            groups=groups,
            bias=False,
        )
        norm = self._norm(out_channels, eps=self._plan.eps)
        return nn.Sequential(convolution, norm, *([nn.ReLU6(inplace=True)] if acts else []))
