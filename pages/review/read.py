"""One case: the image, what a model finds in it, and the ground truth where it is known."""

from functools import partial

import streamlit as st

from fracture_core.class_names import IsA
from fracture_core.errors import ConfigError, WorkbenchError
from fracture_core.models.cards import in_classes
from fracture_core.models.families import offers_gate
from fracture_core.models.library import points_of
from fracture_core.models.points import Measurements
from fracture_core.types import Prediction
from fracture_core.ui.read.explaining import ask, known
from fracture_core.ui.read.predicting import (
    known_answer,
    predict,
    state_in_force,
    write_address,
)
from fracture_core.ui.read.scoping import read_anyway, scope_of
from fracture_core.ui.read.sources import choose_case, show_warnings, step
from fracture_core.ui.session import CASE_LIST, STEPPED
from fracture_core.ui.widgets.case_viewer import Asked, Pane, ViewerState, case_viewer
from fracture_core.ui.widgets.cases import Case
from fracture_core.ui.widgets.class_table import choose_is_a
from fracture_core.ui.widgets.model_choice import choose_model
from fracture_core.ui.widgets.text import literal

STATE = "viewing"
DEFAULT = ViewerState()


def _predictions(case: Case) -> tuple[Prediction | None, ...]:
    """Raw answers for every frame, or none with a word about why, or none because held back."""
    if kept := known_answer(card, case):
        return kept
    bar = notes.empty()
    if scope.held_back:
        return (None,) * len(case.samples)
    try:
        found = predict(card, case, lambda share: bar.progress(share, f"{card.title} is reading…"))
    except WorkbenchError as error:
        notes.error(literal(str(error)), icon=":material/error:")
        return (None,) * len(case.samples)
    finally:
        bar.empty()
    return found


def _measured() -> Measurements | None:
    """What was measured of the model; a file that makes no sense is a sentence on the page."""
    try:
        return points_of(card)
    except ConfigError as error:
        notes.warning(literal(str(error)), icon=":material/rule:")
        return None


@st.fragment
def _read(case: Case, pane: Pane, is_a: IsA) -> None:
    if STEPPED.take():
        st.rerun()
    state = case_viewer(
        case.samples,
        [pane],
        case.classes,
        state_in_force(STATE, DEFAULT),
        key="reading",
        title=case.heading,
        on_step=step if len(CASE_LIST.get()[1]) > 1 else None,
        on_explain=partial(_explain, case, pane),
        on_read=partial(read_anyway, case),
        explanations=known(case, [pane.card]),
        is_a=is_a,
    )
    st.session_state[STATE] = state
    write_address(state, DEFAULT)


def _explain(case: Case, pane: Pane, asked: Asked) -> None:
    prediction = pane.predictions[asked.frame]
    if prediction is not None:
        ask(pane.card, case, prediction, asked)


with st.sidebar:
    case_part, model_part, messages = st.container(), st.container(), st.container()
    with case_part:
        chosen = choose_case(messages)
    with model_part:
        card = in_classes(choose_model(), chosen.classes)
        is_a = choose_is_a(card.classes, chosen.classes)
    show_warnings(chosen.warnings, messages)

# Always there, so that a message that comes or goes does not mount the viewer anew.
notes = st.container()
scope = scope_of(card, chosen)
pane = Pane(
    title=card.title,
    card=card,
    predictions=_predictions(chosen),
    measured=_measured(),
    has_gate=offers_gate(card),
    scope=scope,
)
_read(chosen, pane, is_a)
