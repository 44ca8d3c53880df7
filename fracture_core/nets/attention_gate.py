"""A spatial gate: a map in (0, 1) that scales every cell of a feature map."""

from torch import Tensor, nn

from fracture_core.nets.limits import check_whole


class AttentionGate(nn.Module):
    """features · sigmoid(conv1×1(relu(conv1×1(features)))), the inner width C / `reduction`."""

    def __init__(self, channels: int, *, reduction: int = 8) -> None:
        super().__init__()
        check_whole("channels", channels, 1, 65_536)
        check_whole("reduction", reduction, 1, channels)
        self.squeeze = nn.Conv2d(channels, channels // reduction, 1)
        self.relu = nn.ReLU(inplace=True)
        self.score = nn.Conv2d(channels // reduction, 1, 1)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, h, w) → the gated features (B, C, h, w) and the gate's map (B, h, w)."""
        gate: Tensor = self.score(self.relu(self.squeeze(features))).sigmoid()
        return features * gate, gate[:, 0]
