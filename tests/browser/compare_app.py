"""A page with nothing but the viewer of several models, for the browser tests."""

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import streamlit as st

sys.path.append(str(Path(__file__).parents[2]))

from fracture_core.models.points import Knots
from fracture_core.types import Detections, Prediction, Sample
from fracture_core.ui.routes import ROUTES
from fracture_core.ui.widgets.case_viewer import Pane, ViewerState, case_viewer
from tests.browser.viewer_scenes import (
    CLASSES,
    GROUND_TRUTHS,
    HOSTILE,
    card,
    many_rows,
    prediction,
    sample,
)
from tests.support.measurements import measured

HEIGHT, WIDTH = 420, 560
# A finds the first ground truth and has one place to itself, B finds both ground truths, C only the
# first.
ROWS = (
    ((104, 98, 204, 224, 0.90, 0), (420, 60, 520, 160, 0.80, 0), (305, 262, 384, 335, 0.31, 0)),
    ((101, 101, 199, 221, 0.70, 0), (300, 262, 384, 330, 0.60, 0)),
    ((98, 100, 200, 226, 0.85, 0), (10, 300, 90, 380, 0.40, 0)),
)


def panes_of_three(sample: Sample, title: str) -> list[Pane]:
    names = ("First", "Second", title)
    return [
        Pane(
            title=names[n],
            card=card(needs_nms=n == 0),
            predictions=(prediction(f"{sample.sample_id}{n}", rows, HEIGHT, WIDTH),),
            facts=("family", "0.12 s", "5.0 MB"),
        )
        for n, rows in enumerate(ROWS)
    ]


# B needs lower confidences than A for as much; of C nothing was measured.
OF_B = Knots(
    confidences=(0.8, 0.65, 0.4, 0.2, 0.05),
    true_positives=(40, 90, 150, 185, 195),
    false_positives=(0, 25, 50, 500, 900),
    false_alarms=(0, 5, 20, 60, 90),
    positives=200,
    negatives=100,
    images=250,
)


def measured_panes(panes: list[Pane], *, one: bool) -> list[Pane]:
    """The first of the panes with what was measured of it, and the second unless `one`."""
    known = [measured(), None if one else measured(OF_B, points=(), data="ankles")]
    told = [replace(pane, measured=each) for pane, each in zip(panes, known, strict=False)]
    return [*told, *panes[2:]]


def classifier_pane(sample: Sample) -> Pane:
    owner = card(("healthy", "fracture", "other")).model_copy(update={"task": "classify"})
    answer = Prediction(
        model_id="numpy",
        sample_id=sample.sample_id,
        detections=Detections.empty(),
        class_scores=np.array([0.2, 0.7, 0.1]),
        image_score=0.8,
        seconds=0.0,
    )
    return Pane(title="Classifier", card=owner, predictions=(answer,))


def failed_pane() -> Pane:
    note = "w.pt: expected weights, found none."
    return Pane(title="Failed", card=card(), predictions=(None,), note=note)


def many_panes(found: Sample) -> list[Pane]:
    """Four models of 300 candidates each, whose boxes lie near each other's."""
    rng = np.random.default_rng(3)
    base = np.array(many_rows(300, found.height, found.width))
    panes = []
    for n in range(4):
        rows = base.copy()
        rows[:, :4] += rng.normal(0, 4, (300, 4))
        rows[:, 4] = rng.uniform(0.01, 1, 300)
        answer = prediction(f"many{n}", tuple(map(tuple, rows)), found.height, found.width)
        panes.append(Pane(title=f"Model {n}", card=card(), predictions=(answer,)))
    return panes


def scene(name: str) -> dict:
    found = sample("compared", HEIGHT, WIDTH, 1, GROUND_TRUTHS)
    title = HOSTILE if name == "hostile" else "Third"
    panes = panes_of_three(found, title)
    if name == "two":
        panes = panes[:2]
    elif name == "mixed":
        panes = [*panes[:2], classifier_pane(found), failed_pane()]
    elif name in ("measured", "half measured"):
        panes = measured_panes(panes, one=name == "half measured")
    elif name == "unknown":
        found = replace(found, ground_truth=None)
    elif name in ("many", "many measured"):
        ground_truths = tuple(tuple(row[:4]) for row in many_rows(20, 1500, 1200))
        found = sample("compared-many", 1500, 1200, 1, ground_truths)
        panes = many_panes(found)
        if name == "many measured":
            panes = [replace(pane, measured=measured()) for pane in panes]
    return {"samples": [found], "panes": panes, "classes": CLASSES, "title": title}


def page() -> None:
    st.set_page_config(layout="wide", initial_sidebar_state="collapsed")
    st.html("<style>.stMainBlockContainer {padding: 3rem 1.5rem 1rem}</style>")
    st.session_state["runs"] = st.session_state.get("runs", 0) + 1
    start = ViewerState.from_query(dict(st.query_params), ViewerState(confidence=0.5))
    state = case_viewer(**scene(st.query_params.get("scene", "three")), state=start, key="viewer")
    st.text(json.dumps({"runs": st.session_state["runs"]} | asdict(state)))


if st.runtime.exists():
    page()
else:
    app = st.App(__file__, routes=ROUTES)
