"""What the loop hands to a network: a batch of pictures on the device, with their truth."""

from typing import NamedTuple

import torch
from torch import Tensor

NOTHING = -1
"""Fills up labels where a picture has fewer objects, and stands for an unknown class."""


class Batch(NamedTuple):
    """B pictures with up to M objects each, M at least 1; all on one device."""

    pixels: Tensor
    """(B, 1, H, W) float32 grey in [0, 255], 0 darkest; pictures at the top left, 0 beside them."""
    sizes: Tensor
    """(B, 2) int64 height and width of each picture within H × W."""
    boxes_xyxy: Tensor
    """(B, M, 4) float32 in pixels of `pixels`, clipped to the picture; 0 where there is none."""
    labels: Tensor
    """(B, M) int64 classes 0 … K−1; `NOTHING` where there is no object, objects first."""
    image_classes: Tensor
    """(B,) int64, `NOTHING` where unknown."""
    rows: Tensor
    """(B,) int64 rows of the packed data set."""

    def __len__(self) -> int:
        return len(self.rows)

    def to(self, device: torch.device) -> "Batch":
        return Batch(*(tensor.to(device, non_blocking=True) for tensor in self))

    def part(self, start: int, stop: int) -> "Batch":
        return Batch(*(tensor[start:stop] for tensor in self))
