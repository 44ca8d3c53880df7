"""Grey values as networks take them."""

import torch
from torch import Tensor, nn

from fracture_core.models.detr_inputs import IMAGENET_MEAN, IMAGENET_STD
from trainers.batches import Batch


class Normalise(nn.Module):
    """(B, 1, H, W) grey in [0, 255] → (B, 3, H, W), as ImageNet is normalised.

    With `standardise` off values are only scaled to [0, 1]. Without parameters or saved buffers.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, *, standardise: bool = True) -> None:
        super().__init__()
        mean = torch.tensor(IMAGENET_MEAN if standardise else (0.0, 0.0, 0.0)).view(1, 3, 1, 1)
        std = torch.tensor(IMAGENET_STD if standardise else (1.0, 1.0, 1.0)).view(1, 3, 1, 1)
        self.register_buffer("scale", 1 / (255 * std), persistent=False)
        self.register_buffer("shift", -mean / std, persistent=False)

    def forward(self, grey: Tensor, valid: Tensor | None = None) -> Tensor:
        """`valid` (B, H, W) bool, True inside the picture: the rest becomes 0."""
        pixels = grey * self.scale + self.shift
        return pixels if valid is None else pixels.masked_fill(~valid[:, None], 0)


def valid_pixels(batch: Batch) -> Tensor:
    """(B, H, W) bool, True inside the picture."""
    height, width = batch.pixels.shape[-2:]
    device = batch.sizes.device
    down = torch.arange(height, device=device) < batch.sizes[:, :1]
    across = torch.arange(width, device=device) < batch.sizes[:, 1:]
    return down[:, :, None] & across[:, None, :]


def valid_where_padded(batch: Batch) -> Tensor | None:
    """As `valid_pixels`, None where every picture fills the batch; the device is waited for."""
    height, width = batch.pixels.shape[-2:]
    smaller = (batch.sizes[:, 0] < height) | (batch.sizes[:, 1] < width)
    return valid_pixels(batch) if bool(smaller.any()) else None
