"""A forward pass through transformers' DETR with all that training wants of it.

The library's own pass reads back from the device in every encoder layer, which a GPU waits for,
and with auxiliary losses it norms what goes from one decoder layer to the next, so that the
network would be trained as another one than predicts. Here no layer but the last is changed by
being looked at, as in the paper.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from fracture_core.nets.detr import DetrOutput


def detr_output(
    network: Any, pixels: Tensor, valid: Tensor | None, *, auxiliary: bool
) -> DetrOutput:
    """`pixels` (B, 3, H, W) normalised; `valid` (B, H, W) bool, None = nothing is padded."""
    core = network.model
    maps = core.backbone.model(pixels).feature_maps[-1]
    cells_valid = None if valid is None else _cells(valid, maps)
    positions = core.position_embedding(
        shape=maps.shape, device=maps.device, dtype=pixels.dtype, mask=cells_valid
    )
    positions = positions.flatten(2).transpose(1, 2)
    tokens = core.input_projection(maps).flatten(2).transpose(1, 2)
    mask = None if cells_valid is None else cells_valid.flatten(1)[:, None, None]
    memory = _encode(core.encoder, tokens, positions, mask)
    queries = core.query_position_embeddings.weight.expand(len(pixels), -1, -1)
    layers = _decode(core.decoder, queries, memory, positions, mask)
    return _answer(network, torch.stack(layers if auxiliary else layers[-1:]))


def yolos_output(network: Any, pixels: Tensor, valid: Tensor | None) -> DetrOutput:
    """As `detr_output`; the patches have no mask, so `valid` is not looked at."""
    states = network.vit(pixels).last_hidden_state
    return _answer(network, states[None, :, -network.config.num_detection_tokens :])


def _cells(valid: Tensor, maps: Tensor) -> Tensor:
    """(B, H, W) → (B, h, w), the nearest pixel of each cell."""
    shrunk = functional.interpolate(valid[None].float(), size=maps.shape[-2:])
    return shrunk[0].bool()


def _encode(encoder: Any, tokens: Tensor, positions: Tensor, mask: Tensor | None) -> Tensor:
    states = functional.dropout(tokens, p=encoder.dropout, training=encoder.training)
    for layer in encoder.layers:
        attended, _ = layer.self_attn(
            hidden_states=states, attention_mask=mask, position_embeddings=positions
        )
        attended = functional.dropout(attended, p=layer.dropout, training=layer.training)
        states = layer.self_attn_layer_norm(states + attended)
        states = layer.final_layer_norm(states + layer.mlp(states))
    return states


def _decode(
    decoder: Any, queries: Tensor, memory: Tensor, positions: Tensor, mask: Tensor | None
) -> list[Tensor]:
    """(B, Q, C) of every layer, normed."""
    states, seen = torch.zeros_like(queries), list[Tensor]()
    for layer in decoder.layers:
        states = layer(
            states,
            None,
            positions,
            queries,
            memory,
            encoder_attention_mask=mask,
        )
        seen.append(decoder.layernorm(states))
    return seen


def _answer(network: Any, states: Tensor) -> DetrOutput:
    """(layers, B, Q, C) states → what the heads read in them, in float32 under autocast, too."""
    with torch.autocast(states.device.type, enabled=False):
        logits = network.class_labels_classifier(states.float())
        boxes_cxcywh = network.bbox_predictor(states.float()).sigmoid()
    return DetrOutput(logits[-1], boxes_cxcywh[-1], logits[:-1], boxes_cxcywh[:-1], None)
