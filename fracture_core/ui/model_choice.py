"""Which model reads the case."""

from collections.abc import Iterable

import streamlit as st

from fracture_core.models.cards import ModelCard
from fracture_core.models.library import read_library
from fracture_core.ui.text import literal


def choose_model() -> ModelCard:
    """Let the reader choose in the sidebar."""
    library = read_library()
    cards = {card.model_id: card for card in library.cards}
    if added := st.session_state.pop("model_added", None):
        st.session_state.model = added
    # Links name a model by its id; what is bound to the address is its title.
    if "model" not in st.session_state and st.query_params.get("model") in cards:
        st.session_state.model = st.query_params["model"]
    # A model that is gone since the address was written must not break the page.
    if st.session_state.get("model") not in cards:
        st.session_state.pop("model", None)
    model_id = st.selectbox(
        "Model",
        list(cards),
        format_func=lambda model_id: name_of(cards[model_id], cards.values()),
        key="model",
        bind="query-params",
    )
    card = cards[model_id]
    if card.note:
        st.caption(literal(card.note))
    for error in library.broken:
        st.warning(literal(str(error)), icon=":material/warning:")
    st.page_link("pages/models/library.py", label="Add a model", icon=":material/add:")
    return card


def name_of(card: ModelCard, cards: Iterable[ModelCard]) -> str:
    """The title, with the id where another model has the same; it is part of the address."""
    alone = sum(other.title == card.title for other in cards) == 1
    return card.title if alone else f"{card.title} · {card.model_id}"
