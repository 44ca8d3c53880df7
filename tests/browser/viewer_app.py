"""A page with nothing but the viewer, for the browser tests; the query names the scene."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import streamlit as st

sys.path.append(str(Path(__file__).parents[2]))

from fracture_core.ui.routes import ROUTES
from fracture_core.ui.widgets.case_viewer import ViewerState, case_viewer
from tests.browser.viewer_scenes import scene


def step(by: int) -> None:
    st.session_state["number"] = st.session_state.get("number", 0) + by


def page() -> None:
    st.set_page_config(layout="wide", initial_sidebar_state="collapsed")
    st.html("<style>.stMainBlockContainer {padding: 3rem 1.5rem 1rem}</style>")
    st.session_state["runs"] = st.session_state.get("runs", 0) + 1
    start = ViewerState.from_query(dict(st.query_params), ViewerState(confidence=0.5))
    if st.session_state.get("forced"):
        start = ViewerState(confidence=0.05)
    state = case_viewer(
        **scene(st.query_params.get("scene", "plain"), st.session_state.get("number", 0)),
        state=start,
        key="viewer",
        on_step=step,
    )
    with st.expander("Outside", expanded=False):
        st.button("Run again")
        st.button("Force", on_click=lambda: st.session_state.update(forced=True))
        st.text_input("Outside text")
    known = {"runs": st.session_state["runs"], "number": st.session_state.get("number", 0)}
    st.text(json.dumps(known | asdict(state)))


if st.runtime.exists():
    page()
else:
    app = st.App(__file__, routes=ROUTES)
