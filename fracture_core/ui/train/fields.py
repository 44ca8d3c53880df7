"""The settings of a training as controls: what each is called, under which heading it stands, which
network is trained and what it begins from.
"""

import streamlit as st

from trainers.config import TrainConfig
from trainers.networks import choices
from trainers.starts import HUB_DETRS, SMALL_DETRS, may_begin, published_starts

# A setting by its dotted name, or all of a section that stand nowhere else.
GROUPS: dict[str, tuple[str, ...]] = {
    "Data": (
        "train_split",
        "valid_split",
        "test_split",
        "limit",
        "normals",
        "merge_classes",
        "is_a",
        "scope",
        "data_licence",
    ),
    "Network": ("network",),
    "Classification": ("classification",),
    "Loss": (
        "set_loss",
        "network.box",
        "network.cls",
        "network.dfl",
        "network.cls_pw",
        "network.overlap_mask",
        "network.mask_ratio",
    ),
    "Optimiser": (
        "optimiser",
        "backbone_lr",
        "weight_decay",
        "clip_norm",
        "accumulate",
        "ema",
        "frozen_stages",
        "frozen_names",
        "frozen_epochs",
        "network.momentum",
        "network.nbs",
        "seed",
    ),
    "Learning rate schedule": (
        "schedule",
        "schedule_every",
        "schedule_factor",
        "network.lrf",
        "warmup_steps",
        "warmup_epochs",
        "warmup_share",
        "network.warmup_bias_lr",
        "network.warmup_momentum",
    ),
    "Validation and early stopping": (
        "monitor",
        "patience",
        "min_delta",
        "rules",
        "shown_confidence",
        "match_iou",
        "nms_iou",
        "validate_start",
    ),
    "Augmentation": (
        "augment",
        "network.mosaic",
        "network.close_mosaic",
        "network.mixup",
        "network.cutmix",
        "network.copy_paste",
        "network.shear",
        "network.perspective",
        "network.multi_scale",
    ),
    "Second phase": ("second_phase",),
    "Machine": (
        "precision",
        "channels_last",
        "compile",
        "fused",
        "data_on_device",
        "trackers",
    ),
}

# By the last part of the name, where that in plain words would not do.
_LABELS = {
    "lr": "Learning rate",
    "batch": "Batch (images)",
    "input_size": "Input size (px)",
    "train_split": "Training split",
    "valid_split": "Validation split",
    "limit": "Limit (images a split)",
    "normals": "Normals per positive image",
    "is_a": "Classes that count as another",
    "merge_classes": "Merge all classes into",
    "backbone_lr": "Backbone learning rate",
    "clip_norm": "Gradient clipping (norm)",
    "accumulate": "Accumulate (parts)",
    "ema": "EMA decay",
    "frozen_epochs": "Frozen for (epochs)",
    "frozen_names": "Frozen by name",
    "schedule_every": "Every (epochs)",
    "schedule_factor": "Factor",
    "lrf": "Final share",
    "nbs": "Nominal batch (images)",
    "rules": "Further rules of points",
    "warmup_steps": "Warm-up (steps)",
    "warmup_epochs": "Warm-up (epochs)",
    "warmup_share": "Warm-up, at most",
    "warmup_bias_lr": "Warm-up rate of biases",
    "warmup_momentum": "Warm-up momentum",
    "patience": "Patience (epochs)",
    "min_delta": "Least improvement",
    "shown_confidence": "Confidence",
    "match_iou": "Match IoU",
    "nms_iou": "NMS IoU",
    "validate_start": "Validate at start",
    "class_weight": "Class weight",
    "l1_weight": "L1 weight",
    "giou_weight": "GIoU weight",
    "no_object_weight": "No-object weight",
    "box": "Box weight",
    "cls": "Class weight",
    "dfl": "DFL weight",
    "cls_pw": "Rarity exponent",
    "overlap_mask": "Masks in one map",
    "mask_ratio": "Mask downsampling",
    "classify": "Classify by",
    "focal_share": "Focal share",
    "focal_gamma": "Focal gamma (γ)",
    "focal_of": "Focal term of each",
    "focal_weighted": "Weighted focal term",
    "blur_sigma": "Blur sigma (px)",
    "degrees": "Rotation (°)",
    "shear": "Shear (°)",
    "flip": "Horizontal flip",
    "flip_vertical": "Vertical flip",
    "crop_least": "Least side of a crop",
    "sizes": "Resize to (shares)",
    "longest": "Longest side (share)",
    "crop_sizes": "Crop from (shares)",
    "crop_sides": "Sides of a crop (shares)",
    "least_left": "Least share of a box",
    "square": "Stretch to a square",
    "standardise": "Standardise by",
    "around": "Crops around a finding",
    "close_mosaic": "Without mosaic (last epochs)",
    "mixup": "MixUp",
    "cutmix": "CutMix",
    "copy_paste": "Copy-paste",
    "multi_scale": "Multi-scale",
    "norm_eps": "Batch norm epsilon (ε)",
    "max_size": "Longest side (px)",
    "longest_edge": "Longest side (px)",
    "anchor_px": "Finest anchors (px)",
    "levels": "Pyramid levels",
    "norm_first": "Pre-norm layers",
    "frozen_norm": "Frozen batch norms",
    "auxiliary": "Auxiliary losses",
    "auxiliary_loss": "Auxiliary losses",
    "two_stage": "Two-stage queries",
    "query_count": "Queries",
    "num_queries": "Queries",
    "head_count": "Attention heads",
    "d_model": "Width",
    "encoder_ffn_dim": "Encoder feed-forward width",
    "decoder_ffn_dim": "Decoder feed-forward width",
    "feedforward_width": "Feed-forward width",
    "width": "Width",
    "channels_last": "Channels last",
    "data_on_device": "Data in GPU memory",
    "data_licence": "Licence of the data",
}
_OPTIONS = {
    "ap": "AP",
    "ap50": "AP50",
    "mask_ap": "Mask AP",
    "mask_ap50": "Mask AP50",
    "f1": "F1",
    "any_hit_f1": "Any-hit F1",
    "macro_f1": "Macro F1",
    "weighted_f1": "Weighted F1",
    "balanced_accuracy": "Balanced accuracy",
    "imagenet": "ImageNet's mean",
    "half": "0.5 and 0.5",
    "adamw": "AdamW",
    "sgd": "SGD",
    "cpu": "CPU",
    "cuda": "GPU (CUDA)",
    "facebook/detr-resnet-50": "DETR, ResNet-50",
    "facebook/detr-resnet-101": "DETR, ResNet-101",
    "rt_detr:small": "RT-DETR, MobileNetV2",
    "d_fine:small": "D-FINE, MobileNetV2",
}
# What stands in a field that is left open, where that is not the network's own.
_OPEN = {
    "backbone_lr": "as the rest",
    "frozen_norm": "with a start",
    "longest_edge": "in proportion",
    "max_size": "in proportion",
    "normals": "all",
    "scope": "as the images tell",
}
_PLAIN = frozenset(
    {"loss", "accuracy", "adam", "auto", "constant", "step", "plateau", "cosine", "equal"}
    | {"balanced", "class", "findings", "sample", "batch"}
)


def label_of(dotted: str) -> str:
    """What stands beside a setting, with its unit."""
    name = dotted.rpartition(".")[2]
    return _LABELS.get(name, name.replace("_", " ").capitalize())


def option_of(value: object) -> str:
    """What stands for a value in a list of them."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = str(value)
    return _OPTIONS.get(text, text.capitalize() if text in _PLAIN else text)


def open_of(dotted: str, usual: object) -> str:
    """What stands for a setting that is left open; `usual` None = that depends."""
    if usual is not None:
        return f"usually {option_of(usual)}"
    return _OPEN.get(dotted.rpartition(".")[2], "the network's")


Changes = dict[str, object]

_YOLO_VERSIONS = ("yolov8", "yolo11", "yolo26")
_YOLO_SIZES = "nsmlx"


def choose_network(config: TrainConfig) -> Changes:
    """What the reader changed of the recipe's network and start; the start follows the network."""
    left, right = st.columns(2)
    with left:
        network = st.selectbox(
            "Network",
            networks := _networks(config),
            index=networks.index(_network_of(config)),
            key=f"{config.recipe}-network",
            format_func=option_of,
            help="The smallest first. Larger ones learn more, slower, from more data.",
        )
    with right:
        start = _choose_start(config, network)
    changes: Changes = {} if start == config.start else {"start": start}
    if network != _network_of(config):
        changes |= _changes_for(config, network)
    return changes


def _changes_for(config: TrainConfig, network: str) -> Changes:
    if network in HUB_DETRS:
        return {}
    changes: Changes = {name_of(config): network}
    if network in SMALL_DETRS:
        # They have a loss of their own, which always matches every layer.
        changes["network.auxiliary_loss"] = None
        if config.augment.sizes:
            # Nor do they take images of several sizes, and squares they take always.
            changes |= {"augment.sizes": [], "augment.crop_sizes": [], "network.square": None}
    return changes


def name_of(config: TrainConfig) -> str:
    """The dotted name of the setting that says which network it is."""
    return "network.backbone" if config.family == "scratch_detr" else "network.name"


def _network_of(config: TrainConfig) -> str:
    if config.start in HUB_DETRS:
        return config.start
    name = name_of(config).rpartition(".")[2]
    return str(getattr(config.network, name) or config.network.usual(name))


def _networks(config: TrainConfig) -> tuple[str, ...]:
    now = _network_of(config)
    if config.family == "hf_detr":
        known: tuple[str, ...] = (*SMALL_DETRS, *HUB_DETRS)
    elif config.family == "yolo":
        kind = "-seg" if "-seg" in now else ""
        known = tuple(f"{each}{size}{kind}.yaml" for each in _YOLO_VERSIONS for size in _YOLO_SIZES)
    else:
        field = type(config.network).model_fields[name_of(config).rpartition(".")[2]]
        known = tuple(map(str, choices(field.annotation)))
    return known if now in known else (now, *known)


def _choose_start(config: TrainConfig, network: str) -> str:
    """A published start of the network, random weights, or what is typed in."""
    key = f"{config.recipe}-start"
    known = published_starts(config.family, network)
    now = str(st.session_state.get(key, config.start) or "")
    if not may_begin(config.family, network, now):
        now = known[0] if known else ""
    st.session_state[key] = now
    random = () if network in HUB_DETRS[1:] else ("",)
    chosen = st.selectbox(
        "Begin from",
        tuple(dict.fromkeys((*known, *random, now))),
        key=key,
        format_func=lambda start: start or "Random weights",
        accept_new_options=True,
        help="Published weights of the network, random ones, or what you type: a model of the "
        "library, a run's folder, a weights file or a hub id.",
    )
    return chosen or ""
