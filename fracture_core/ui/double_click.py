"""Two clicks in quick succession mean one, also where the first has changed the page already."""

import time

import streamlit as st

_SECONDS = 3.0


def just_done(key: str, what: object) -> bool:
    """Whether the last thing done under this key was the same, a moment ago."""
    last, at = st.session_state.get(key, (None, 0.0))
    return bool(last == what) and time.monotonic() - at < _SECONDS


def remember_done(key: str, what: object) -> None:
    """`just_done` says yes to this from now on, for a moment."""
    st.session_state[key] = (what, time.monotonic())
