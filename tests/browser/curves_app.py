"""A page whose curves grow, for the browser tests."""

import sys
import time
from pathlib import Path

import streamlit as st

sys.path.append(str(Path(__file__).parents[2]))

from fracture_core.ui.routes import ROUTES
from fracture_core.ui.widgets.curve_chart import Curve, Panel, curve_chart


@st.fragment(run_every=0.5)
def grow() -> None:
    began = st.session_state.setdefault("began", time.time())
    count = 20 + int(4 * (time.time() - began))
    x = list(range(count))
    panels = [
        Panel(
            title="loss",
            x="epoch",
            curves=[
                Curve(name="first", run=0, x=x, y=[1 / (n + 1) for n in x]),
                Curve(name="first, validation", run=0, x=x, y=[2 / (n + 1) for n in x], dash="dot"),
            ],
        ),
        Panel(title="AP50", x="epoch", curves=[Curve(name="first", run=0, x=x, y=x)]),
    ]
    curve_chart(panels, key="curves")


if st.runtime.exists():
    st.set_page_config(layout="wide")
    grow()
else:
    app = st.App(__file__, routes=ROUTES)
