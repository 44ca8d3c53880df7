"""DETR: an image in, a set of boxes out (Carion et al. 2020).

pixels → backbone → 1×1 convolution → encoder → decoder with queries → class and box heads

The queries are learnt or, with two stages, taken from the image (Zhu et al. 2021, "Deformable
DETR", section 4.2): every encoded cell tells how likely an object is there and where it lies, the
likeliest cells become the queries, and their boxes are refined.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from fracture_core.nets.backbone import (
    BACKBONES,
    FULL_WIDTH,
    Backbone,
    mobile_backbone,
    resnet_backbone,
)
from fracture_core.nets.limits import check_name, check_whole
from fracture_core.nets.mobile import MOBILES
from fracture_core.nets.transformer import SinePositions, Transformer, cell_centres

# ---- queries taken from the image ---------------------------------------------------------------

_FIRST_SIDE = 0.12
"""The side of every cell's box before anything is learnt, as a share of the image."""


class Proposed(NamedTuple):
    """What L cells propose for B images, and what Q queries begin with."""

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
    """Proposes the `query_count` likeliest cells of each image, or all where there are fewer."""

    def __init__(self, *, width: int, class_count: int, query_count: int) -> None:
        super().__init__()
        self.query_count = query_count
        self.class_head = nn.Linear(width, class_count + 1)
        self.box_head = nn.Sequential(nn.Linear(width, width), nn.ReLU(), zero_linear(width, 4))
        self.place = nn.Linear(width, width)

    def forward(self, cells: Tensor, positions: Tensor, valid: Tensor) -> Proposed:
        """Propose from encoded `cells` (B, L, C) at `positions` (B or 1, L, C).

        `valid` (B or 1, h, w) bool, h · w = L, is True inside the image. A cell in the padding has
        the class "no object", and is chosen only where there are fewer valid cells than queries.
        """
        valid = valid.expand(len(cells), -1, -1)
        # The heads compute in float32 even under autocast, as those of the decoder do.
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
    """Make a layer that gives zero until it is trained: boxes begin as what they refine."""
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


# ---- the network --------------------------------------------------------------------------------


class DetrOutput(NamedTuple):
    """What Q queries say of B images, raw: no threshold is applied."""

    logits: Tensor
    """(B, Q, K+1), the last class is "no object"."""
    boxes_cxcywh: Tensor
    """(B, Q, 4) centre and size in [0, 1], shares of the unpadded image."""
    auxiliary_logits: Tensor
    """(decoder layers − 1, B, Q, K+1), or (0, B, Q, K+1) without auxiliary outputs."""
    auxiliary_boxes_cxcywh: Tensor
    """(decoder layers − 1, B, Q, 4), or (0, B, Q, 4)."""
    attention: Tensor | None
    """(B, Q, h, w) on request: where each query looked in the last decoder layer, mean of the
    heads, sums to 1 over the valid cells."""
    proposals: "DetrOutput | None" = None
    """What the cells proposed in the first of two stages, as the output of h · w queries."""

    def every_layers_logits(self) -> Tensor:
        """Return the logits of all layers, (layers, B, Q, K+1), those of the output itself last."""
        return torch.cat([self.auxiliary_logits, self.logits[None]])

    def every_layers_boxes_cxcywh(self) -> Tensor:
        """Return the boxes of all layers, (layers, B, Q, 4), those of the output itself last."""
        return torch.cat([self.auxiliary_boxes_cxcywh, self.boxes_cxcywh[None]])


class Detr(nn.Module):
    """Gives a set of `query_count` boxes with classes for an image, which needs no suppression.

    What lies in the padding never matters, and how much there is only through the backbone: the
    transformer sees valid cells alone. With `auxiliary` the heads read every decoder layer; with
    `two_stage` queries are not learnt but cells of the image. Raises ConfigError for counts that
    cannot be.
    """

    def __init__(
        self,
        backbone: Backbone,
        transformer: Transformer,
        *,
        class_count: int,
        query_count: int,
        auxiliary: bool = True,
        two_stage: bool = False,
    ) -> None:
        super().__init__()
        check_whole("class_count", class_count, 1, 10_000)
        check_whole("query_count", query_count, 1, 10_000)
        width = transformer.width
        self.backbone = backbone
        self.projection = nn.Conv2d(backbone.channels, width, 1)
        self.positions = SinePositions(width)
        self.transformer = transformer
        self.class_head = nn.Linear(width, class_count + 1)
        last = zero_linear(width, 4) if two_stage else nn.Linear(width, 4)
        self.box_head = nn.Sequential(
            nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), last
        )
        self.proposals: CellProposals | None = None
        self.cell_norm: nn.Module = nn.Identity()
        if two_stage:
            # It works on each cell alone: Deformable DETR's group norm would see the padding.
            self.cell_norm = nn.LayerNorm(width)
            self.proposals = CellProposals(
                width=width, class_count=class_count, query_count=query_count
            )
        else:
            self.queries = nn.Parameter(torch.randn(query_count, width))
        self.auxiliary = auxiliary

    def forward(
        self, pixels: Tensor, valid: Tensor | None = None, *, with_attention: bool = False
    ) -> DetrOutput:
        """Detect in normalised `pixels` (B, channels, H, W), where H and W are free.

        `valid` (B, H, W) bool is True inside the image, which lies at the top left with padding
        right and below; None means no padding. Raises ValueError for another shape or type of it.
        """
        if valid is not None:
            _check_valid(valid, pixels)
            pixels = pixels.masked_fill(~valid[:, None], 0)
        cells = self.projection(self.backbone(pixels))
        grid = self._valid_cells(valid, cells)
        positions = _tokens(self.positions(grid).to(cells.dtype))
        known = None if valid is None else grid.flatten(1)
        memory = self.transformer.encode(self.cell_norm(_tokens(cells)), positions, known)
        proposed = None
        if self.proposals is not None:
            proposed = self.proposals(memory.values, positions, grid)
        states, attention = self.transformer.decode(
            self.queries if proposed is None else proposed.queries,
            memory,
            states=None if proposed is None else proposed.states,
            with_attention=with_attention,
        )
        if attention is not None:
            attention = attention.view(*attention.shape[:2], *cells.shape[-2:])
        return self._answer(states, attention, proposed)

    def _valid_cells(self, valid: Tensor | None, cells: Tensor) -> Tensor:
        """(B, h, w), or (1, h, w) for all images where nothing is padded.

        A cell is valid where its first pixel is.
        """
        if valid is None:
            return cells.new_ones((1, *cells.shape[-2:]), dtype=torch.bool)
        stride = self.backbone.stride
        return valid[:, ::stride, ::stride]

    def _answer(
        self, states: Tensor, attention: Tensor | None, proposed: Proposed | None
    ) -> DetrOutput:
        """(layers, B, Q, C) states → what the heads read in them."""
        # The heads compute in float32 even under autocast: a box in bfloat16 is off by a pixel or
        # two.
        with torch.autocast(states.device.type, enabled=False):
            logits, places = self.class_head(states), self.box_head(states)
            if proposed is not None:
                places = places + proposed.references
            boxes_cxcywh = places.sigmoid()
        matched = len(states) - 1 if self.auxiliary else 0
        return DetrOutput(
            logits[-1],
            boxes_cxcywh[-1],
            logits[:matched],
            boxes_cxcywh[:matched],
            attention,
            None if proposed is None else _as_output(proposed),
        )


# ---- building one -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class DetrArchitecture:
    """Everything that fixes the shapes of a `Detr`, as a model card keeps it.

    The backbone is a ResNet or one of `fracture_core.nets.mobile`, which has one width.

    The defaults are those of a small data set: three layers each, few queries, strong dropout.
    """

    class_count: int
    query_count: int = 4
    backbone: str = "resnet50"
    backbone_width: int = FULL_WIDTH
    backbone_depth: int = 4
    in_channels: int = 3
    frozen_norm: bool = True
    width: int = 256
    head_count: int = 8
    encoder_depth: int = 3
    decoder_depth: int = 3
    feedforward_width: int = 2048
    dropout: float = 0.3
    norm_first: bool = False
    auxiliary: bool = True
    two_stage: bool = False


def build_detr(
    architecture: DetrArchitecture,
    *,
    backbone_weights: str | None = None,
    frozen_stages: int = 0,
) -> Detr:
    """Build a `Detr` with random weights; those of the backbone may be torchvision's, by name.

    Raises ConfigError for a shape that cannot be, WeightsError for weights that are not at hand.
    """
    backbone = _backbone(architecture, backbone_weights, frozen_stages)
    transformer = Transformer(
        width=architecture.width,
        head_count=architecture.head_count,
        encoder_depth=architecture.encoder_depth,
        decoder_depth=architecture.decoder_depth,
        feedforward_width=architecture.feedforward_width,
        dropout=architecture.dropout,
        norm_first=architecture.norm_first,
    )
    return Detr(
        backbone,
        transformer,
        class_count=architecture.class_count,
        query_count=architecture.query_count,
        auxiliary=architecture.auxiliary,
        two_stage=architecture.two_stage,
    )


def _backbone(architecture: DetrArchitecture, weights: str | None, frozen_stages: int) -> Backbone:
    name = architecture.backbone
    check_name("backbone", name, BACKBONES)
    if name not in MOBILES:
        return resnet_backbone(
            name,
            in_channels=architecture.in_channels,
            width=architecture.backbone_width,
            weights=weights,
            frozen_norm=architecture.frozen_norm,
            frozen_stages=frozen_stages,
            depth=architecture.backbone_depth,
        )
    check_whole(f"in_channels of {name}", architecture.in_channels, 3, 3)
    check_whole(f"backbone_width of {name}", architecture.backbone_width, FULL_WIDTH, FULL_WIDTH)
    return mobile_backbone(
        name,
        frozen_norm=architecture.frozen_norm,
        frozen_stages=frozen_stages,
        depth=architecture.backbone_depth,
    )


def _as_output(proposed: Proposed) -> DetrOutput:
    logits, boxes_cxcywh = proposed.logits, proposed.boxes_cxcywh
    return DetrOutput(logits, boxes_cxcywh, logits[None][:0], boxes_cxcywh[None][:0], None)


def _tokens(cells: Tensor) -> Tensor:
    """(B, C, h, w) → (B, h · w, C), row by row."""
    return cells.flatten(2).transpose(1, 2)


def _check_valid(valid: Tensor, pixels: Tensor) -> None:
    expected = (len(pixels), *pixels.shape[-2:])
    if valid.shape != expected or valid.dtype != torch.bool:
        found = f"{tuple(valid.shape)} {valid.dtype}"
        raise ValueError(f"valid: expected shape {expected} of bool, found {found}")
