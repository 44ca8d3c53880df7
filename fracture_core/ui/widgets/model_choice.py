"""Which model reads the case."""

from collections.abc import Iterable, Mapping

import streamlit as st

from fracture_core.models.cards import ModelCard
from fracture_core.models.library import read_library
from fracture_core.ui.read.predicting import first_choice
from fracture_core.ui.session import ADDED_MODEL, Slot, forget_unless_in
from fracture_core.ui.widgets.text import literal

_IN_ADDRESS: Slot[str] = Slot("model_in_address", "")


def choose_model() -> ModelCard:
    """Let the reader choose in the sidebar."""
    library = read_library()
    cards = {card.model_id: card for card in library.cards}
    if added := ADDED_MODEL.take():
        st.session_state.model = added
    _take_from_address(cards)
    # A model that is gone since the address was written must not break the page.
    forget_unless_in("model", cards)
    first = first_choice(cards.values())
    model_id = st.selectbox(
        "Model",
        list(cards),
        first,
        format_func=lambda model_id: name_of(cards[model_id], cards.values()),
        key="model",
        persist_state="session",
    )
    _put_into_address(model_id, first=list(cards)[first])
    card = cards[model_id]
    if card.note:
        st.caption(literal(card.note))
    for error in library.broken:
        st.warning(literal(str(error)), icon=":material/warning:")
    st.page_link("pages/models/library.py", label="Add a model", icon=":material/add:")
    return card


def _take_from_address(cards: Mapping[str, ModelCard]) -> None:
    """A link names a model by its id; what this page has put there itself is no news."""
    named = st.query_params.get("model")
    if named in cards and named != _IN_ADDRESS.get():
        st.session_state.model = named


def _put_into_address(model_id: str, *, first: str) -> None:
    """Streamlit's own binding would leave out a model that a link has named."""
    if model_id == first:
        st.query_params.pop("model", None)
    elif st.query_params.get("model") != model_id:
        st.query_params["model"] = model_id
    _IN_ADDRESS.set(model_id)


def name_of(card: ModelCard, cards: Iterable[ModelCard]) -> str:
    """The title, with the id where another model has the same."""
    alone = sum(other.title == card.title for other in cards) == 1
    return card.title if alone else f"{card.title} · {card.model_id}"
