"""Above what was measured: whether the model was made for the images it was measured on."""

import streamlit as st

from fracture_core.evaluations import About
from fracture_core.evaluations.attributes import banner_of
from fracture_core.ui.text import literal


def show_banner(about: About, who: str = "") -> None:
    """A sentence where it was not, or nothing tells; `who` stands before it."""
    if words := banner_of(about.scope):
        st.warning(literal(f"{who}{words}"), icon=":material/warning:")
