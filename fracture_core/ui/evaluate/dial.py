"""The dial of an evaluation on its page with the cases of a clicked cell below it, and the critical
errors of a classifier: a table of pairs of classes that must not be confused, and how often each
was.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from fracture_core import importing
from fracture_core.errors import ConfigError
from fracture_core.evaluations import Evaluation, Listed
from fracture_core.evaluations.evaluation import MatchedBox, match_image
from fracture_core.evaluations.threshold_sweep import DialTable, Sheet, cell_images, dial_table
from fracture_core.matching import MatchConfig
from fracture_core.metrics.critical import FRACTURE10_PAIRS, CriticalError, critical_errors
from fracture_core.models.points import Measurements
from fracture_core.ui.evaluate.points import share_text
from fracture_core.ui.routes import share_table
from fracture_core.ui.widgets.case_gallery import Entry, case_gallery, drawn_boxes, gallery_dataset
from fracture_core.ui.widgets.case_links import read_link
from fracture_core.ui.widgets.choices import choose_images
from fracture_core.ui.widgets.dial_view import Cell, DialState, Mark, dial, packed
from fracture_core.ui.widgets.evaluation_choice import stamp_of
from fracture_core.ui.widgets.tables import COUNT, show_table
from fracture_core.ui.widgets.text import literal

if TYPE_CHECKING:
    from fracture_core.datasets import Dataset


Pair = tuple[str, str]
TRUE, READ = "True class", "Read as"
_PAIRS = "critical_pairs"


def show_critical(evaluation: Evaluation) -> None:
    """Pairs that the reader names, their share of the true class, and their cases."""
    matched = evaluation.matched()
    classes = matched.about.classes
    if matched.class_scores is None:
        st.info("Critical errors are those of a classifier.", icon=":material/category:")
        return
    st.caption(
        "Each row names a true class that must not be read as another. Rows can be added, changed "
        "and deleted; an image counts with its highest-scored class."
    )
    pairs = _choose_pairs(classes)
    called = np.argmax(matched.class_scores, axis=1).astype(np.int64)
    try:
        errors = critical_errors(matched.image_classes, called, classes, pairs)
    except ConfigError as error:
        st.error(literal(str(error)), icon=":material/error:")
        return
    if not errors:
        st.info("Name a pair to count it.", icon=":material/category:")
        return
    show_table([_row(error) for error in errors], {"Images": COUNT})
    _show_cases(matched, errors)


def first_pairs(classes: Sequence[str]) -> tuple[Pair, ...]:
    """Those that are published for the data set, where it is this one; else none."""
    return tuple(pair for pair in FRACTURE10_PAIRS if set(pair) <= set(classes))


def _choose_pairs(classes: tuple[str, ...]) -> list[Pair]:
    with importing.LOCK:
        import pandas as pd

    key = f"{_PAIRS}:{'|'.join(classes)}"
    # The table is given once; what is changed in it is kept by Streamlit.
    given = st.session_state.setdefault(f"{key}:first", first_pairs(classes))
    # Without a type an empty column would be one of numbers.
    table = pd.DataFrame(given, columns=[TRUE, READ], dtype="string")
    options = list(classes)
    edited = st.data_editor(
        table,
        num_rows="dynamic",
        hide_index=True,
        key=key,
        width=560,
        column_config={
            TRUE: st.column_config.SelectboxColumn(TRUE, options=options, required=True),
            READ: st.column_config.SelectboxColumn(READ, options=options, required=True),
        },
    )
    rows = zip(edited[TRUE], edited[READ], strict=True)
    return [(a, b) for a, b in rows if isinstance(a, str) and isinstance(b, str)]


def _row(error: CriticalError) -> dict[str, object]:
    true, read = error.pair
    return {
        TRUE: true,
        READ: read,
        "Images": error.share.count,
        f"Share of the {TRUE.lower()} (per image)": share_text(error.share),
    }


def _show_cases(matched: Evaluation, errors: Sequence[CriticalError]) -> None:
    happened = [error for error in errors if len(error.rows)]
    if not happened:
        return
    names = [f"{true} → {read}" for true, read in (error.pair for error in happened)]
    chosen = st.selectbox("Cases of", names, key="critical_shown")
    error = happened[names.index(chosen)]
    dataset = gallery_dataset(matched.about.data)

    def entry_of(row: int) -> Entry:
        sample_id = matched.sample_ids[row]
        return Entry(
            sample_id=sample_id,
            title=chosen,
            lines=(f"best score of the image {float(matched.image_scores[row]):.3f}",),
            link=read_link(matched.about, dataset, sample_id, MatchConfig(), 0.5),
        )

    case_gallery(dataset, error.rows.tolist(), entry_of, key="critical_page")


STATE = "dial"
CELL = "dial_cell"
SUBGROUPS = "Subgroups"
"""The name of the tab that follows the dial."""


def show_dial(
    listed: Listed, evaluation: Evaluation, config: MatchConfig, points: Measurements | None
) -> None:
    """In a fragment: what is reported on release runs again only this."""
    marks = marks_of(points)
    also = tuple(mark.confidence for mark in marks)
    table, path = _shared(evaluation, str(listed.folder), stamp_of(listed), config, also)
    _dial(listed, evaluation, config, table, path, marks)


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
    _evaluation: Evaluation, folder: str, stamp: int, config: MatchConfig, also: tuple[float, ...]
) -> tuple[DialTable, str]:
    """The table, and where the browser finds it."""
    table = dial_table(_evaluation, config, also)
    return table, share_table(packed(table, config.study_rule))


@st.fragment
def _dial(
    listed: Listed,
    evaluation: Evaluation,
    config: MatchConfig,
    table: DialTable,
    path: str,
    marks: tuple[Mark, ...],
) -> None:
    state = dial(
        table,
        path,
        _state_in_force(marks),
        key="dial-view",
        name=listed.file_stem,
        marks=marks,
        on_cell=_keep_cell,
    )
    before = st.session_state.get(STATE)
    st.session_state[STATE] = state
    for name, value in state.to_query().items():
        st.query_params[name] = value
    # Subgroups are counted at the dial, outside of this fragment.
    if state != before and st.session_state.get("evaluation_tab") == SUBGROUPS:
        st.rerun()
    held: tuple[str, Cell] | None = st.session_state.get(CELL)
    if held is not None and held[0] == listed.name:
        _show_cell(listed, evaluation, config, table, held[1])
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


@st.cache_data(max_entries=64, show_spinner="Looking for the cases…")
def _cases(
    _evaluation: Evaluation,
    _sheet: Sheet,
    folder: str,
    stamp: int,
    config: MatchConfig,
    cell: Cell,
) -> tuple[str, ...]:
    return cell_images(_evaluation, config, _sheet, (cell.row, cell.column), cell.confidence)


def _show_cell(
    listed: Listed, evaluation: Evaluation, config: MatchConfig, table: DialTable, cell: Cell
) -> None:
    """The cases of a cell, each a link that opens it in Read with this model and confidence."""
    sheet = next((each for each in table.sheets if each.name == cell.sheet), None)
    if sheet is None or cell.row >= len(sheet.rows) or cell.column >= len(sheet.columns):
        return
    found = _cases(evaluation, sheet, str(listed.folder), stamp_of(listed), config, cell)
    at = "" if cell.sheet == "classes" else f" at confidence ≥ {cell.confidence:.3f}"
    ground_truth, shown = literal(sheet.rows[cell.row]), literal(sheet.columns[cell.column])
    count = f"{len(found):,} {'image' if len(found) == 1 else 'images'}"
    st.markdown(f"**{count}** · ground truth **{ground_truth}**, found **{shown}**{at}")
    found = choose_images(evaluation.attributes, evaluation.sample_ids, found)
    dataset = gallery_dataset(evaluation.about.data)
    with st.container(key="cell-cases"):
        case_gallery(
            dataset,
            found,
            lambda sample_id: _entry(evaluation, dataset, config, sheet, cell, sample_id),
            key="cell_page",
        )


def _entry(
    evaluation: Evaluation,
    dataset: "Dataset | None",
    config: MatchConfig,
    sheet: Sheet,
    cell: Cell,
    sample_id: str,
) -> Entry:
    """Cut out around the boxes that make an image belong to the cell."""
    about = evaluation.about
    boxes: tuple[MatchedBox, ...] = ()
    if about.task != "classify":
        boxes = match_image(evaluation, sample_id, config, cell.confidence)
    score = float(evaluation.image_scores[evaluation.sample_ids.index(sample_id)])
    return Entry(
        sample_id=sample_id,
        boxes=drawn_boxes(boxes, about.classes),
        focus=_focus(boxes, cell.row, cell.column) if sheet.name == "findings" else (),
        title=f"{sheet.rows[cell.row]} → {sheet.columns[cell.column]}",
        lines=(f"best score of the image {score:.3f}",),
        link=read_link(about, dataset, sample_id, config, cell.confidence),
    )


def _focus(boxes: tuple[MatchedBox, ...], row: int, column: int) -> tuple[int, ...]:
    """Of a cell of findings: missed ground truths of its row, or findings of its column."""
    missed = tuple(i for i, box in enumerate(boxes) if box.kind == "missed" and box.label == row)
    found = tuple(
        i
        for i, box in enumerate(boxes)
        if not box.is_ground_truth and box.kind != "candidate" and box.label == column
    )
    return found or missed
