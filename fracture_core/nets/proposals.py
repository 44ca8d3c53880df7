"""Queries taken from the picture instead of learnt: the two stages of Deformable DETR.

Zhu et al. 2021, "Deformable DETR", section 4.2: every encoded cell tells how likely an object is
there and where it lies; the likeliest cells become the queries, their boxes are refined.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from fracture_core.nets.positions import cell_centres

_FIRST_SIDE = 0.12
"""The side of every cell's box before anything is learnt, a share of the picture."""


class Proposed(NamedTuple):
    """What L cells tell of B pictures, and what Q queries begin from."""

    logits: Tensor
    """(B, L, K+1), the last class is "no object"."""
    boxes_cxcywh: Tensor
    """(B, L, 4) centre and size in [0, 1]."""
    queries: Tensor
    """(B, Q, C) the positions of the chosen cells."""
    states: Tensor
    """(B, Q, C) their content; no gradient."""
    references: Tensor
    """(B, Q, 4) their boxes before the sigmoid; no gradient."""


class CellProposals(nn.Module):
    """The `query_count` likeliest cells of each picture, or all where there are fewer."""

    def __init__(self, *, width: int, class_count: int, query_count: int) -> None:
        super().__init__()
        self.query_count = query_count
        self.class_head = nn.Linear(width, class_count + 1)
        self.box_head = nn.Sequential(nn.Linear(width, width), nn.ReLU(), zero_linear(width, 4))
        self.place = nn.Linear(width, width)

    def forward(self, cells: Tensor, positions: Tensor, valid: Tensor) -> Proposed:
        """(B, L, C) encoded cells, (B or 1, L, C) positions, (B or 1, h, w) bool with h·w = L.

        A cell in the padding is no object for sure, and chosen only where there are fewer valid
        cells than queries.
        """
        valid = valid.expand(len(cells), -1, -1)
        # Heads read in float32 under autocast too, as those of the decoder do.
        with torch.autocast(cells.device.type, enabled=False):
            content = cells.to(self.place.weight.dtype)
            logits = _no_object_outside(self.class_head(content), valid.flatten(1))
            places = _first_boxes(valid).to(content.dtype) + self.box_head(content)
            objectness = logits[..., :-1].amax(dim=-1) - logits[..., -1]
            count = min(self.query_count, cells.shape[1])
            index = objectness.topk(count, dim=1).indices[..., None]
            where = positions.to(content.dtype).expand(len(cells), -1, -1)
            return Proposed(
                logits=logits,
                boxes_cxcywh=places.sigmoid(),
                queries=self.place(_taken(where, index)),
                states=_taken(content, index).detach(),
                references=_taken(places, index).detach(),
            )


def zero_linear(width: int, out: int) -> nn.Linear:
    """A layer that answers zero until it has learnt: boxes begin as what they refine."""
    layer = nn.Linear(width, out)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def _first_boxes(valid: Tensor) -> Tensor:
    """(B, h, w) → (B, h · w, 4) before the sigmoid: a small square on each cell."""
    centres = cell_centres(valid).flatten(1, 2)
    boxes = torch.cat([centres, torch.full_like(centres, _FIRST_SIDE)], dim=-1)
    return torch.logit(boxes, eps=1e-4)


def _no_object_outside(logits: Tensor, valid: Tensor) -> Tensor:
    nothing = torch.zeros_like(logits[0, 0])
    nothing[:-1] = -1e4
    return torch.where(valid[..., None], logits, nothing)


def _taken(cells: Tensor, index: Tensor) -> Tensor:
    """(B, L, C) and (B, Q, 1) → (B, Q, C)."""
    return cells.gather(dim=1, index=index.expand(-1, -1, cells.shape[-1]))
