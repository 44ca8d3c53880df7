"""Brightness, contrast and blur of a batch, in one pass over its pixels.

A blur's weights add up to 1 and brightness and contrast are one line a picture, so all three are a
convolution of 3 × 3 with an offset: two of three weights each, which is a few sums of the batch
with itself moved by a pixel. Unlike torchvision's, values are cut to [0, 255] once, at the end.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from trainers.config import Augment

# Uniform numbers that a picture's colours take, in a fixed order.
DRAWS = 4


class Colours(NamedTuple):
    """(B,) float32: brightness factors, contrast factors, and a blur's weight of each neighbour."""

    gains: Tensor
    contrasts: Tensor
    sides: Tensor
    blurs: bool

    def part(self, start: int, stop: int) -> "Colours":
        gains, contrasts, sides = (each[start:stop] for each in self[:3])
        return Colours(gains, contrasts, sides, self.blurs)


def draw_colours(augment: Augment, uniform: Tensor) -> Colours | None:
    """From (B, DRAWS) numbers in [0, 1); None where colours stay as they are."""
    if not (augment.brightness or augment.contrast or augment.blur):
        return None
    bright, contrast, blurs, deviation = uniform.double().unbind(1)
    low, high = augment.blur_sigma
    neighbour = torch.exp(-0.5 / (low + (high - low) * deviation) ** 2)
    sides = torch.where(blurs < augment.blur, neighbour / (1 + 2 * neighbour), 0.0)
    gains = 1 + augment.brightness * (2 * bright - 1)
    contrasts = 1 + augment.contrast * (2 * contrast - 1)
    return Colours(gains.float(), contrasts.float(), sides.float(), bool(sides.any()))


def change_colours(colours: Colours, grey: Tensor, inside: Tensor | None, spare: Tensor) -> None:
    """Change (B, H, W) float32 grey in [0, 255] in its place; beside the pictures it is to repeat
    their edge.

    `inside` (B, H, W) tells what counts for the mean grey, None = everything · `spare` is memory
    of the same shape: fresh memory would cost more than the arithmetic.
    """
    gains, contrasts, sides = (
        each.to(grey.device, non_blocking=True)[:, None, None] for each in colours[:3]
    )
    offsets = (1 - contrasts) * gains * _mean(grey, inside)
    factors = gains * contrasts
    if colours.blurs:
        torch.mul(grey, 1 - 2 * sides, out=spare)
        _add_neighbours(spare, grey, sides, dim=2)
        torch.mul(spare, factors * (1 - 2 * sides), out=grey)
        _add_neighbours(grey, spare, factors * sides, dim=1)
    else:
        grey.mul_(factors)
    grey.add_(offsets).clamp_(0, 255)


def _mean(grey: Tensor, inside: Tensor | None) -> Tensor:
    """(B, 1, 1)."""
    if inside is None:
        return grey.mean(dim=(1, 2), keepdim=True)
    counts = inside.sum(dim=(1, 2), keepdim=True).clamp(min=1)
    return (grey * inside).sum(dim=(1, 2), keepdim=True) / counts


def _add_neighbours(total: Tensor, grey: Tensor, weights: Tensor, dim: int) -> None:
    """Add to each pixel its two neighbours along a dimension, weighted; edges are repeated."""
    length = grey.shape[dim]
    last = length - 1
    total.narrow(dim, 1, last).addcmul_(grey.narrow(dim, 0, last), weights)
    total.narrow(dim, 0, last).addcmul_(grey.narrow(dim, 1, last), weights)
    for edge in (0, last):
        total.narrow(dim, edge, 1).addcmul_(grey.narrow(dim, edge, 1), weights)
