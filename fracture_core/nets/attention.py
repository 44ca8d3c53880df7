"""Multi-head attention, with its weights on request."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from fracture_core.errors import ConfigError


class Attention(nn.Module):
    """Scaled dot-product attention over several heads (Vaswani et al. 2017)."""

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

        `key_valid` (B, L) bool tells which keys may be looked at, None means all; a picture needs
        one at least. Returns (B, Q, C) and, on request, the weights before dropout
        (B, heads, Q, L). The fused kernel never holds the weights, so asking for them takes the
        slower, written-out way to the same answer.
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
