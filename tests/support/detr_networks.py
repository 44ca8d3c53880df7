"""Tiny networks with object queries, parts of them set by hand, so that what matters is known."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from fracture_core.models.cards import ModelCard
from fracture_core.models.families import family
from fracture_core.models.hf_architectures import named_config
from fracture_core.models.hf_detr import HfDetrModel
from fracture_core.settings import settings

# Networks as small as these gain nothing from threads, and lose much where others want them too.
torch.set_num_threads(1)

SIDE = 256
SQUARE = (slice(160, 224), slice(32, 96))
"""Rows and columns of a bright square: whole cells of every stride up to 32."""
_GAIN = 60.0


def image_with_square(level: int = 250) -> np.ndarray:
    """(256, 256) uint8, black but for a square."""
    pixels = np.zeros((SIDE, SIDE), dtype=np.uint8)
    pixels[SQUARE] = level
    return pixels


def hf_model(name: str, **changes: Any) -> HfDetrModel:
    """The tiny model of an architecture at an input of 256 px, its config changed."""
    _, config, _ = named_config(f"{name}:tiny")
    card = HfDetrModel.from_name(f"{name}:tiny").card
    facts = {**card.architecture, "config": {**config, **changes}}
    wide = card.model_copy(update={"architecture": facts, "input_size": SIDE})
    return HfDetrModel._drawn(wide, seed=1)


class LocalBackbone(nn.Module):
    """In place of a backbone: the mean of each cell in `seen`, and nothing from anywhere else."""

    def __init__(
        self,
        strides: list[int],
        channels: list[int],
        seen: tuple[slice, slice] = (slice(None), slice(None)),
    ) -> None:
        super().__init__()
        self.strides, self.seen = strides, seen
        generator = torch.Generator().manual_seed(0)
        self.mixes = [torch.rand(c, 1, 1, generator=generator) + 0.5 for c in channels]

    def forward(self, pixels: Tensor, mask: Tensor) -> list[tuple[Tensor, Tensor]]:
        window = torch.zeros_like(pixels[:, :1])
        window[..., self.seen[0], self.seen[1]] = 1
        # Black is −2.1 after ImageNet's normalisation and 0 without.
        grey = (pixels[:, :1] - pixels.amin()) * window
        levels = [
            functional.avg_pool2d(grey, stride) * mix
            for stride, mix in zip(self.strides, self.mixes, strict=True)
        ]
        return [(level, torch.ones_like(level[:, 0], dtype=torch.bool)) for level in levels]


@torch.no_grad()
def look_at_brightness(query: nn.Linear, key: nn.Linear, head_width: int, channel: Tensor) -> None:
    """Set projections so that every head of every query looks where `channel` is large."""
    query.weight.zero_()
    query.bias.zero_()
    query.bias[::head_width] = 1
    key.weight.zero_()
    key.bias.zero_()
    key.weight[::head_width] = _GAIN * channel


@torch.no_grad()
def silence(*layers: nn.Linear) -> None:
    for layer in layers:
        layer.weight.zero_()
        layer.bias.zero_()


@torch.no_grad()
def carry_brightness(projection: nn.Conv2d, channel: int = 0) -> Tensor:
    """Set a convolution to put mean brightness into one channel; returns that channel's axis."""
    projection.weight.zero_()
    projection.bias.zero_()
    projection.weight[channel] = 1 / projection.weight[channel].numel()
    axis = torch.zeros(projection.out_channels)
    axis[channel] = 1
    return axis


def saved(family_name: str, name: str) -> Callable[[Path], ModelCard]:
    """Puts a model with random weights into the library."""

    def add(folder: Path) -> ModelCard:
        model: Any = family(family_name).from_name(name)
        card: ModelCard = model.save(settings().models / model.card.model_id)
        return card

    return add
