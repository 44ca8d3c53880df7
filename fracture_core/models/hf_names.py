"""Tensor names of transformers, past and present, brought to one form.

The library has renamed parts of its networks and renames them again when it saves, and its older
DETRs carry timm's names for the backbone. Both sides of a comparison go through `canonical`.
"""

import re
from collections.abc import Collection
from functools import lru_cache

from fracture_core.models.hf_architectures import ARCHITECTURES, Architecture

_RULES = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\bbackbone\.conv_encoder\.model\.", "backbone.model."),
        (r"\.o_proj\.", ".out_proj."),
        (r"layers\.(\d+)\.mlp\.fc(\d)\.", r"layers.\1.fc\2."),
        (r"layers\.(\d+)\.mlp\.layers\.0\.", r"layers.\1.fc1."),
        (r"layers\.(\d+)\.mlp\.layers\.1\.", r"layers.\1.fc2."),
        (r"\bencoder\.aifi\.", "encoder.encoder."),
        (r"\bencoder\.interpolation\.mid_", "encoder.mid_"),
        (r"^(class|bbox)_embed\.(\d)", r"model.decoder.\1_embed.\2"),
        # Conditional DETR's decoder.
        (r"\.self_attn\.([qk])_(content|pos)_proj\.", r".sa_\1\2_proj."),
        (r"\.encoder_attn\.([qk])_(content|pos|pos_sine)_proj\.", r".ca_\1\2_proj."),
        (r"\.(sa|ca)_v_proj\.", r".\1.v_proj."),
        (r"(decoder\.layers\.\d+)\.self_attn\.v_proj\.", r"\1.sa.v_proj."),
        (r"(decoder\.layers\.\d+)\.encoder_attn\.v_proj\.", r"\1.ca.v_proj."),
        # timm's ResNet.
        (r"(backbone\.model)\.conv1\.", r"\1.embedder.embedder.convolution."),
        (r"(backbone\.model)\.bn1\.", r"\1.embedder.embedder.normalization."),
        (r"(backbone\.model)\.layer([1-4])\.(\d+)\.", r"\1.stage\2.\3."),
        (r"\.downsample\.0\.", ".shortcut.convolution."),
        (r"\.downsample\.1\.", ".shortcut.normalization."),
        (r"(\.stage\d\.\d+)\.conv1\.", r"\1.layer.0.convolution."),
        (r"(\.stage\d\.\d+)\.conv2\.", r"\1.layer.1.convolution."),
        (r"(\.stage\d\.\d+)\.conv3\.", r"\1.layer.2.convolution."),
        (r"(\.stage\d\.\d+)\.bn1\.", r"\1.layer.0.normalization."),
        (r"(\.stage\d\.\d+)\.bn2\.", r"\1.layer.1.normalization."),
        (r"(\.stage\d\.\d+)\.bn3\.", r"\1.layer.2.normalization."),
        (r"\.encoder\.stages\.0\.layers\.(\d+)\.", r".stage1.\1."),
        (r"\.encoder\.stages\.1\.layers\.(\d+)\.", r".stage2.\1."),
        (r"\.encoder\.stages\.2\.layers\.(\d+)\.", r".stage3.\1."),
        (r"\.encoder\.stages\.3\.layers\.(\d+)\.", r".stage4.\1."),
    )
)


@lru_cache(maxsize=50_000)
def canonical(name: str) -> str:
    """A tensor's name in the one form that all versions of the library share here."""
    for pattern, replacement in _RULES:
        name = pattern.sub(replacement, name)
    return name


def architecture_of(names: Collection[str]) -> Architecture | None:
    """The architecture whose mark is among the names, None where none is."""
    for architecture in ARCHITECTURES.values():
        # Two-stage Deformable DETR has no query embeddings, so a mark is one name, not a set.
        if architecture.mark in names and not any(mark in names for mark in architecture.unmarked):
            return architecture
    return None
