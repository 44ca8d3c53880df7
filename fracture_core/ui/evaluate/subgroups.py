"""The metrics of an evaluation by subgroup: a table by one attribute, the weakest, and a file."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import streamlit as st

from fracture_core import importing
from fracture_core.csv_text import csv_bytes
from fracture_core.errors import ConfigError
from fracture_core.evaluations import Evaluation, Listed
from fracture_core.evaluations.attributes import Attribute
from fracture_core.evaluations.report import (
    FEWEST,
    UNDEFINED,
    Breakdown,
    Key,
    PointOfReport,
    Subgroup,
    key_of,
)
from fracture_core.evaluations.report_text import COLUMNS, group_rows
from fracture_core.evaluations.subgroups import (
    Measuring,
    break_down,
    headlines,
    joined,
    offered,
    weakest,
)
from fracture_core.matching import MatchConfig
from fracture_core.models.points import Measurements
from fracture_core.ui.evaluate.dial import STATE
from fracture_core.ui.evaluate.error_gallery import matched_evaluation
from fracture_core.ui.session import forget_unless_in
from fracture_core.ui.widgets.dial_view import DialState
from fracture_core.ui.widgets.evaluation_choice import stamp_of
from fracture_core.ui.widgets.text import literal

if TYPE_CHECKING:
    from pandas.io.formats.style import Styler

DIAL = "the dial"
BY = "by"
_FEW = "color: #8a9099"


def show_subgroups(
    listed: Listed, evaluation: Evaluation, config: MatchConfig, points: Measurements | None
) -> None:
    """Every metric by one attribute, at the dial or an operating point."""
    matched = matched_evaluation(listed)
    attributes, sentences = offered(matched)
    for sentence in sentences:
        st.caption(f":material/info: {literal(sentence)}")
    if not attributes:
        _say_nothing_known(evaluation)
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        attribute = _choose_attribute(attributes)
        point = _choose_point(points)
        download = st.container()
    try:
        breakdown = _measured(listed, matched, attribute, config, point)
    except ConfigError as error:
        st.error(literal(str(error)), icon=":material/error:")
        return
    with download:
        _offer_csv(breakdown, listed.file_stem)
    st.dataframe(_styled(breakdown, point.rule), hide_index=True, width="stretch", height="content")
    lesions = attribute.of == "lesion"
    st.caption(
        f"Shown from confidence {point.confidence:.3f}. Greyed: fewer than {FEWEST} cases, too few "
        "to compare. Intervals are 95 %: Wilson's for shares, else of patients drawn anew."
        + (" A false positive has no size, so lesions have a sensitivity alone." if lesions else "")
    )
    for sentence in weakest([breakdown], headlines(evaluation.about.task, point.rule)):
        st.markdown(f"- {literal(sentence)}")


def _say_nothing_known(evaluation: Evaluation) -> None:
    known = ", ".join(each.name for each in evaluation.attributes)
    found = f"only {known}, the same of all or too varied" if known else "nothing"
    st.info(
        f"Of these images {literal(found)} is known, so there are no subgroups. Lay a table "
        "attributes.csv with a column of file names beside the data set, then evaluate again.",
        icon=":material/table:",
    )


def _choose_attribute(attributes: Sequence[Attribute]) -> Attribute:
    named = {each.name: each for each in attributes}
    # An address, or another evaluation, may name one that is not here.
    if st.session_state.setdefault(BY, st.query_params.get(BY)) not in named:
        st.session_state[BY] = next(iter(named))
    chosen = st.selectbox("Subgroups by", list(named), key=BY, width=280)
    if st.query_params.get(BY) != chosen:
        st.query_params[BY] = chosen
    return named[chosen]


def _choose_point(points: Measurements | None) -> PointOfReport:
    """The dial where it stands, or one of the operating points."""
    state: DialState = st.session_state[STATE]
    confidences = {DIAL: state.confidence}
    for point in points.points if points else ():
        if point.confidence is not None:
            confidences[point.rule] = point.confidence
    forget_unless_in("subgroups_at", confidences)
    chosen = st.selectbox(
        "At",
        list(confidences),
        key="subgroups_at",
        width=240,
    )
    return PointOfReport(
        rule=chosen, confidence=confidences[chosen], reason="", chosen_on="this page"
    )


# ---- measuring ----------------------------------------------------------------------------------


def _measured(
    listed: Listed,
    matched: Evaluation,
    attribute: Attribute,
    config: MatchConfig,
    point: PointOfReport,
) -> Breakdown:
    """What follows the dial is cheap; the rest is measured once."""
    identity = str(listed.folder), stamp_of(listed)
    at = Measuring(config=config, points=(point,), of_all=False)
    of_all = Measuring(config=config, points=())
    return joined(
        _broken_down(matched, attribute, *identity, attribute.name, at),
        _broken_down(matched, attribute, *identity, attribute.name, of_all),
    )


@st.cache_data(max_entries=64, show_spinner="Measuring the subgroups…")
def _broken_down(
    _matched: Evaluation, _attribute: Attribute, folder: str, stamp: int, name: str, how: Measuring
) -> Breakdown:
    return break_down(_matched, _attribute, how)


# ---- the table ----------------------------------------------------------------------------------


def _styled(breakdown: Breakdown, rule: str) -> "Styler":
    """A row a figure, a column a group; what counts too few cases is grey."""
    # Streamlit has loaded it already.
    with importing.LOCK:
        import pandas as pd

    # A value can be called "all" too, but no value begins with a capital of ours.
    groups = (replace(breakdown.whole, name="All"), *breakdown.groups)
    keys = [key_of(metric) for metric in breakdown.whole.metrics]
    rows = [*_count_rows(groups), *(_row(groups, key, rule) for key in keys)]
    frame = pd.DataFrame(rows)
    plain_rows: list[dict[str, str]] = [{}] * (len(rows) - len(keys))
    greys = [*plain_rows, *(_greyed(groups, key) for key in keys)]
    styles = pd.DataFrame([{name: grey.get(name, "") for name in rows[0]} for grey in greys])
    return frame.style.apply(lambda _: styles, axis=None)


def _count_rows(groups: Sequence[Subgroup]) -> list[dict[str, str]]:
    counts = {
        "Images": [each.images for each in groups],
        "Images with findings": [each.positives for each in groups],
        "Studies": [each.studies for each in groups],
        "Lesions": [each.lesions for each in groups],
    }
    names = [each.name for each in groups]
    return [
        {"Metric": title, "Per": "", **dict(zip(names, map("{:,}".format, row), strict=True))}
        for title, row in counts.items()
        if any(row)
    ]


def _row(groups: Sequence[Subgroup], key: Key, rule: str) -> dict[str, str]:
    _, name, unit, of = key
    title = name if of in ("", rule) else f"{name}, {of}"
    return {"Metric": title, "Per": unit} | {each.name: _cell(each, key) for each in groups}


def _cell(group: Subgroup, key: Key) -> str:
    metric = group.metric(key)
    if metric is None or not metric.is_defined:
        return UNDEFINED
    few = f", n {metric.n:,}" if group.is_few(metric) else ""
    return f"{metric.text}{few}"


def _greyed(groups: Sequence[Subgroup], key: Key) -> dict[str, str]:
    metrics = {each.name: (each, each.metric(key)) for each in groups}
    return {
        name: _FEW
        for name, (group, metric) in metrics.items()
        if metric is None or not metric.is_defined or group.is_few(metric)
    }


# ---- away ---------------------------------------------------------------------------------------


def _offer_csv(breakdown: Breakdown, name: str) -> None:
    st.download_button(
        "Subgroups as CSV",
        lambda: as_csv(breakdown),
        file_name=f"{name}-subgroups.csv",
        mime="text/csv",
        icon=":material/download:",
        on_click="ignore",
    )


def as_csv(breakdown: Breakdown) -> bytes:
    """A line a figure of each group, all of them first."""
    rows = group_rows(breakdown.attribute, (breakdown.whole, *breakdown.groups))
    return csv_bytes(COLUMNS, rows)
