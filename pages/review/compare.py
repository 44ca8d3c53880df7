"""Two to four models: on one case side by side, or over a whole data set."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import streamlit as st

from fracture_core.models.cards import ModelCard, in_classes
from fracture_core.ui.compare.comparing import (
    FEWEST,
    Comparison,
    carry_own,
    choose_models,
    choose_pair,
    choose_scratch_and_tuned,
    compare,
    offer_more,
    show_notes,
)
from fracture_core.ui.compare.set_cases import compare_over_set
from fracture_core.ui.read.predicting import state_in_force, write_address
from fracture_core.ui.read.scoping import read_anyway
from fracture_core.ui.read.sources import choose_case, show_warnings, step
from fracture_core.ui.session import CASE_LIST, STEPPED, Slot
from fracture_core.ui.widgets.case_viewer import ViewerState, case_viewer
from fracture_core.ui.widgets.cases import Case
from fracture_core.ui.widgets.class_table import choose_is_a
from fracture_core.ui.widgets.text import literal

STATE, RED = "comparing", "gt_red"
DEFAULT = ViewerState()
ONE_CASE, DATA_SET = "One case", "Over a data set"
_MISSING: Slot[str] = Slot("pair_missing", "")
# The models of the last run, by place.
_COMPARED: Slot[list[str]] = Slot("compared", [])


def _show_scratch_beside_tuned() -> None:
    missing = choose_scratch_and_tuned()
    if missing:
        _MISSING.set(missing)
    else:
        state = st.session_state.get(STATE, DEFAULT)
        st.session_state[STATE] = replace(state, mode="side_by_side", show_truth=True)


def _follow_models(state: ViewerState, comparison: Comparison) -> ViewerState:
    """Settings of their own go with their models, not with their places."""
    now = [pane.card.model_id for pane in comparison.panes]
    before = _COMPARED.get() or now
    _COMPARED.set(now)
    return carry_own(state, before, now)


@st.fragment
def _compare(comparison: Comparison) -> None:
    if STEPPED.take():
        st.rerun()
    state = state_in_force(STATE, DEFAULT)
    case = comparison.case
    state = case_viewer(
        case.samples,
        comparison.panes,
        case.classes,
        _follow_models(state, comparison),
        key="comparison",
        title=case.heading,
        on_step=step if len(CASE_LIST.get()[1]) > 1 else None,
        on_read=partial(read_anyway, case),
        is_a=comparison.is_a,
        colours="r3" if st.session_state.get(RED) else "viewer",
    )
    st.session_state[STATE] = state
    write_address(state, DEFAULT)


def _confirm_classes(cards: Sequence[ModelCard], case: Case) -> None:
    """Each model's classes beside those of the ground truth; models with the same ones are one."""
    titles = {card.classes: card.title for card in reversed(cards)}
    for classes, title in titles.items():
        choose_is_a(classes, case.classes, title=title)


def _one_case() -> None:
    """What they agree on, and what only some find."""
    with st.sidebar:
        case_part, model_part, messages = st.container(), st.container(), st.container()
        with case_part:
            chosen = choose_case(messages)
        with model_part:
            cards = [in_classes(card, chosen.classes) for card in choose_models()]
            st.button(
                "DETR from scratch beside fine-tuned",
                on_click=_show_scratch_beside_tuned,
                icon=":material/compare:",
                width="stretch",
                help="One of each from the library, the one from scratch at the left.",
            )
            choose_pair()
            st.toggle(
                "Ground truth in red",
                key=RED,
                bind="query-params",
                help="As the published figures of these models have it.",
            )
            if missing := _MISSING.take():
                st.info(literal(missing), icon=":material/inventory_2:")
            offer_more()
            show_notes(cards)
            _confirm_classes(cards, chosen)
        show_warnings(chosen.warnings, messages)
    # Always there, so that a note that comes or goes does not mount the viewer anew.
    notes = st.container()
    if len(cards) < FEWEST:
        words = "Choose two to four models at the left to compare them."
        notes.info(words, icon=":material/compare:")
    if cards:
        _compare(compare(cards, chosen))


with st.sidebar:
    view = st.segmented_control(
        "Compare",
        [ONE_CASE, DATA_SET],
        default=ONE_CASE,
        required=True,
        key="view",
        bind="query-params",
        width="stretch",
    )
    choices = st.container()
if view == DATA_SET:
    compare_over_set(choices)
else:
    _one_case()
