"""Dials for a training: those that matter, and all others, made from what `TrainConfig` says."""

import json
from typing import Any, Literal, get_args, get_origin

import streamlit as st
import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from fracture_core.ui.text import literal
from trainers.config import Augment, Phase, TrainConfig

Changes = dict[str, object]

# What "size" means for a family, the smallest first.
SIZES: dict[str, tuple[str, tuple[str, ...]]] = {
    "efficientnet_gate": ("network.name", tuple(f"efficientnet_b{size}" for size in range(8))),
    "faster_rcnn": (
        "network.name",
        (
            "fasterrcnn_light",
            "fasterrcnn_mobilenet_v3_large_320_fpn",
            "fasterrcnn_mobilenet_v3_large_fpn",
            "fasterrcnn_resnet50_fpn",
            "fasterrcnn_resnet50_fpn_v2",
        ),
    ),
    "hf_detr": ("start", ("facebook/detr-resnet-50", "facebook/detr-resnet-101")),
    "resnet": ("network.name", ("resnet18", "resnet34", "resnet50", "resnet101")),
    "scratch_detr": ("network.backbone", ("resnet18", "resnet34", "resnet50")),
}
_YOLO_SIZES = "nsmlx"
# Set elsewhere on the page, or not for a person to set.
_HIDDEN = frozenset({"recipe", "family", "data", "classes"})
_BASIC = ("epochs", "batch", "input_size", "lr", "device")
_NESTED: dict[str, type[BaseModel]] = {"augment": Augment, "second_phase": Phase}


def choose_settings(config: TrainConfig) -> Changes:
    """What the reader changed of a recipe's config, by dotted name.

    `config` is the recipe's own; its values are where every dial begins.
    """
    changes: Changes = {}
    size, start = st.columns(2)
    with size:
        changes |= _choose_size(config)
    with start:
        changes |= _choose_start(config)
    for column, name in zip(st.columns(len(_BASIC)), _BASIC, strict=True):
        with column:
            changes |= _dial(name, TrainConfig.model_fields[name], getattr(config, name), config)
    with st.expander("All settings"):
        changes |= _all_settings(config)
    # A group as a whole comes before a single setting of it.
    return dict(sorted(changes.items(), key=lambda change: "." in change[0]))


def _choose_size(config: TrainConfig) -> Changes:
    dotted, names = _sizes_of(config)
    now = config.start if dotted == "start" else str(config.network.get(dotted.split(".")[1], ""))
    names = names if now in names or not now else (now, *names)
    chosen = st.selectbox(
        "Network",
        names,
        index=names.index(now) if now in names else 0,
        key=f"{config.recipe}-size",
        help="The smallest first. Larger ones learn more, slower, from more data.",
    )
    return {dotted: chosen} if chosen != now else {}


def _sizes_of(config: TrainConfig) -> tuple[str, tuple[str, ...]]:
    if config.family != "yolo":
        return SIZES[config.family]
    kind = "-seg" if "-seg" in str(config.network.get("name")) else ""
    versions = ("yolov8", "yolo11")
    names = tuple(f"{each}{size}{kind}.yaml" for each in versions for size in _YOLO_SIZES)
    return "network.name", names


def _choose_start(config: TrainConfig) -> Changes:
    if config.family == "hf_detr":
        name = "detr:random"
        random = st.toggle("Random weights", key=f"{config.recipe}-random")
        return {"start": "", "network.name": name} if random else {}
    given = st.text_input(
        "Begin from",
        config.start,
        key=f"{config.recipe}-start",
        placeholder="random weights",
        help=TrainConfig.model_fields["start"].description,
    )
    return {"start": given} if given != config.start else {}


def _all_settings(config: TrainConfig) -> Changes:
    changes: Changes = {}
    plain = [name for name in TrainConfig.model_fields if name not in {*_HIDDEN, *_BASIC, "start"}]
    columns = st.columns(3)
    for place, name in enumerate(name for name in plain if name not in _NESTED):
        with columns[place % 3]:
            field = TrainConfig.model_fields[name]
            changes |= _dial(name, field, getattr(config, name), config)
    for name, kind in _NESTED.items():
        values = getattr(config, name)
        if values is None:
            continue
        st.markdown(f"**{name.replace('_', ' ').capitalize()}**")
        columns = st.columns(3)
        for place, (inner, field) in enumerate(kind.model_fields.items()):
            with columns[place % 3]:
                changes |= _dial(f"{name}.{inner}", field, getattr(values, inner), config)
    return changes


def _dial(dotted: str, field: FieldInfo, now: Any, config: TrainConfig) -> Changes:
    """One setting as the widget that its type asks for; nothing where it stays as it is."""
    label = dotted.rpartition(".")[2].replace("_", " ")
    key, words = f"{config.recipe}-{dotted}", literal(field.description or "")
    if field.annotation is bool:
        value: object = st.toggle(label, bool(now), key=key, help=words)
    elif get_origin(field.annotation) is Literal:
        options = get_args(field.annotation)
        value = st.selectbox(label, options, options.index(now), key=key, help=words)
    elif field.annotation is int:
        value = st.number_input(label, value=int(now), step=1, key=key, help=words)
    else:
        shown = _as_text(now)
        text = st.text_input(label, shown, key=key, help=words)
        return _read_text(dotted, text, shown, now)
    return {dotted: value} if value != now else {}


def _read_text(dotted: str, text: str, shown: str, now: Any) -> Changes:
    """Numbers such as 1e-4, lists and groups, as they stand in a config file."""
    if text == shown:
        return {}
    if isinstance(now, str):
        return {dotted: text}
    try:
        return {dotted: _number(text)}
    except yaml.YAMLError:
        # Refused with the setting's name where the config is made.
        return {dotted: text}


def _as_text(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, float):
        return f"{value:g}"
    return json.dumps(value, ensure_ascii=False)


def _number(text: str) -> object:
    """YAML takes 1e-4 for a word."""
    try:
        return float(text)
    except ValueError:
        return yaml.safe_load(text) if text.strip() else None
