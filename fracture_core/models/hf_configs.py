"""Configurations of the DETR family from outside, checked before anything is built from them."""

import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fracture_core import importing
from fracture_core.errors import WeightsError
from fracture_core.models.hf_architectures import ARCHITECTURES, MOBILE, Architecture, Config
from fracture_core.models.quiet_transformers import attribute
from fracture_core.nets.pretrained import IMAGENET_MEAN, IMAGENET_STD

CONFIG_FILE = "config.json"
PROCESSOR_FILE = "preprocessor_config.json"
_MOST_BYTES = 1 << 20
_MOST_CLASSES = 10_000
_MOST_PARAMETERS = 1_500_000_000
_MOST_LAYERS = 64
_MOST_NESTED = 16
_MOST = 16_384
_BACKBONES = {
    "resnet": "ResNetConfig",
    "rt_detr_resnet": "RTDetrResNetConfig",
    "hgnet_v2": "HGNetV2Config",
}
# What timm calls its ResNets, in transformers' terms; the weights are the same, under other names.
_TIMM_RESNETS: dict[str, Config] = {
    "resnet18": {"depths": [2, 2, 2, 2], "layer_type": "basic"},
    "resnet34": {"depths": [3, 4, 6, 3], "layer_type": "basic"},
    "resnet50": {"depths": [3, 4, 6, 3], "layer_type": "bottleneck"},
    "resnet101": {"depths": [3, 4, 23, 3], "layer_type": "bottleneck"},
    "resnet152": {"depths": [3, 8, 36, 3], "layer_type": "bottleneck"},
}
_CHANNELS = {"basic": [64, 128, 256, 512], "bottleneck": [256, 512, 1024, 2048]}
# Nothing about how to run, load or fetch is taken from a file.
_NOT_TAKEN = re.compile(
    r"_.*|auto_map|.*attn_implementation|.*dtype|use_.*backbone|backbone(_kwargs)?"
    # Sizes fixed at training: without them the network computes positions for the size at hand.
    r"|eval_size|anchor_image_size"
)
_TAKEN_THOUGH = ("_out_features", "_out_indices", "out_features", "out_indices")


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """What the files beside the weights say, checked.

    `classes` is None where they are not named. None elsewhere leaves the value to the
    architecture's usual one.
    """

    architecture: Architecture
    config: Config
    classes: tuple[str, ...] | None
    input_size: int | None
    longest_edge: int | None
    normalises: bool | None


def read_config(folder: Path) -> Described:
    """Reads `config.json` and, where there is one, `preprocessor_config.json`.

    Raises WeightsError.
    """
    path = folder / CONFIG_FILE
    raw = _read_json(path)
    model_type = raw.get("model_type")
    if not isinstance(model_type, str) or model_type not in ARCHITECTURES:
        expected = f"model_type: one of {', '.join(ARCHITECTURES)}"
        raise WeightsError(path, expected=expected, found=repr(model_type)[:80])
    architecture = ARCHITECTURES[model_type]
    processor = folder / PROCESSOR_FILE
    size, longest, normalises = _read_processor(processor, architecture)
    return Described(
        architecture=architecture,
        config=checked_config(architecture, raw, path),
        classes=_class_names(raw.get("id2label"), path),
        input_size=size,
        longest_edge=longest,
        normalises=normalises,
    )


def checked_config(architecture: Architecture, raw: Config, source: str | Path) -> Config:
    """Returns the fields that this architecture knows, each within bounds; raises WeightsError.

    What says how to run, load or fetch is left out.
    """
    own = _fields(architecture.config_class)
    config = {key: value for key, value in raw.items() if key in own and _is_taken(key)}
    if architecture.model_type != "yolos":
        config["backbone_config"] = _checked_backbone(raw, source)
    _check_bounds(config, source)
    return config


def build_network(
    architecture: Architecture, config: Config, classes: int, source: str | Path
) -> nn.Module:
    """Returns the network with new weights; raises WeightsError."""
    return _built(architecture, config, classes, source, hollow=False)


def hollow_network(
    architecture: Architecture, config: Config, classes: int, source: str | Path
) -> nn.Module:
    """Does what `build_network` does, without memory: small files can describe large networks."""
    return _built(architecture, config, classes, source, hollow=True)


def _built(
    architecture: Architecture, config: Config, classes: int, source: str | Path, *, hollow: bool
) -> nn.Module:
    described = f"a configuration of {architecture.title} that can be built"
    try:
        built = attribute(architecture.config_class)(
            **config, num_labels=classes, disable_custom_kernels=True
        )
        kind = attribute(architecture.network_class)
        network = _hollow(kind, built, source)
        if not hollow:
            network = kind(built)
    except WeightsError:
        raise
    except Exception as error:  # transformers raises whatever its parts raise
        found = f"one that cannot ({type(error).__name__}: {str(error)[:200]})"
        raise WeightsError(source, expected=described, found=found) from error
    return network


def _hollow(kind: Any, built: Any, source: str | Path) -> nn.Module:
    with torch.device("meta"):
        network: nn.Module = kind(built)
    count = sum(tensor.numel() for tensor in network.state_dict().values())
    if count > _MOST_PARAMETERS:
        expected = f"at most {_MOST_PARAMETERS:,} parameters"
        raise WeightsError(source, expected=expected, found=f"{count:,}")
    return network


def _checked_backbone(raw: Config, source: str | Path) -> Config:
    backbone: Any = raw.get("backbone_config") or {}
    if not isinstance(backbone, dict):
        found = f"{backbone!r}"[:80]
        raise WeightsError(source, expected="backbone_config: an object", found=found)
    kind = str(backbone.get("model_type"))
    if kind == MOBILE:
        importing.load("fracture_core.models.hf_mobile")
        stages = backbone.get("out_features", backbone.get("_out_features"))
        return {"model_type": MOBILE, "out_features": stages}
    if kind in _BACKBONES:
        own = _fields(_BACKBONES[kind])
        taken = {k: v for k, v in backbone.items() if k in own or k in _TAKEN_THOUGH}
        checked = {k: v for k, v in taken.items() if _is_taken(k)}
        if "out_features" in checked:
            checked.pop("out_indices", None)
        return {**checked, "model_type": kind}
    # Older versions of transformers left the backbone out where it was a ResNet-50 of timm.
    usual = raw.get("backbone") or "resnet50"
    name = str(backbone.get("backbone") if backbone else usual).partition(".")[0]
    if name not in _TIMM_RESNETS or raw.get("dilation"):
        expected = f"a backbone of {', '.join((*_BACKBONES, *_TIMM_RESNETS))}, not dilated"
        raise WeightsError(source, expected=expected, found=f"{kind} {name}"[:80])
    return _timm_resnet(name, levels=_levels(raw))


def _timm_resnet(name: str, levels: int) -> Config:
    shape = _TIMM_RESNETS[name]
    return {
        "model_type": "resnet",
        **shape,
        "hidden_sizes": _CHANNELS[shape["layer_type"]],
        "out_features": [f"stage{n}" for n in range(5 - levels, 5)],
    }


def _levels(raw: Config) -> int:
    several = raw.get("model_type") == "deformable_detr" and raw.get("num_feature_levels", 4) != 1
    return 3 if several else 1


def _fields(config_class: str) -> Collection[str]:
    """Returns what the class itself declares.

    What it inherits is about running, not about shape.
    """
    kind = attribute(config_class)
    return frozenset(vars(kind)["__annotations__"]) - {"disable_custom_kernels"}


def _is_taken(key: str) -> bool:
    return key in _TAKEN_THOUGH or not _NOT_TAKEN.fullmatch(key)


def _check_bounds(config: Config, source: str | Path) -> None:
    for key, value in config.items():
        if isinstance(value, dict):
            _check_bounds(value, source)
            continue
        most = _MOST_LAYERS if "layers" in key or key == "depths" else _MOST
        values = value if isinstance(value, list | tuple) else [value]
        if len(values) > 64 or not all(_is_bounded(one, most) for one in values):
            expected = f"{key}: plain values, numbers up to {most}"
            raise WeightsError(source, expected=expected, found=repr(value)[:80])


def _is_bounded(value: object, most: float) -> bool:
    if isinstance(value, list | tuple):
        return len(value) <= 64 and all(_is_bounded(one, most) for one in value)
    if isinstance(value, str):
        return len(value) <= 100
    return value is None or (isinstance(value, int | float) and abs(value) <= most)


def _read_processor(
    path: Path, architecture: Architecture
) -> tuple[int | None, int | None, bool | None]:
    if not path.is_file():
        return None, None, None
    raw = _read_json(path)
    normalises = bool(raw.get("do_normalize", architecture.normalises))
    standard = (list(IMAGENET_MEAN), list(IMAGENET_STD))
    if normalises and (raw.get("image_mean"), raw.get("image_std")) not in (standard, (None, None)):
        expected = "ImageNet's mean and standard deviation"
        raise WeightsError(path, expected=expected, found=f"{raw.get('image_mean')}"[:80])
    size = raw.get("size")
    size = size if isinstance(size, dict) else {"shortest_edge": size}
    shortest = size.get("height") if architecture.square else size.get("shortest_edge")
    longest = None if architecture.square else size.get("longest_edge", raw.get("max_size"))
    for edge in (shortest, longest):
        if edge is not None and (type(edge) is not int or not 32 <= edge <= 4096):
            raise WeightsError(path, expected="size: 32 to 4096 pixels", found=f"{size}"[:80])
    return shortest, longest, normalises


def _class_names(id2label: object, path: Path) -> tuple[str, ...] | None:
    if not isinstance(id2label, dict) or not id2label:
        return None
    labels = {str(label) for label in range(len(id2label))}
    if set(id2label) != labels or len(id2label) > _MOST_CLASSES:
        found = f"the labels {', '.join(list(id2label)[:8])}"
        raise WeightsError(path, expected="id2label: classes from 0", found=found[:200])
    names = tuple(str(id2label[str(label)])[:100] for label in range(len(id2label)))
    if not all(name.isprintable() for name in names):
        found = "names that cannot be printed"
        raise WeightsError(path, expected="id2label: names of classes", found=found)
    return names


def _read_json(path: Path) -> Config:
    if not path.is_file():
        raise WeightsError(path, expected="a configuration beside the weights", found="none")
    if path.stat().st_size > _MOST_BYTES:
        found = f"{path.stat().st_size} bytes"
        raise WeightsError(path, expected=f"at most {_MOST_BYTES} bytes", found=found)
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise WeightsError(path, expected="JSON", found=f"none ({str(error)[:100]})") from error
    if not isinstance(raw, dict):
        raise WeightsError(path, expected="a JSON object", found=f"a {type(raw).__name__}")
    if _is_deep(raw):
        found = f"values in more than {_MOST_NESTED} others"
        raise WeightsError(path, expected="a configuration", found=found)
    return raw


def _is_deep(raw: object) -> bool:
    level = [raw]
    for _ in range(_MOST_NESTED):
        level = [part for value in level for part in _parts(value)]
    return bool(level)


def _parts(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, list) else []
