"""The transformer of DETR: an encoder over picture cells, a decoder over object queries.

Carion et al. 2020, "End-to-End Object Detection with Transformers". Unlike in the transformer for
text, positions are added to the queries and keys of every attention, never to the values.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from fracture_core.nets.attention import Attention
from fracture_core.nets.limits import check_share, check_whole


class Memory(NamedTuple):
    """The encoded cells as the decoder looks at them; only the keys carry positions."""

    keys: Tensor
    """(B, L, C)"""
    values: Tensor
    """(B, L, C)"""
    valid: Tensor | None
    """(B, L) bool, None where every cell lies inside its picture."""


class EncoderLayer(nn.Module):
    """Self-attention among the cells, then a feed-forward network on each."""

    def __init__(
        self,
        *,
        width: int,
        head_count: int,
        feedforward_width: int,
        dropout: float,
        norm_first: bool,
    ) -> None:
        super().__init__()
        self.norm_first = norm_first
        self.attention = Attention(width=width, head_count=head_count, dropout=dropout)
        self.attention_norm = nn.LayerNorm(width)
        self.feedforward = _feedforward(width, feedforward_width, dropout)
        self.feedforward_norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, cells: Tensor, positions: Tensor, valid: Tensor | None) -> Tensor:
        """(B, L, C) cells and their positions, (B, L) validity → (B, L, C)."""
        if self.norm_first:
            cells = cells + self._attend(self.attention_norm(cells), positions, valid)
            return cells + self._feed(self.feedforward_norm(cells))
        cells = self.attention_norm(cells + self._attend(cells, positions, valid))
        fed: Tensor = self.feedforward_norm(cells + self._feed(cells))
        return fed

    def _attend(self, cells: Tensor, positions: Tensor, valid: Tensor | None) -> Tensor:
        placed = cells + positions
        attended: Tensor = self.dropout(self.attention(placed, placed, cells, valid)[0])
        return attended

    def _feed(self, cells: Tensor) -> Tensor:
        fed: Tensor = self.dropout(self.feedforward(cells))
        return fed


class DecoderLayer(nn.Module):
    """Self-attention among the queries, attention to the cells, then a feed-forward network."""

    def __init__(
        self,
        *,
        width: int,
        head_count: int,
        feedforward_width: int,
        dropout: float,
        norm_first: bool,
    ) -> None:
        super().__init__()
        self.norm_first = norm_first
        self.self_attention = Attention(width=width, head_count=head_count, dropout=dropout)
        self.self_norm = nn.LayerNorm(width)
        self.cross_attention = Attention(width=width, head_count=head_count, dropout=dropout)
        self.cross_norm = nn.LayerNorm(width)
        self.feedforward = _feedforward(width, feedforward_width, dropout)
        self.feedforward_norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        states: Tensor,
        queries: Tensor,
        memory: Memory,
        *,
        with_weights: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """(B, Q, C) states of the queries so far and the learnt queries, their positions.

        Returns the new states and, on request, the cross-attention (B, heads, Q, L).
        """
        if self.norm_first:
            states = states + self._self_attend(self.self_norm(states), queries)
            seen, weights = self._cross_attend(
                self.cross_norm(states), queries, memory, with_weights
            )
            states = states + seen
            return states + self._feed(self.feedforward_norm(states)), weights
        states = self.self_norm(states + self._self_attend(states, queries))
        seen, weights = self._cross_attend(states, queries, memory, with_weights)
        states = self.cross_norm(states + seen)
        return self.feedforward_norm(states + self._feed(states)), weights

    def _self_attend(self, states: Tensor, queries: Tensor) -> Tensor:
        placed = states + queries
        attended: Tensor = self.dropout(self.self_attention(placed, placed, states, None)[0])
        return attended

    def _cross_attend(
        self, states: Tensor, queries: Tensor, memory: Memory, with_weights: bool
    ) -> tuple[Tensor, Tensor | None]:
        seen, weights = self.cross_attention(
            states + queries, memory.keys, memory.values, memory.valid, with_weights=with_weights
        )
        return self.dropout(seen), weights

    def _feed(self, states: Tensor) -> Tensor:
        fed: Tensor = self.dropout(self.feedforward(states))
        return fed


class Transformer(nn.Module):
    """Encoder and decoder; the decoder gives the states after every layer.

    Layers are normalised after each sub-layer, or before it with `norm_first` (Xiong et al. 2020),
    which trains without warm-up; then the memory is normalised too. The norm on the decoder's
    states is shared by all layers, so one set of heads reads them all.
    """

    def __init__(
        self,
        *,
        width: int,
        head_count: int,
        encoder_depth: int,
        decoder_depth: int,
        feedforward_width: int,
        dropout: float,
        norm_first: bool,
    ) -> None:
        super().__init__()
        check_whole("width", width, 4, 4096)
        check_whole("encoder_depth", encoder_depth, 0, 64)
        check_whole("decoder_depth", decoder_depth, 1, 64)
        check_whole("feedforward_width", feedforward_width, 1, 65_536)
        check_share("dropout", dropout)
        self.width = width
        self.encoder = nn.ModuleList(
            EncoderLayer(
                width=width,
                head_count=head_count,
                feedforward_width=feedforward_width,
                dropout=dropout,
                norm_first=norm_first,
            )
            for _ in range(encoder_depth)
        )
        self.encoder_norm = nn.LayerNorm(width) if norm_first else nn.Identity()
        self.decoder = nn.ModuleList(
            DecoderLayer(
                width=width,
                head_count=head_count,
                feedforward_width=feedforward_width,
                dropout=dropout,
                norm_first=norm_first,
            )
            for _ in range(decoder_depth)
        )
        self.decoder_norm = nn.LayerNorm(width)
        self._spread_evenly()

    def encode(self, cells: Tensor, positions: Tensor, valid: Tensor | None) -> Memory:
        """Let the cells (B, L, C) of each picture, at `positions` (B or 1, L, C), see each other.

        Cells where `valid` (B, L) is False are never looked at.
        """
        for layer in self.encoder:
            cells = layer(cells, positions, valid)
        values = self.encoder_norm(cells)
        return Memory(values + positions, values, valid)

    def decode(
        self,
        queries: Tensor,
        memory: Memory,
        *,
        states: Tensor | None = None,
        with_attention: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Let the queries (Q, C) or (B, Q, C) read the memory, layer by layer.

        Returns the states after each (layers, B, Q, C) and, on request, the last layer's
        cross-attention, mean of the heads, (B, Q, L). Without `states` (B, Q, C) to start from
        they are zero, so the first self-attention only adds a constant, as in the paper.
        """
        queries = queries.expand(len(memory.values), -1, -1)
        if states is None:
            states = torch.zeros_like(queries)
        after_each, attention = [], None
        last = len(self.decoder) - 1
        for depth, layer in enumerate(self.decoder):
            states, weights = layer(
                states, queries, memory, with_weights=with_attention and depth == last
            )
            after_each.append(self.decoder_norm(states))
            attention = None if weights is None else weights.mean(dim=1)
        return torch.stack(after_each), attention

    def _spread_evenly(self) -> None:
        """Start every matrix at Glorot and Bengio's uniform scale, as DETR does."""
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)


def _feedforward(width: int, hidden: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, width)
    )
