"""A model card on a page, with what can be done to the model."""

from collections.abc import Callable

import streamlit as st

from fracture_core.demo import demo_case
from fracture_core.errors import WeightsError, WorkbenchError
from fracture_core.models.cards import ModelCard
from fracture_core.models.consensus_cards import FAMILY as CONSENSUS
from fracture_core.models.consensus_cards import ConsensusArchitecture, consensuses_with
from fracture_core.models.library import (
    Speed,
    can_delete,
    delete_model,
    is_built_in,
    list_cards,
    measure,
    rename_model,
    weights_bytes,
)
from fracture_core.scope import scope_words
from fracture_core.ui.measured_card import show_measurements
from fracture_core.ui.predicting import model_of
from fracture_core.ui.text import literal

TASKS = {"detect": "boxes", "segment": "boxes and masks", "classify": "one class an image"}
MOST_CLASSES = 12


def show_card(card: ModelCard) -> None:
    """One model: facts first, then measuring its speed, renaming and deleting."""
    with st.container(border=True, key=f"card-{card.model_id}"):
        st.markdown(f"**{literal(card.title)}** · {card.family} · {TASKS[card.task]}")
        if card.note:
            st.caption(literal(card.note))
        facts = st.container()
        # The card's own confidences have no figures: those that were measured stand for them.
        known = show_measurements(card)
        facts.table(_facts(card, measured=known), border="horizontal", width="stretch")
        _speed(card)
        if not is_built_in(card.model_id):
            _actions(card)


def show_broken(error: WeightsError) -> None:
    """What is wrong with a model's folder; one that was added can be deleted."""
    st.error(literal(str(error)), icon=":material/broken_image:")
    if can_delete(error.name):
        with st.popover("Delete", icon=":material/delete:"):
            st.write(f"Delete **{literal(error.name)}**? This cannot be undone.")
            if st.button("Delete for good", key=f"delete-{error.name}", type="primary"):
                _then_again(lambda: delete_model(error.name))


def _facts(card: ModelCard, *, measured: bool) -> dict[str, str]:
    more = len(card.classes) - MOST_CLASSES
    classes = ", ".join(card.classes[:MOST_CLASSES]) + (f" and {more} more" if more > 0 else "")
    facts = {
        "Id": card.model_id,
        f"Classes ({len(card.classes)})": classes,
        "Input": f"{card.input_size} px",
        "NMS": "needed" if card.needs_nms else "not needed",
        "Training data": f"{card.training_data} (licence: {card.training_licence})",
        "Scope": scope_words(card.scope),
        "Metrics": _figures(card.metrics),
        "Operating points": _figures(card.operating_points),
        "Weights": _weights(card),
    }
    if measured:
        del facts["Operating points"]
    return {name: literal(value) for name, value in facts.items()}


def _figures(figures: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in figures.items()) or "none measured"


def _weights(card: ModelCard) -> str:
    if card.family == CONSENSUS:
        members = ", ".join(ConsensusArchitecture.of(card).model_ids)
        return f"those of {members}: {weights_bytes(card) / 1e6:.1f} MB"
    if not card.weights_file:
        return "none"
    return f"{weights_bytes(card) / 1e6:.1f} MB, sha256 {card.weights_sha256[:16]}…"


def _speed(card: ModelCard) -> None:
    """Measured on request: the first run of a model costs seconds."""
    known = _speeds().get((card.model_id, card.weights_sha256))
    if st.button("Measure speed on this machine", key=f"speed-{card.model_id}", type="tertiary"):
        with st.spinner("Measuring…"):
            try:
                known = measure(model_of(card), demo_case())
            except WorkbenchError as error:
                st.error(literal(str(error)), icon=":material/error:")
                return
        _speeds()[card.model_id, card.weights_sha256] = known
    if known is not None:
        figure = f"{known.seconds * 1_000:,.0f} ms an image"
        st.caption(f"{figure}, median of {known.repeats} after a first one, {known.device}")


@st.cache_resource(show_spinner=False)
def _speeds() -> dict[tuple[str, str], Speed]:
    return {}


def _actions(card: ModelCard) -> None:
    with st.container(horizontal=True):
        with st.popover("Rename", icon=":material/edit:"):
            title = st.text_input("Title", card.title, key=f"title-{card.model_id}")
            if st.button("Save", key=f"rename-{card.model_id}"):
                _then_again(lambda: rename_model(card.model_id, title))
        with st.popover("Delete", icon=":material/delete:"):
            what = "" if card.family == CONSENSUS else " and its weights"
            st.write(f"Delete **{literal(card.title)}**{what}? This cannot be undone.")
            for other in consensuses_with(card.model_id, list_cards()):
                st.write(f"{literal(other.title)} cannot be used without it.")
            if st.button("Delete for good", key=f"delete-{card.model_id}", type="primary"):
                _then_again(lambda: delete_model(card.model_id))


def _then_again(act: Callable[[], object]) -> None:
    """Do it and show the library as it is then, or say why it could not be done."""
    try:
        act()
    except WorkbenchError as error:
        st.error(literal(str(error)), icon=":material/error:")
    else:
        st.rerun()
