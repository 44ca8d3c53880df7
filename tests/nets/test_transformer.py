import itertools
from typing import Any

import pytest
import torch
from torch import nn

from fracture_core.errors import ConfigError
from fracture_core.nets.transformer import Attention, Transformer

TINY: dict[str, Any] = {
    "width": 16,
    "head_count": 2,
    "encoder_depth": 2,
    "decoder_depth": 3,
    "feedforward_width": 24,
    "dropout": 0.1,
    "norm_first": False,
}


def inputs() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return {
        "cells": torch.randn(2, 6, 16),
        "positions": torch.randn(1, 6, 16),
        "queries": torch.randn(4, 16),
        "valid": torch.tensor([[True] * 6, [True, True, False, True, False, False]]),
    }


def passed(
    transformer: Transformer, given: dict[str, torch.Tensor], *, with_attention: bool = False
) -> tuple[torch.Tensor, torch.Tensor | None]:
    memory = transformer.encode(given["cells"], given["positions"], given["valid"])
    return transformer.decode(given["queries"], memory, with_attention=with_attention)


def test_attention_agrees_with_torch() -> None:
    torch.manual_seed(0)
    ours = Attention(width=12, head_count=3, dropout=0.0).eval()
    theirs = nn.MultiheadAttention(12, 3, batch_first=True).eval()
    with torch.no_grad():
        theirs.in_proj_weight.copy_(
            torch.cat([ours.query.weight, ours.key.weight, ours.value.weight])
        )
        theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, ours.key.bias, ours.value.bias]))
        theirs.out_proj.load_state_dict(ours.out.state_dict())
    queries, keys, values = torch.randn(2, 4, 12), torch.randn(2, 5, 12), torch.randn(2, 5, 12)
    valid = torch.tensor([[True] * 5, [True, False, True, False, True]])
    expected, expected_weights = theirs(
        queries, keys, values, key_padding_mask=~valid, average_attn_weights=False
    )
    attended, weights = ours(queries, keys, values, valid, with_weights=True)
    torch.testing.assert_close(attended, expected, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(weights, expected_weights, atol=1e-6, rtol=1e-5)
    fused, none = ours(queries, keys, values, valid)
    assert none is None
    torch.testing.assert_close(fused, expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(
    ("norm_first", "encoder_depth", "decoder_depth"),
    list(itertools.product([False, True], [0, 1, 3], [1, 2])),
)
def test_shapes(norm_first: bool, encoder_depth: int, decoder_depth: int) -> None:
    shape = TINY | {
        "norm_first": norm_first,
        "encoder_depth": encoder_depth,
        "decoder_depth": decoder_depth,
    }
    states, attention = passed(Transformer(**shape), inputs(), with_attention=True)
    assert states.shape == (decoder_depth, 2, 4, 16)
    assert attention.shape == (2, 4, 6)


@pytest.mark.parametrize("norm_first", [False, True])
def test_asking_for_attention_changes_nothing(norm_first: bool) -> None:
    transformer = Transformer(**TINY | {"norm_first": norm_first}).eval()
    plain, none = passed(transformer, inputs())
    states, attention = passed(transformer, inputs(), with_attention=True)
    assert none is None
    torch.testing.assert_close(states, plain, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(attention.sum(-1), torch.ones(2, 4))
    assert (attention[~inputs()["valid"][:, None].expand_as(attention)] == 0).all()


@pytest.mark.parametrize("norm_first", [False, True])
def test_invalid_cells_are_never_seen(norm_first: bool) -> None:
    transformer = Transformer(**TINY | {"norm_first": norm_first}).eval()
    given = inputs()
    states, _ = passed(transformer, given)
    given["cells"] = torch.where(given["valid"][..., None], given["cells"], 1e3)
    torch.testing.assert_close(passed(transformer, given)[0], states)


def test_normalised_states_whichever_the_order() -> None:
    for norm_first in (False, True):
        states, _ = passed(Transformer(**TINY | {"norm_first": norm_first}), inputs())
        torch.testing.assert_close(states.mean(-1), torch.zeros(3, 2, 4), atol=1e-5, rtol=0)


@pytest.mark.parametrize("norm_first", [False, True])
def test_agrees_with_torch_without_positions(norm_first: bool) -> None:
    """nn.TransformerEncoderLayer is the same layer when every position is zero."""
    transformer = Transformer(**TINY | {"norm_first": norm_first, "encoder_depth": 1}).eval()
    ours = transformer.encoder[0]
    theirs = nn.TransformerEncoderLayer(
        16, 2, 24, dropout=0.1, batch_first=True, norm_first=norm_first
    ).eval()
    with torch.no_grad():
        attention = ours.attention
        theirs.self_attn.in_proj_weight.copy_(
            torch.cat([attention.query.weight, attention.key.weight, attention.value.weight])
        )
        theirs.self_attn.in_proj_bias.copy_(
            torch.cat([attention.query.bias, attention.key.bias, attention.value.bias])
        )
        theirs.self_attn.out_proj.load_state_dict(attention.out.state_dict())
        theirs.linear1.load_state_dict(ours.feedforward[0].state_dict())
        theirs.linear2.load_state_dict(ours.feedforward[3].state_dict())
    cells = inputs()["cells"]
    torch.testing.assert_close(
        ours(cells, torch.zeros_like(cells), None), theirs(cells), atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"head_count": 3}, "a divisor of the width 16"),
        ({"head_count": 0}, "a divisor of the width 16"),
        ({"decoder_depth": 0}, "decoder_depth: expected a whole number from 1"),
        ({"encoder_depth": -1}, "encoder_depth: expected a whole number from 0"),
        ({"encoder_depth": 1.5}, "found 1.5"),
        ({"width": 10**9}, "from 4 to 4096, found 1000000000"),
        ({"feedforward_width": 0}, "feedforward_width"),
        ({"dropout": 1.0}, "dropout: expected a number from 0"),
    ],
)
def test_shapes_that_cannot_be(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Transformer(**TINY | wrong)
