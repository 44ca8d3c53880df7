"""How a picture becomes the input of a DETR-like network."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# Of a picture over forty times as long as high little is left; the deepest cells need one stride.
LEAST_SIDE_PX = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class DetrInput:
    """The size and scale of a network's input.

    With `longest_edge` the shorter side becomes `shortest_edge` unless the longer one would pass
    `longest_edge`, as in DETR; without, the picture becomes a square. Sides are rounded down to
    `multiple_of`. `normalises` tells whether values are standardised with ImageNet's mean and
    deviation or only scaled to [0, 1]. The rounding is that of transformers' image processors.
    """

    shortest_edge: int
    longest_edge: int | None
    multiple_of: int = 1
    normalises: bool = True

    def size(self, height: int, width: int) -> tuple[int, int]:
        """The input's height and width for a picture; LEAST_SIDE_PX at least."""
        if self.longest_edge is None:
            return self.shortest_edge, self.shortest_edge
        short, long = min(height, width), max(height, width)
        edge = float(self.shortest_edge)
        if long / short * edge > self.longest_edge:
            edge = self.longest_edge * short / long
        fits = round(edge) == short
        sides = (round(edge), long if fits else int(edge * long / short))
        low, high = (max(side - side % self.multiple_of, LEAST_SIDE_PX) for side in sides)
        return (low, high) if height <= width else (high, low)

    def resize(self, shown: npt.NDArray[np.uint8]) -> Tensor:
        """(H, W) grey → (1, h, w) uint8."""
        size = self.size(*shown.shape)
        grey: Tensor = functional.resize(torch.from_numpy(shown)[None], list(size), antialias=True)
        return grey

    def normalise(self, grey: Tensor) -> Tensor:
        """(B, 1, h, w) uint8 → (B, 3, h, w) float32, the same grey in all three channels."""
        if not self.normalises:
            return (grey.float() * (1 / 255)).expand(-1, 3, -1, -1).contiguous()
        mean = grey.new_tensor(IMAGENET_MEAN, dtype=torch.float32).view(1, 3, 1, 1)
        std = grey.new_tensor(IMAGENET_STD, dtype=torch.float32).view(1, 3, 1, 1)
        return (grey.float() - mean * 255) / (std * 255)
