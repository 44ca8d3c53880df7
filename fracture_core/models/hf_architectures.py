"""The DETR family of transformers: what tells its architectures apart, and their sizes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from fracture_core.errors import ConfigError
from fracture_core.models.query_detector import DetrInput

Config = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """One architecture, by its `model_type` in transformers.

    `scores` is "softmax" over the classes and "no object", or "sigmoid" for each class alone.
    `explains` names the map of a finding: "cross-attention" where it is a query's look in the last
    decoder layer, "token attention" for a detection token's look at the patches, "evidence" where
    attention samples a few points and is no map. `input_size` is the usual shorter side, or the
    side of the square, in pixels. `mark` is a tensor that only this architecture and some of its
    kin have; it is told from them by `unmarked`, tensors that it has not.
    """

    model_type: str
    title: str
    config_class: str
    network_class: str
    scores: Literal["softmax", "sigmoid"]
    explains: Literal["cross-attention", "token attention", "evidence"]
    mark: str
    unmarked: tuple[str, ...] = ()
    square: bool = False
    normalises: bool = True
    multiple_of: int = 1
    input_size: int = 800

    def input(self, facts: Mapping[str, object], input_size: int) -> DetrInput:
        """Returns the input for a card's facts and size; what they do not tell is as usual."""
        longest_edge, normalises = facts.get("longest_edge"), facts.get("normalises")
        longest = input_size * 1333 // 800 if longest_edge is None else int(str(longest_edge))
        square = self.square or facts.get("square") is True
        return DetrInput(
            shortest_edge=input_size,
            longest_edge=None if square else max(longest, input_size),
            multiple_of=self.multiple_of,
            normalises=self.normalises if normalises is None else bool(normalises),
        )


_EVERY = (
    Architecture(
        model_type="detr",
        title="DETR",
        config_class="DetrConfig",
        network_class="DetrForObjectDetection",
        scores="softmax",
        explains="cross-attention",
        mark="model.query_position_embeddings.weight",
        unmarked=("model.decoder.query_scale.layers.0.weight", "model.level_embed"),
    ),
    Architecture(
        model_type="conditional_detr",
        title="Conditional DETR",
        config_class="ConditionalDetrConfig",
        network_class="ConditionalDetrForObjectDetection",
        scores="sigmoid",
        explains="cross-attention",
        mark="model.decoder.query_scale.layers.0.weight",
        unmarked=("model.query_refpoint_embeddings.weight",),
    ),
    Architecture(
        model_type="deformable_detr",
        title="Deformable DETR",
        config_class="DeformableDetrConfig",
        network_class="DeformableDetrForObjectDetection",
        scores="sigmoid",
        explains="evidence",
        mark="model.level_embed",
    ),
    Architecture(
        model_type="dab-detr",
        title="DAB-DETR",
        config_class="DabDetrConfig",
        network_class="DabDetrForObjectDetection",
        scores="sigmoid",
        explains="cross-attention",
        mark="model.query_refpoint_embeddings.weight",
    ),
    Architecture(
        model_type="rt_detr",
        title="RT-DETR",
        config_class="RTDetrConfig",
        network_class="RTDetrForObjectDetection",
        scores="sigmoid",
        explains="evidence",
        mark="model.enc_score_head.weight",
        unmarked=("model.decoder.layers.0.encoder_attn.n_points_scale", "model.decoder.reg_scale"),
        square=True,
        normalises=False,
        input_size=640,
    ),
    Architecture(
        model_type="rt_detr_v2",
        title="RT-DETRv2",
        config_class="RTDetrV2Config",
        network_class="RTDetrV2ForObjectDetection",
        scores="sigmoid",
        explains="evidence",
        mark="model.decoder.layers.0.encoder_attn.n_points_scale",
        square=True,
        normalises=False,
        input_size=640,
    ),
    Architecture(
        model_type="d_fine",
        title="D-FINE",
        config_class="DFineConfig",
        network_class="DFineForObjectDetection",
        scores="sigmoid",
        explains="evidence",
        mark="model.decoder.reg_scale",
        square=True,
        normalises=False,
        input_size=640,
    ),
    Architecture(
        model_type="yolos",
        title="YOLOS",
        config_class="YolosConfig",
        network_class="YolosForObjectDetection",
        scores="softmax",
        explains="token attention",
        mark="vit.embeddings.detection_tokens",
        multiple_of=16,
    ),
)
ARCHITECTURES: Mapping[str, Architecture] = {one.model_type: one for one in _EVERY}

_RESNET_50: Config = {"model_type": "resnet", "out_features": ["stage4"]}
_THREE_STAGES = {"out_features": ["stage2", "stage3", "stage4"]}
_RT_RESNET_50: Config = {"model_type": "rt_detr_resnet", **_THREE_STAGES}
_HGNET_L: Config = {"model_type": "hgnet_v2", **_THREE_STAGES}
# As published for COCO, with a ResNet-50 or the published backbone nearest to it in size.
_USUAL: Mapping[str, Config] = {
    "detr": {"backbone_config": _RESNET_50},
    "conditional_detr": {"backbone_config": _RESNET_50},
    "deformable_detr": {"backbone_config": {**_RESNET_50, **_THREE_STAGES}},
    "dab-detr": {"backbone_config": _RESNET_50},
    "rt_detr": {"backbone_config": _RT_RESNET_50},
    "rt_detr_v2": {"backbone_config": _RT_RESNET_50},
    "d_fine": {"backbone_config": _HGNET_L, "decoder_n_points": [3, 6, 3]},
    "yolos": {"image_size": [800, 1344]},
}

MOBILE = "fracture_mobile"
"""The model type of `fracture_core.models.hf_mobile`: MobileNetV2 as a backbone."""

_SMALL_SIZE = 512
_SMALL_HYBRID: Config = {
    "backbone_config": {"model_type": MOBILE, **_THREE_STAGES},
    "encoder_in_channels": [32, 96, 320],
    "encoder_hidden_dim": 128,
    "encoder_ffn_dim": 512,
    "hidden_expansion": 0.5,
    "d_model": 128,
    "decoder_in_channels": [128, 128, 128],
    "decoder_ffn_dim": 512,
    "decoder_layers": 3,
    "num_queries": 100,
    "num_denoising": 50,
}
# A fifth to a tenth of the published sizes, for small data sets and for a CPU.
_SMALL: Mapping[str, Config] = {
    "rt_detr": _SMALL_HYBRID,
    "rt_detr_v2": _SMALL_HYBRID,
    "d_fine": {**_SMALL_HYBRID, "decoder_n_points": [3, 6, 3]},
}

_TINY_SIZE = 64
_TINY_RESNET: Config = {
    "model_type": "resnet",
    "embedding_size": 8,
    "hidden_sizes": [8, 8, 16, 16],
    "depths": [1, 1, 1, 1],
    "layer_type": "basic",
    "out_features": ["stage4"],
}
_TINY_RT_RESNET = {**_TINY_RESNET, "model_type": "rt_detr_resnet", **_THREE_STAGES}
_TINY_HGNET: Config = {
    "model_type": "hgnet_v2",
    "embedding_size": 8,
    "hidden_sizes": [16, 16, 32, 32],
    "depths": [1, 1, 1, 1],
    "stem_channels": [3, 8, 8],
    "stage_in_channels": [8, 16, 16, 32],
    "stage_mid_channels": [8, 8, 8, 8],
    "stage_out_channels": [16, 16, 32, 32],
    "stage_num_blocks": [1, 1, 1, 1],
    "stage_numb_of_layers": [1, 1, 1, 1],
    **_THREE_STAGES,
}
_TINY_TRANSFORMER: Config = {
    "encoder_layers": 1,
    "decoder_layers": 2,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "encoder_attention_heads": 8,
    "decoder_attention_heads": 8,
    "num_queries": 30,
}
_TINY_D32 = {"d_model": 32, **_TINY_TRANSFORMER}
_TINY_HYBRID: Config = {
    **_TINY_D32,
    "encoder_hidden_dim": 32,
    "decoder_in_channels": [32, 32, 32],
    "num_denoising": 0,
}
_TINY: Mapping[str, Config] = {
    "detr": {"backbone_config": _TINY_RESNET, **_TINY_D32},
    "conditional_detr": {"backbone_config": _TINY_RESNET, **_TINY_D32},
    "deformable_detr": {
        "backbone_config": {**_TINY_RESNET, **_THREE_STAGES},
        **_TINY_TRANSFORMER,
        # Its norms have 32 groups, and a group of one channel cannot be normalised in one cell.
        "d_model": 64,
    },
    "dab-detr": {"backbone_config": _TINY_RESNET, "hidden_size": 32, **_TINY_TRANSFORMER},
    "rt_detr": {
        "backbone_config": _TINY_RT_RESNET,
        "encoder_in_channels": [8, 16, 16],
        **_TINY_HYBRID,
    },
    "rt_detr_v2": {
        "backbone_config": _TINY_RT_RESNET,
        "encoder_in_channels": [8, 16, 16],
        **_TINY_HYBRID,
    },
    "d_fine": {
        "backbone_config": _TINY_HGNET,
        "encoder_in_channels": [16, 32, 32],
        **_TINY_HYBRID,
    },
    "yolos": {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 32,
        "image_size": [64, 64],
        "num_detection_tokens": 30,
    },
}


def named_config(name: str) -> tuple[Architecture, Config, int]:
    """Returns architecture, config and input size (px) of a name such as "detr:random".

    "random" is the published size, "tiny" one for tests, and "small" one with MobileNetV2 that
    RT-DETR and D-FINE have; all have random weights. Raises ConfigError.

    Example:
        >>> architecture, config, input_size = named_config("rt_detr:tiny")
        >>> architecture.title, config["num_queries"], input_size
        ('RT-DETR', 30, 64)
    """
    model_type, _, size = name.partition(":")
    known = model_type in (_SMALL if size == "small" else ARCHITECTURES)
    if not known or size not in ("random", "small", "tiny"):
        raise ConfigError(
            name,
            expected=f"a hub id, or {' or '.join(ARCHITECTURES)} with :random or :tiny behind it, "
            f"or {' or '.join(_SMALL)} with :small",
            found="none of these",
        )
    architecture = ARCHITECTURES[model_type]
    if size == "tiny":
        return architecture, dict(_TINY[model_type]), _TINY_SIZE
    if size == "small":
        return architecture, dict(_SMALL[model_type]), _SMALL_SIZE
    return architecture, dict(_USUAL[model_type]), architecture.input_size
