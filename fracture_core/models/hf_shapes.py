"""A DETR network's configuration, read from the shapes of its tensors for want of a config.json.

Shapes do not tell everything. The number of heads is taken to be 8 (in YOLOS, one head for each 64
channels) and that of two-stage queries 300, as in everything that was published.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from fracture_core.errors import WeightsError
from fracture_core.models.hf_architectures import Architecture, Config

Shapes = Mapping[str, tuple[int, ...]]
_HEADS = 8
_YOLOS_HEAD_WIDTH = 64
_QUERIES = 300
_BACKBONE = "model.backbone.model"


def infer_config(
    architecture: Architecture, state: Mapping[str, Tensor], source: Path
) -> tuple[Config, int]:
    """Returns configuration and class count from tensors by canonical names.

    Raises WeightsError.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    try:
        config, classes = _INFER[architecture.model_type](shapes)
    except (KeyError, IndexError, ValueError, ZeroDivisionError) as error:
        expected = f"all tensors of a {architecture.title}"
        found = f"none that tells its size ({str(error)[:120]})"
        advice = "Hand in the folder that save_pretrained wrote, with its config.json."
        raise WeightsError(source, expected=expected, found=found, advice=advice) from error
    if architecture.model_type == "deformable_detr":
        config["with_box_refine"] = config["two_stage"] or _has_own_heads(state)
    return config, classes


def _detr(shapes: Shapes) -> tuple[Config, int]:
    config = _single_scale(shapes, "d_model")
    return config, shapes["class_labels_classifier.weight"][0] - 1


def _conditional(shapes: Shapes) -> tuple[Config, int]:
    return _single_scale(shapes, "d_model"), shapes["class_labels_classifier.weight"][0]


def _dab(shapes: Shapes) -> tuple[Config, int]:
    config = _single_scale(shapes, "hidden_size")
    patterns = shapes.get("model.patterns.weight", (0,))[0]
    config["num_queries"] = shapes["model.query_refpoint_embeddings.weight"][0]
    config["num_patterns"] = patterns
    return config, shapes["class_embed.weight"][0]


def _single_scale(shapes: Shapes, width_key: str) -> Config:
    width = shapes["model.input_projection.weight"][0]
    queries = shapes.get("model.query_position_embeddings.weight", (0,))[0]
    return {
        width_key: width,
        "num_queries": queries,
        "encoder_attention_heads": _HEADS,
        "decoder_attention_heads": _HEADS,
        "backbone_config": _resnet(shapes, levels=1),
        **_depths(shapes),
    }


def _depths(shapes: Shapes) -> Config:
    return {
        "encoder_layers": _count(shapes, r"model\.encoder\.layers\.(\d+)\."),
        "decoder_layers": _count(shapes, r"model\.decoder\.layers\.(\d+)\."),
        "encoder_ffn_dim": shapes.get("model.encoder.layers.0.fc1.weight", (2048,))[0],
        "decoder_ffn_dim": shapes["model.decoder.layers.0.fc1.weight"][0],
    }


def _deformable(shapes: Shapes) -> tuple[Config, int]:
    levels, width = shapes["model.level_embed"]
    two_stage = "model.enc_output.weight" in shapes
    from_backbone = sum(
        shape[-1] == 1
        for name, shape in shapes.items()
        if re.fullmatch(r"model\.input_proj\.\d+\.0\.weight", name)
    )
    queries = shapes.get("model.query_position_embeddings.weight", (_QUERIES,))[0]
    config: Config = {
        "d_model": width,
        "num_queries": queries,
        "num_feature_levels": levels,
        "encoder_attention_heads": _HEADS,
        "decoder_attention_heads": _HEADS,
        "encoder_n_points": _points(shapes, "model.encoder.layers.0.self_attn", levels),
        "decoder_n_points": _points(shapes, "model.decoder.layers.0.encoder_attn", levels),
        "two_stage": two_stage,
        "two_stage_num_proposals": _QUERIES,
        "backbone_config": _resnet(shapes, levels=from_backbone),
        **_depths(shapes),
    }
    return config, shapes["model.decoder.class_embed.0.weight"][0]


def _has_own_heads(state: Mapping[str, Tensor]) -> bool:
    """Tells whether each decoder layer refines the boxes by its own head; else all share one."""
    first, second = (
        state.get(f"model.decoder.bbox_embed.{layer}.layers.0.weight") for layer in (0, 1)
    )
    return first is not None and second is not None and not torch.equal(first, second)


def _rt_detr(shapes: Shapes) -> tuple[Config, int]:
    levels = _count(shapes, r"model\.decoder_input_proj\.(\d+)\.")
    given = range(_count(shapes, r"model\.encoder_input_proj\.(\d+)\."))
    inner = shapes["model.encoder_input_proj.0.0.weight"][0]
    hidden = shapes["model.encoder.fpn_blocks.0.conv1.conv.weight"][0]
    config: Config = {
        "d_model": shapes["model.decoder_input_proj.0.0.weight"][0],
        "num_queries": shapes.get("model.weight_embedding.weight", (_QUERIES,))[0],
        "learn_initial_query": "model.weight_embedding.weight" in shapes,
        "num_denoising": 100 if "model.denoising_class_embed.weight" in shapes else 0,
        "encoder_hidden_dim": inner,
        "encoder_attention_heads": _HEADS,
        "decoder_attention_heads": _HEADS,
        "encoder_in_channels": [shapes[f"model.encoder_input_proj.{i}.0.weight"][1] for i in given],
        "decoder_in_channels": [inner for _ in given],
        "num_feature_levels": levels,
        "hidden_expansion": hidden / inner,
        "encoder_layers": _count(shapes, r"model\.encoder\.encoder\.0\.layers\.(\d+)\."),
        "encoder_ffn_dim": shapes["model.encoder.encoder.0.layers.0.fc1.weight"][0],
        "decoder_layers": _count(shapes, r"model\.decoder\.layers\.(\d+)\."),
        "decoder_ffn_dim": shapes["model.decoder.layers.0.fc1.weight"][0],
        "decoder_n_points": _points(shapes, "model.decoder.layers.0.encoder_attn", levels),
        "backbone_config": _resnet(shapes, levels=len(given)),
    }
    return config, shapes["model.enc_score_head.weight"][0]


def _d_fine(shapes: Shapes) -> tuple[Config, int]:
    raise ValueError("the backbones of D-FINE differ in more than shapes")


def _yolos(shapes: Shapes) -> tuple[Config, int]:
    _, tokens, width = shapes["vit.embeddings.detection_tokens"]
    patches = shapes["vit.embeddings.position_embeddings"][1] - tokens - 1
    patch = shapes["vit.embeddings.patch_embeddings.projection.weight"][-1]
    config: Config = {
        "hidden_size": width,
        "num_attention_heads": max(1, width // _YOLOS_HEAD_WIDTH),
        "num_hidden_layers": _count(shapes, r"vit\.encoder\.layer\.(\d+)\."),
        "intermediate_size": shapes["vit.encoder.layer.0.intermediate.dense.weight"][0],
        "num_detection_tokens": tokens,
        "patch_size": patch,
        "image_size": _yolos_image_size(patches, patch),
        "use_mid_position_embeddings": "vit.encoder.mid_position_embeddings" in shapes,
    }
    return config, shapes["class_labels_classifier.layers.2.weight"][0] - 1


def _yolos_image_size(patches: int, patch: int) -> list[int]:
    """Returns height and width of the position grid in pixels: a published one, else a square."""
    for height, width in ((800, 1344), (800, 1333), (512, 864)):
        if (height // patch) * (width // patch) == patches:
            return [height, width]
    side = round(patches**0.5)
    if side * side != patches:
        raise ValueError(f"a grid of {patches} patches")
    return [side * patch, side * patch]


def _resnet(shapes: Shapes, levels: int) -> Config:
    stem = f"{_BACKBONE}.embedder.embedder"
    deep = f"{stem}.2.convolution.weight" in shapes
    first = shapes[f"{stem}.2.convolution.weight" if deep else f"{stem}.convolution.weight"]
    stages = range(1, 1 + _count(shapes, rf"{re.escape(_BACKBONE)}\.stage(\d+)\.", first=1))
    bottleneck = f"{_BACKBONE}.stage1.0.layer.2.convolution.weight" in shapes
    last = 2 if bottleneck else 1
    return {
        "model_type": "rt_detr_resnet" if deep else "resnet",
        "embedding_size": first[0],
        "layer_type": "bottleneck" if bottleneck else "basic",
        "depths": [_count(shapes, rf"{re.escape(_BACKBONE)}\.stage{n}\.(\d+)\.") for n in stages],
        "hidden_sizes": [
            shapes[f"{_BACKBONE}.stage{n}.0.layer.{last}.convolution.weight"][0] for n in stages
        ],
        "out_features": [f"stage{n}" for n in stages][-levels:],
    }


def _points(shapes: Shapes, attention: str, levels: int) -> int:
    count, rest = divmod(shapes[f"{attention}.attention_weights.weight"][0], _HEADS * levels)
    if rest or not count:
        raise ValueError(f"{attention} with another number of heads than {_HEADS}")
    return count


def _count(shapes: Shapes, pattern: str, first: int = 0) -> int:
    """Counts the pattern's numbers; raises ValueError unless they are `first`, `first` + 1, …."""
    found = {int(match[1]) for name in shapes if (match := re.match(pattern, name))}
    if found != set(range(first, first + len(found))):
        raise ValueError(f"gaps in {pattern}")
    return len(found)


_INFER = {
    "detr": _detr,
    "conditional_detr": _conditional,
    "deformable_detr": _deformable,
    "dab-detr": _dab,
    "rt_detr": _rt_detr,
    "rt_detr_v2": _rt_detr,
    "d_fine": _d_fine,
    "yolos": _yolos,
}
