"""Confusions of a classifier that must not happen: a table of pairs, and how often each did."""

from collections.abc import Sequence

import numpy as np
import streamlit as st

from fracture_core import importing
from fracture_core.errors import ConfigError
from fracture_core.evaluations import Evaluation
from fracture_core.matching import MatchConfig
from fracture_core.metrics.critical import FRACTURE10_PAIRS, CriticalError, critical_errors
from fracture_core.ui.case_gallery import Entry, case_gallery, gallery_dataset
from fracture_core.ui.case_links import read_link
from fracture_core.ui.evaluation_points import share_text
from fracture_core.ui.text import literal

Pair = tuple[str, str]
TRUE, READ = "True class", "Read as"
_PAIRS = "critical_pairs"


def show_critical(evaluation: Evaluation) -> None:
    """Pairs that the reader names, their share of the true class, and their cases."""
    judged = evaluation.judged()
    classes = judged.about.classes
    if judged.class_scores is None:
        st.info("Critical errors are those of a classifier.", icon=":material/category:")
        return
    st.caption(
        "Each row names a true class that must not be read as another. Rows can be added, changed "
        "and deleted; an image counts with its highest-scored class."
    )
    pairs = _choose_pairs(classes)
    called = np.argmax(judged.class_scores, axis=1).astype(np.int64)
    try:
        errors = critical_errors(judged.image_classes, called, classes, pairs)
    except ConfigError as error:
        st.error(literal(str(error)), icon=":material/error:")
        return
    if not errors:
        st.info("Name a pair to count it.", icon=":material/category:")
        return
    st.dataframe([_row(error) for error in errors], hide_index=True, width="stretch")
    _show_cases(judged, errors)


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


def _row(error: CriticalError) -> dict[str, str]:
    true, read = error.pair
    return {
        TRUE: true,
        READ: read,
        "Images": f"{error.share.count:,}",
        f"Share of the {TRUE.lower()} (per image)": share_text(error.share),
    }


def _show_cases(judged: Evaluation, errors: Sequence[CriticalError]) -> None:
    happened = [error for error in errors if len(error.rows)]
    if not happened:
        return
    names = [f"{true} → {read}" for true, read in (error.pair for error in happened)]
    chosen = st.selectbox("Cases of", names, key="critical_shown")
    error = happened[names.index(chosen)]
    dataset = gallery_dataset(judged.about.data)

    def entry_of(row: int) -> Entry:
        sample_id = judged.sample_ids[row]
        return Entry(
            sample_id=sample_id,
            title=chosen,
            lines=(f"best score of the image {float(judged.image_scores[row]):.3f}",),
            link=read_link(judged.about, dataset, sample_id, MatchConfig(), 0.5),
        )

    case_gallery(dataset, error.rows.tolist(), entry_of, key="critical_page")
