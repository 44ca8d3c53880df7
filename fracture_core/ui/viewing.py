"""The reader's settings of a viewer: from the address at first, then kept for the session."""

from dataclasses import replace

import streamlit as st

from fracture_core.errors import ConfigError
from fracture_core.ui.case_viewer import ViewerState
from fracture_core.ui.text import literal


def state_in_force(key: str, *, comparable: bool, default: ViewerState) -> ViewerState:
    """The settings kept under `key`; classes count again, or no more, when `comparable` changes."""
    held = f"{key}:comparable"
    if key not in st.session_state:
        try:
            st.session_state[key] = ViewerState.from_query(st.query_params.to_dict(), default)
        except ConfigError as error:
            st.warning(literal(str(error)), icon=":material/link_off:")
            st.session_state[key] = default
    if st.session_state.get(held, True) != comparable:
        st.session_state[key] = replace(st.session_state[key], class_aware=comparable)
    st.session_state[held] = comparable
    state: ViewerState = st.session_state[key]
    return state


def write_address(state: ViewerState, default: ViewerState) -> None:
    """Put what differs from `default` into the address, and take out what no longer does."""
    wanted = state.to_query(default)
    for name in ViewerState.query_names():
        if name in wanted:
            st.query_params[name] = wanted[name]
        elif name in st.query_params:
            del st.query_params[name]
