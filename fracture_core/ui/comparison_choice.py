"""Which models are compared, and what to do where there are too few."""

from collections.abc import Sequence

import streamlit as st

from fracture_core.models.cards import ModelCard
from fracture_core.models.library import read_library
from fracture_core.ui.comparing import MOST_MODELS
from fracture_core.ui.model_choice import name_of
from fracture_core.ui.text import literal

FEWEST = 2
KEY = "models"
LIBRARY_PAGE = "pages/models/library.py"


def choose_models() -> list[ModelCard]:
    """Let the reader choose up to four in the sidebar."""
    library = read_library()
    cards = {card.model_id: card for card in library.cards}
    _begin(cards)
    chosen = st.multiselect(
        "Models",
        list(cards),
        format_func=lambda model_id: name_of(cards[model_id], library.cards),
        key=KEY,
        max_selections=MOST_MODELS,
        bind="query-params",
        placeholder="Choose two to four",
    )
    for error in library.broken:
        st.warning(literal(str(error)), icon=":material/warning:")
    return [cards[model_id] for model_id in chosen]


def show_notes(cards: Sequence[ModelCard]) -> None:
    """What the cards warn of, the same words once."""
    titles: dict[str, list[str]] = {}
    for card in cards:
        titles.setdefault(card.note, []).append(card.title)
    for note, named in titles.items():
        if note:
            st.caption(literal(f"{', '.join(named)}: {note}"))


def offer_more() -> None:
    """Where the library has fewer than two models of its own: how to get some."""
    own = [card for card in read_library().cards if card.family != "fake"]
    if len(own) >= FEWEST:
        return
    st.caption(
        "A comparison needs models, and the library has "
        + ("none but the fake one." if not own else "one besides the fake one.")
    )
    st.page_link(LIBRARY_PAGE, label="Add a model", icon=":material/add:")


def choose_scratch_and_tuned() -> str | None:
    """Choose the first DETR from scratch and the first fine-tuned one; else what is missing."""
    cards = read_library().cards
    wanted = {"scratch_detr": "a DETR trained from scratch", "hf_detr": "a fine-tuned DETR"}
    first = {
        family: next((card.model_id for card in cards if card.family == family), None)
        for family in wanted
    }
    missing = [words for family, words in wanted.items() if first[family] is None]
    if missing:
        families = " or ".join(family for family in wanted if first[family] is None)
        return (
            f"The library has no model of this kind: {' and '.join(missing)}. "
            f"Add its weights on the Library page, family {families}."
        )
    st.session_state[KEY] = list(first.values())
    return None


def _begin(cards: dict[str, ModelCard]) -> None:
    """The first two models where none are chosen yet; one that is gone since must not break it."""
    if KEY in st.session_state:
        held = st.session_state[KEY]
        if not set(held) <= set(cards):
            st.session_state[KEY] = [model_id for model_id in held if model_id in cards]
    elif KEY in st.query_params:
        # Links name models by their ids; what is bound to the address are titles.
        named = st.query_params.get_all(KEY)
        if set(named) <= set(cards):
            st.session_state[KEY] = named[:MOST_MODELS]
    else:
        own = [card for card in cards.values() if card.family != "fake"]
        # Boxes are what panes side by side are for.
        own.sort(key=lambda card: card.task == "classify")
        first = [card.model_id for card in own] if len(own) >= FEWEST else list(cards)
        st.session_state[KEY] = first[:FEWEST]
