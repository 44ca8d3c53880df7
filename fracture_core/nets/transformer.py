"""The transformer of DETR: an encoder over image cells, a decoder over object queries.

Carion et al. 2020, "End-to-End Object Detection with Transformers". Unlike in the transformer for
text, positions are added to the queries and keys of every attention, never to the values. The
positions of cells are sines and cosines; attention gives its weights on request.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from fracture_core.errors import ConfigError
from fracture_core.nets.limits import check_share, check_whole

# ---- positions ----------------------------------------------------------------------------------


class SinePositions(nn.Module):
    """Fixed 2-D positions, the first half of the channels for the row, the second for the column.

    A cell's row and column are counted over valid cells only, from 1, and divided by the number
    of valid ones, so that the last valid cell lies at 2π however much padding follows. Channels
    go sine, cosine, sine, … with wavelengths from 2π to `temperature` · 2π. After Vaswani et al.
    2017, in the two dimensions of Carion et al. 2020 (DETR). Raises ConfigError for a width that is
    no multiple of 4.
    """

    def __init__(self, width: int, *, temperature: float = 10_000.0) -> None:
        super().__init__()
        if width < 4 or width % 4:
            raise ConfigError("width", expected="a positive multiple of 4", found=str(width))
        self.pair_count = width // 4
        self.temperature = temperature

    def forward(self, valid: Tensor) -> Tensor:
        """Return positions (B, width, h, w) float32 in [−1, 1] of cells.

        `valid` (B, h, w) bool is True inside the image.
        """
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
    """Return (B, h, w, 2) x and y of each cell's middle as shares of the valid part (B, h, w)."""
    count = valid.to(torch.float32)
    across = [_share_of_way(count, dim=dim, before=0.5) for dim in (2, 1)]
    return torch.stack(across, dim=-1)


def _share_of_way(count: Tensor, dim: int, *, before: float = 0.0) -> Tensor:
    """The share of the valid length up to `before` cells before the end of each cell."""
    passed = count.cumsum(dim)
    # A row or column without a valid cell has a share, not NaN.
    return (passed - before) / passed.amax(dim, keepdim=True).clamp(min=1)


# ---- attention ----------------------------------------------------------------------------------


class Attention(nn.Module):
    """Scaled dot-product attention over several heads (Vaswani et al. 2017).

    Raises ConfigError where the number of heads does not divide the width.
    """

    def __init__(self, *, width: int, head_count: int, dropout: float) -> None:
        super().__init__()
        if head_count < 1 or width % head_count:
            raise ConfigError(
                "head_count", expected=f"a divisor of the width {width}", found=str(head_count)
            )
        self.head_count = head_count
        self.dropout = dropout
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def forward(
        self,
        queries: Tensor,
        keys: Tensor,
        values: Tensor,
        key_valid: Tensor | None,
        *,
        with_weights: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Attend from `queries` (B, Q, C) to `keys` and `values` (B, L, C).

        `key_valid` (B, L) bool tells which keys may be looked at, None means all; an image needs
        one at least. Returns (B, Q, C) and, on request, the weights before dropout
        (B, heads, Q, L). The fused kernel never holds the weights, so that asking for them takes
        the slower, written-out way to the same result.
        """
        q = self._heads(self.query(queries))
        k = self._heads(self.key(keys))
        v = self._heads(self.value(values))
        mask = None if key_valid is None else key_valid[:, None, None, :]
        dropout = self.dropout if self.training else 0.0
        weights = None
        if with_weights:
            weights = _weights(q, k, mask)
            mixed = functional.dropout(weights, dropout).to(v.dtype) @ v
        else:
            mixed = functional.scaled_dot_product_attention(
                q, k, v, attn_mask=mask, dropout_p=dropout
            )
        attended: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return attended, weights

    def _heads(self, tokens: Tensor) -> Tensor:
        """(B, L, C) → (B, heads, L, C / heads)."""
        batch, length, width = tokens.shape
        return tokens.view(batch, length, self.head_count, width // self.head_count).transpose(1, 2)


def _weights(q: Tensor, k: Tensor, mask: Tensor | None) -> Tensor:
    scores = (q @ k.transpose(-2, -1)).float() / math.sqrt(q.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    return torch.softmax(scores, dim=-1)


# ---- encoder and decoder ------------------------------------------------------------------------


class Memory(NamedTuple):
    """The encoded cells as the decoder looks at them; only the keys carry positions."""

    keys: Tensor
    """(B, L, C)"""
    values: Tensor
    """(B, L, C)"""
    valid: Tensor | None
    """(B, L) bool, None where every cell lies inside its image."""


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
        """Return the cells (B, L, C) after the layer, from cells, positions and validity (B, L)."""
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
        """Return the new states of the queries, (B, Q, C), from the `states` so far.

        The `queries` (B, Q, C) serve as positions. On request the cross-attention (B, heads, Q, L)
        is returned too.
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
    states is shared by all layers, so that one set of heads reads them all. Raises ConfigError for
    a shape that cannot be.
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
        """Let the cells (B, L, C) of each image, at `positions` (B or 1, L, C), see each other.

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

        Returns the states after each layer, (layers, B, Q, C), and, on request, the cross-attention
        of the last one, the mean of its heads, (B, Q, L). Without `states` (B, Q, C) to start from
        they are zero, so that the first self-attention only adds a constant, as in the paper.
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
        """Draws every matrix at Glorot and Bengio's uniform scale, as DETR does."""
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)


def _feedforward(width: int, hidden: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, width)
    )
