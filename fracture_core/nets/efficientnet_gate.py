"""EfficientNet with an attention gate before its pool, a classifier that shows where it looked."""

from typing import NamedTuple

from torch import Tensor, nn
from torchvision.models import get_model

from fracture_core.errors import ConfigError
from fracture_core.nets.limits import check_name, check_share, check_whole
from fracture_core.nets.mobile import MOBILES, MobileTrunk
from fracture_core.nets.pretrained import load_imagenet


class AttentionGate(nn.Module):
    """A spatial gate, which scales every cell of a feature map by a number in (0, 1).

    It computes features · sigmoid(conv1×1(relu(conv1×1(features)))) with an inner width of
    C / `reduction`.
    """

    def __init__(self, channels: int, *, reduction: int = 8) -> None:
        super().__init__()
        check_whole("channels", channels, 1, 65_536)
        check_whole("reduction", reduction, 1, channels)
        self.squeeze = nn.Conv2d(channels, channels // reduction, 1)
        self.relu = nn.ReLU(inplace=True)
        self.score = nn.Conv2d(channels // reduction, 1, 1)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gated features (B, C, h, w) and the gate's map (B, h, w)."""
        gate: Tensor = self.score(self.relu(self.squeeze(features))).sigmoid()
        return features * gate, gate[:, 0]


EFFICIENTNETS = (*(f"efficientnet_b{size}" for size in range(8)), "efficientnet_v2_s")
GATED = (*EFFICIENTNETS, *MOBILES)


class GatedLogits(NamedTuple):
    """The output of an `EfficientNetGate` for B images and K classes."""

    logits: Tensor
    """(B, K)"""
    gate: Tensor
    """(B, h, w) in (0, 1): how much of each cell has passed."""


class EfficientNetGate(nn.Module):
    """EfficientNet's features (Tan and Le 2019) → gate → average pool → hidden layer → classes.

    The features may be those of a `MobileTrunk` instead. Images have three channels and any size,
    normalised as ImageNet is. `weights` are torchvision's by name; None means random ones. In
    training `dropout` is the share of pooled features left out and `stochastic_depth` how often the
    last block is skipped, earlier ones less (Huang et al. 2016), and batches need two images at
    least, for the batch norm of the hidden layer. Raises ConfigError for what cannot be built,
    WeightsError for weights that are not at hand.
    """

    def __init__(
        self,
        name: str = "efficientnet_b4",
        *,
        class_count: int,
        weights: str | None = None,
        reduction: int = 8,
        hidden_width: int = 512,
        dropout: float = 0.5,
        stochastic_depth: float = 0.2,
    ) -> None:
        super().__init__()
        check_name("efficientnet", name, GATED)
        check_whole("class_count", class_count, 1, 10_000)
        check_whole("hidden_width", hidden_width, 1, 65_536)
        check_share("dropout", dropout)
        check_share("stochastic_depth", stochastic_depth)
        self.extractor, self.feature_channels = _extractor(name, weights, stochastic_depth)
        self.gate = AttentionGate(self.feature_channels, reduction=reduction)
        self.head = nn.Sequential(
            nn.Dropout(dropout),
            # No bias: the norm that follows would subtract it again.
            nn.Linear(self.feature_channels, hidden_width, bias=False),
            nn.BatchNorm1d(hidden_width),
            nn.ReLU(inplace=True),
            nn.Linear(hidden_width, class_count),
        )

    def forward(self, pixels: Tensor) -> GatedLogits:
        """Turn pixels (B, 3, H, W) into logits (B, K) and the gate's map (B, ⌈H/32⌉, ⌈W/32⌉)."""
        return self.classify(self.features(pixels))

    def features(self, pixels: Tensor) -> Tensor:
        """Turn pixels (B, 3, H, W) into the map before the gate, (B, feature_channels, h, w)."""
        last: Tensor = self.extractor(pixels)
        return last

    def classify(self, features: Tensor) -> GatedLogits:
        """Turn the features (B, feature_channels, h, w) into logits and the gate's map."""
        gated, gate = self.gate(features)
        logits: Tensor = self.head(gated.mean(dim=(2, 3)))
        return GatedLogits(logits, gate)


def _extractor(name: str, weights: str | None, stochastic_depth: float) -> tuple[nn.Module, int]:
    """The layers that make the features, and the number of their channels."""
    if name in MOBILES:
        if weights is not None:
            raise ConfigError(f"weights of {name}", expected="none", found=repr(weights))
        trunk = MobileTrunk(name, stochastic_depth=stochastic_depth)
        return trunk, trunk.out_channels
    network = get_model(name, weights=None, stochastic_depth_prob=stochastic_depth)
    if weights is not None:
        load_imagenet(network, name, weights)
    layers: nn.Sequential = network.features
    return layers, network.features[-1].out_channels
