"""A page with a viewer that explains, for the browser tests; the query names the scene."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import streamlit as st

sys.path.append(str(Path(__file__).parents[2]))

from fracture_core.types import Sample
from fracture_core.ui.read.explaining import ask, known
from fracture_core.ui.routes import ROUTES
from fracture_core.ui.widgets.case_viewer import Asked, Pane, ViewerState, case_viewer
from fracture_core.ui.widgets.cases import Case
from tests.browser.viewer_scenes import GROUND_TRUTHS, sample
from tests.support.patch_model import CLASSES, PatchModel, card

LABELS = {
    "classes": 0,
    "wrong": 1,
    "gate": 0,
    "unknown": None,
    "foreign": 3,
    "two": 2,
    "reordered": 1,
}
"""The known class of the image in scenes of a classifier."""


def read_scene(name: str) -> tuple[PatchModel, Sample]:
    shown = sample("plain", 420, 560, 0, GROUND_TRUTHS)
    facts = {"model_id": f"patches-{name}", "architecture": {"healthy": "healthy"}}
    if name in LABELS:
        label = LABELS[name]
        shown = replace(shown, image_class=label)
        return PatchModel(card=card("classify", **facts), sharp=shown), shown
    fault = {"failing": "the network is <b>torn</b>", "weights": "weights"}.get(name, "")
    seconds = 2 if name == "slow" else 0
    return PatchModel(card=card(**facts), sharp=shown, fault=fault, seconds=seconds), shown


def page() -> None:
    st.set_page_config(layout="wide", initial_sidebar_state="collapsed")
    st.html("<style>.stMainBlockContainer {padding: 3rem 1.5rem 1rem}</style>")
    st.session_state["runs"] = st.session_state.get("runs", 0) + 1
    name = st.query_params.get("scene", "findings")
    model, shown = read_scene(name)
    # Every test has explanations of its own.
    key = f"{name} {st.query_params.get('test', '')}"
    case = Case(key=key, title="Patches", samples=(shown,), classes=CLASSES)
    prediction = model.predict([shown])[0]
    owner, classes = model.card, CLASSES
    if name == "foreign":
        classes = (*CLASSES, "transverse")
    if name == "reordered":
        # As beside a detector in Compare: the ground truth is in classes of all detectors.
        classes = ("transverse", CLASSES[0].upper())
    if name == "two":
        prediction = replace(prediction, class_scores=np.array([0.8, 0.2], dtype=np.float32))
        owner = owner.model_copy(update={"classes": ("fracture", "healthy")})
        classes = ("fracture", "healthy", "transverse")
    panes = [Pane(title="Patches", card=owner, predictions=(prediction,), has_gate=name == "gate")]

    def explain(asked: Asked) -> None:
        st.session_state.setdefault("asked", []).append(asked.what)
        ask(model.card, case, prediction, asked, open_model=lambda card: model)

    state = case_viewer(
        case.samples,
        panes,
        classes,
        ViewerState.from_query(dict(st.query_params), ViewerState(confidence=0.5)),
        key="viewer",
        title=case.title,
        on_explain=explain,
        explanations=known(case, [model.card]),
    )
    asked = st.session_state.get("asked", [])
    told = {"runs": st.session_state["runs"], "asked": asked, "map_opacity": state.map_opacity}
    st.text(json.dumps(told))


if st.runtime.exists():
    page()
else:
    app = st.App(__file__, routes=ROUTES)
