"""Where a cell of a feature map lies, as sines and cosines."""

import math

import torch
from torch import Tensor, nn

from fracture_core.errors import ConfigError


class SinePositions(nn.Module):
    """Fixed 2-D positions, the first half of the channels for the row, the second for the column.

    A cell's row and column are counted over valid cells only, from 1, and divided by the number
    of valid ones, so that the last valid cell lies at 2π however much padding follows. Channels
    go sine, cosine, sine, … with wavelengths from 2π to `temperature` · 2π. After Vaswani et al.
    2017, in the two dimensions of Carion et al. 2020 (DETR).
    """

    def __init__(self, width: int, *, temperature: float = 10_000.0) -> None:
        super().__init__()
        if width < 4 or width % 4:
            raise ConfigError("width", expected="a positive multiple of 4", found=str(width))
        self.pair_count = width // 4
        self.temperature = temperature

    def forward(self, valid: Tensor) -> Tensor:
        """(B, h, w) bool, True inside the picture → (B, width, h, w) float32 in [−1, 1]."""
        count = valid.to(torch.float32)
        rows = self._waves(_share_of_way(count, dim=1))
        columns = self._waves(_share_of_way(count, dim=2))
        return torch.cat([rows, columns], dim=-1).permute(0, 3, 1, 2)

    def _waves(self, share: Tensor) -> Tensor:
        # Not a buffer: a network cast to bfloat16 would round the frequencies to eight bits.
        pair = torch.arange(self.pair_count, dtype=torch.float32, device=share.device)
        angle = 2 * math.pi * share[..., None] * self.temperature ** (-pair / self.pair_count)
        return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(-2)


def cell_centres(valid: Tensor) -> Tensor:
    """(B, h, w) bool → (B, h, w, 2) x and y of each cell's middle, shares of the valid part."""
    count = valid.to(torch.float32)
    across = [_share_of_way(count, dim=dim, before=0.5) for dim in (2, 1)]
    return torch.stack(across, dim=-1)


def _share_of_way(count: Tensor, dim: int, *, before: float = 0.0) -> Tensor:
    """To the end of each cell, or to `before` of a cell's length before it."""
    passed = count.cumsum(dim)
    # A row or column without a valid cell has a share, not NaN.
    return (passed - before) / passed.amax(dim, keepdim=True).clamp(min=1)
