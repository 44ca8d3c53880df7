"""The Python side of the viewer: state, its query, and what is sent."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from fracture_core.errors import ConfigError
from fracture_core.models.fake import CARD
from fracture_core.types import Detections
from fracture_core.ui.widgets.case_viewer import Pane, ViewerState, _pack_pane
from tests.support.measurements import POINTS, measured

shares = st.floats(0, 1, allow_nan=False)
states = st.builds(
    ViewerState,
    confidence=st.none() | shares,
    nms_iou=shares,
    match_iou=shares,
    rule=st.sampled_from(["iou", "centre"]),
    class_aware=st.booleans(),
    unit=st.sampled_from(["confidence", "sensitivity", "fp_per_image"]),
    level=shares,
    mode=st.sampled_from(["together", "side_by_side"]),
    frame=st.integers(0, 500),
    show_ground_truth=st.booleans(),
    show_overlay=st.booleans(),
    show_masks=st.booleans(),
    mask_opacity=shares,
    own=st.lists(st.tuples(st.none() | shares, shares), max_size=4).map(tuple),
)


@given(states, states)
def test_the_query_holds_the_whole_state(state: ViewerState, default: ViewerState) -> None:
    assert ViewerState.from_query(state.to_query(default), default) == state
    assert set(state.to_query()) <= set(ViewerState.query_names())


def test_the_default_state_needs_no_query() -> None:
    assert ViewerState().to_query() == {}
    assert ViewerState(confidence=0.25).to_query() == {"confidence": "0.25"}


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"confidence": "2"}, "confidence: expected a number from 0 to 1, found 2.0"),
        ({"confidence": "nan"}, "confidence: expected a number from 0 to 1, found nan"),
        ({"confidence": "x"}, "?confidence=: expected a number, found 'x'"),
        ({"slice": "-1"}, "frame: expected 0 or more, found -1"),
        ({"truth": "yes"}, "?truth=: expected 0 or 1, found 'yes'"),
        ({"rule": "<b>"}, "rule: expected iou or centre, found '<b>'"),
        ({"dial": "x"}, "unit: expected confidence, sensitivity or fp_per_image, found 'x'"),
        (
            {"dial": "sensitivity", "level": "1.5"},
            "level: expected a number from 0 to 1, found 1.5",
        ),
        (
            {"dial": "fp_per_image", "level": "9"},
            "level: expected a number from 0 to 8, found 9.0",
        ),
    ],
)
def test_a_senseless_query_is_refused_by_name(query: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        ViewerState.from_query(query)
    assert str(raised.value).startswith(message)


def test_shown_is_the_one_filter() -> None:
    raw = Detections.of([[0, 0, 10, 10], [0, 0, 10, 9], [20, 0, 30, 9]], [0.9, 0.8, 0.2], [0, 0, 0])
    state = ViewerState(confidence=0.5, nms_iou=0.5)
    assert state.shown(raw, needs_nms=True).scores.tolist() == [np.float32(0.9)]
    assert len(state.shown(raw, needs_nms=False)) == 2


def test_in_a_measured_unit_each_model_goes_by_its_own_confidence() -> None:
    state = ViewerState(confidence=0.6, unit="sensitivity", level=0.65)
    assert state.settings(measured()) == (0.5, 0.5)
    assert state.settings(None, opening=0.2) == (0.6, 0.5)
    assert replace(state, unit="fp_per_image", level=0.6).settings(measured()) == (0.3, 0.5)
    # What is set for each model still tells how boxes are merged.
    own = replace(state, own=((0.9, 0.7), (0.8, 0.4)))
    assert own.settings(measured()) == (0.5, 0.7)
    assert own.settings(None, pane=1) == (0.8, 0.4)


def test_a_model_whose_confidence_nobody_chose_goes_by_its_opening_one() -> None:
    assert ViewerState().settings(measured(), opening=0.1) == (0.1, 0.5)
    assert ViewerState(confidence=0.7).settings(measured(), opening=0.1) == (0.7, 0.5)
    own = ViewerState(own=((None, 0.6), (0.2, 0.5)))
    assert own.settings(opening=0.1) == (0.1, 0.6)
    assert own.settings(pane=1, opening=0.1) == (0.2, 0.5)
    assert own.to_query() == {"own": "opening:0.6,0.2:0.5"}
    packed = _pack_pane(Pane(title="A", card=CARD, predictions=(), measured=measured()), 0)
    assert packed["opening"] == {"confidence": 0.1, "rule": "sensitivity ≥ 0.9", "reason": ""}


def test_an_address_from_before_there_was_a_dial_means_raw_confidence() -> None:
    state = ViewerState.from_query({"confidence": "0.3", "own": "0.1:0.5,0.2:0.5"})
    assert (state.unit, state.confidence, state.own) == (
        "confidence",
        0.3,
        ((0.1, 0.5), (0.2, 0.5)),
    )


def test_what_was_measured_travels_with_the_pane() -> None:
    applied = POINTS[1].model_copy(
        update={"applied": POINTS[2].chosen, "applied_to": "wrists, split test"}
    )
    known = measured(points=(*POINTS, applied))
    packed = _pack_pane(Pane(title="A", card=CARD, predictions=(), measured=known), 0)["measured"]
    assert json.dumps(packed, allow_nan=False)
    assert (packed["dashed_above"], packed["solid_above"]) == (0.1, 0.7)
    assert [point["rule"] for point in packed["points"]] == [
        "max F1",
        "sensitivity ≥ 0.9",
        "specificity ≥ 0.9",
        "sensitivity ≥ 0.9",
    ]
    share = {"count": 100, "total": 200}
    assert packed["points"][-1]["applied"] == {"share": share, "where": "wrists, split test"}
    assert _pack_pane(Pane(title="A", card=CARD, predictions=()), 0)["measured"] is None


def one_case() -> None:
    """A page in one piece, for AppTest."""
    import numpy as np
    import streamlit as st

    from fracture_core.types import Sample
    from fracture_core.ui.widgets.case_viewer import ViewerState, case_viewer

    def read() -> np.ndarray:
        return np.zeros((4, 6), dtype=np.uint8)

    confidence = st.number_input("confidence", value=0.3)
    sample = Sample(sample_id="a", group_id="g", height=4, width=6, read=read)
    state = ViewerState(confidence=confidence, frame=9)
    st.write(case_viewer([sample], [], [], state, key="v", title="A").to_query())


def test_the_viewer_runs_in_a_page_and_gives_the_state_in_force() -> None:
    app = AppTest.from_function(one_case, default_timeout=30).run()
    assert not app.exception
    assert json.loads(app.json[0].value) == {"confidence": "0.3"}
    app.number_input[0].set_value(0.4).run()
    assert not app.exception
    assert json.loads(app.json[0].value) == {"confidence": "0.4"}
