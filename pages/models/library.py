"""The models there are: what is known of each, adding, renaming, deleting."""

import streamlit as st

from fracture_core.models.library import read_library
from fracture_core.ui.library.model_adding import add_from_file, add_from_name, make_consensus
from fracture_core.ui.library.model_cards import show_broken, show_card
from fracture_core.ui.library.ranking import show_ranking

st.header("Model library", anchor=False)
library = read_library()
show_ranking()
cards, adding = st.columns([2, 1], gap="large")

with cards:
    for card in library.cards:
        show_card(card)
    for error in library.broken:
        show_broken(error)

with adding:
    st.subheader("Add a model", anchor=False)
    from_file, from_name, consensus = st.tabs(["From a file", "By name", "Consensus"])
    with from_file:
        add_from_file()
    with from_name:
        add_from_name()
    with consensus:
        make_consensus(library.cards)
