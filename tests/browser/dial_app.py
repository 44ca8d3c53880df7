"""The dial alone, for the browser tests and the benchmark: ?scene= plain, classes, classifier,
undefined, large or large classes.
"""

import sys
from pathlib import Path

import streamlit as st

sys.path.append(str(Path(__file__).parents[2]))

from fracture_core.evaluations.threshold_sweep import DialTable, dial_table
from fracture_core.matching import MatchConfig
from fracture_core.ui.routes import ROUTES, share_table
from fracture_core.ui.widgets.dial_view import Cell, DialState, Mark, dial, packed
from tests.support.dial_evaluations import classifier, detector, simulated

SCORES = [[0.9, 0.06, 0.04], [0.2, 0.7, 0.1], [0.4, 0.3, 0.3], [0.1, 0.2, 0.7], [0.6, 0.3, 0.1]]
MARKS = (Mark(name="max F1", confidence=0.4), Mark(name="sensitivity ≥ 0.9", confidence=0.1))
SCENES = {
    "plain": lambda: simulated(60, 30),
    "classes": lambda: simulated(300, 40, classes=10),
    "classifier": lambda: classifier(SCORES, [0, 1, 0, 2, 1]),
    "undefined": lambda: detector(2, [(0, 0, 0.8, 0), (1, 30, 0.3, 0)], []),
    "large": lambda: simulated(28_812, 100),
    "large classes": lambda: simulated(28_812, 100, classes=10),
}


@st.cache_resource
def table_of(scene: str) -> tuple[DialTable, str]:
    table = dial_table(SCENES[scene](), MatchConfig(), tuple(m.confidence for m in MARKS))
    return table, share_table(packed(table, "max"))


def keep(cell: Cell) -> None:
    st.session_state.cell = f"{cell.sheet} {cell.row} {cell.column} {cell.confidence:.4f}"


def show() -> None:
    table, path = table_of(st.query_params.get("scene", "plain"))
    given = st.session_state.setdefault("state", DialState(confidence=0.5))
    state = dial(table, path, given, key="dial", name="test", marks=MARKS, on_cell=keep)
    st.session_state.state = state
    st.session_state.runs = st.session_state.get("runs", 0) + 1
    st.text(f"runs {st.session_state.runs}")
    st.text(f"unit {state.unit}")
    st.text(f"confidence {state.confidence:.4f}")
    st.text(f"cell {st.session_state.get('cell', 'none')}")
    if st.button("To 0.25"):
        st.session_state.state = DialState(confidence=0.25, unit="confidence")
        st.rerun()


if st.runtime.exists():
    st.set_page_config(layout="wide")
    show()
else:
    app = st.App(__file__, routes=ROUTES)
