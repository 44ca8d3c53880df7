"""The dial of an evaluation on its page, and the cases of a clicked cell below it."""

from dataclasses import replace
from urllib.parse import urlencode

import streamlit as st

from fracture_core.errors import ConfigError
from fracture_core.evaluations import Evaluation, Listed
from fracture_core.evaluations.dial import DialSetting, DialTable, cell_pictures, dial_table
from fracture_core.models.points import Measurements
from fracture_core.ui.dial_view import Cell, DialState, Mark, dial, packed
from fracture_core.ui.evaluation_choice import stamp_of
from fracture_core.ui.routes import share_table
from fracture_core.ui.text import literal

STATE = "dial"
CELL = "dial_cell"
MOST_CASES = 60


def show_dial(
    listed: Listed, evaluation: Evaluation, setting: DialSetting, points: Measurements | None
) -> None:
    """In a fragment: what is reported on release runs again only this."""
    marks = marks_of(points)
    setting = replace(setting, also=tuple(mark.confidence for mark in marks))
    table, path = _shared(evaluation, str(listed.folder), stamp_of(listed), setting)
    _dial(listed, evaluation, setting, table, path, marks)


def marks_of(points: Measurements | None) -> tuple[Mark, ...]:
    """Operating points that have a confidence."""
    if points is None:
        return ()
    return tuple(
        Mark(name=point.rule, confidence=point.confidence)
        for point in points.points
        if point.confidence is not None
    )


@st.cache_resource(max_entries=12, show_spinner="Counting…")
def _shared(
    _evaluation: Evaluation, folder: str, stamp: int, setting: DialSetting
) -> tuple[DialTable, str]:
    """The table, and where the browser finds it."""
    table = dial_table(_evaluation, setting)
    return table, share_table(packed(table, setting.study_rule))


@st.fragment
def _dial(
    listed: Listed,
    evaluation: Evaluation,
    setting: DialSetting,
    table: DialTable,
    path: str,
    marks: tuple[Mark, ...],
) -> None:
    state = dial(
        table,
        path,
        _state_in_force(marks),
        key="dial-view",
        name=listed.name,
        marks=marks,
        on_cell=_keep_cell,
    )
    st.session_state[STATE] = state
    for name, value in state.to_query().items():
        st.query_params[name] = value
    held: tuple[str, Cell] | None = st.session_state.get(CELL)
    if held is not None and held[0] == listed.name:
        _show_cell(evaluation, setting, table, held[1])
    elif table.sheets:
        st.caption("A click on a cell of a confusion matrix lists its cases here.")


def _state_in_force(marks: tuple[Mark, ...]) -> DialState:
    """From the address at first, or where the first operating point is; then the reader's."""
    if STATE not in st.session_state:
        default = DialState(confidence=marks[0].confidence if marks else 0.5)
        try:
            found = DialState.from_query(st.query_params.to_dict(), default)
        except ConfigError as error:
            st.warning(literal(str(error)), icon=":material/link_off:")
            found = default
        st.session_state[STATE] = found
    state: DialState = st.session_state[STATE]
    return state


def _keep_cell(cell: Cell) -> None:
    st.session_state[CELL] = (st.session_state.evaluation, cell)


def _show_cell(evaluation: Evaluation, setting: DialSetting, table: DialTable, cell: Cell) -> None:
    """The cases of a cell, each a link that opens it in Read with this model and confidence."""
    sheet = next((each for each in table.sheets if each.name == cell.sheet), None)
    if sheet is None or cell.row >= len(sheet.rows) or cell.column >= len(sheet.columns):
        return
    where = (cell.row, cell.column)
    found = cell_pictures(evaluation, setting, sheet, where, cell.confidence)
    at = "" if cell.sheet == "classes" else f" at confidence ≥ {cell.confidence:.3f}"
    truth, shown = literal(sheet.rows[cell.row]), literal(sheet.columns[cell.column])
    count = f"{len(found):,} {'case' if len(found) == 1 else 'cases'}"
    st.markdown(f"**{count}** of truth **{truth}**, found **{shown}**{at}")
    with st.container(key="cell-cases"):
        for sample_id in found[:MOST_CASES]:
            address = read_address(evaluation, setting, sample_id, cell.confidence)
            st.markdown(f"[{literal(sample_id)}]({address})")
    if len(found) > MOST_CASES:
        st.caption(f"The first {MOST_CASES} are listed.")


def read_address(
    evaluation: Evaluation, setting: DialSetting, sample_id: str, confidence: float
) -> str:
    """Where Read opens a case as it was judged."""
    about = evaluation.about
    case = sample_id.rpartition("/")[0] if about.data.endswith((".h5", ".hdf5")) else sample_id
    asked = {
        "source": "Data set",
        "path": about.data,
        "split": about.split,
        "sample": case,
        "model": about.model_id,
        "confidence": f"{confidence:.9g}",
        "nms": f"{setting.nms_iou:g}",
        "match": f"{setting.match_iou:g}",
        "same_class": str(int(setting.class_aware and not about.one_class)),
    }
    return f"/?{urlencode(asked)}"
