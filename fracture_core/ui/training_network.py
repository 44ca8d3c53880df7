"""Which network is trained, and what it begins from."""

import streamlit as st

from fracture_core.ui.training_words import option_of
from trainers.config import TrainConfig
from trainers.networks import choices
from trainers.starts import HUB_DETRS, SMALL_DETRS, may_begin, published_starts

Changes = dict[str, object]

_YOLO_VERSIONS = ("yolov8", "yolo11")
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
        # They have a loss of their own, which always judges every layer.
        changes["network.auxiliary_loss"] = None
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
