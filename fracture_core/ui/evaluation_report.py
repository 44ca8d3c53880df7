"""The report of an evaluation as tables, a section each, and as a file."""

import csv
import io
from collections.abc import Sequence
from math import isnan

import streamlit as st

from fracture_core.errors import ConfigError
from fracture_core.evaluations import Evaluation, Listed
from fracture_core.evaluations.report import Figure, PointOfReport, Report, Table
from fracture_core.evaluations.reporting import report_of
from fracture_core.matching import MatchConfig
from fracture_core.models.points import Measurements
from fracture_core.ui.evaluation_choice import stamp_of
from fracture_core.ui.text import literal

UNDEFINED = "undefined"
_HEADINGS = ("section", "figure", "of", "unit", "n", "value", "low", "high", "rule")


def show_report(
    listed: Listed, evaluation: Evaluation, config: MatchConfig, points: Measurements | None
) -> None:
    """Every figure with its unit, its n, its interval and its rule."""
    try:
        report = _report(evaluation, str(listed.folder), stamp_of(listed), config, points)
    except ConfigError as error:
        st.error(literal(str(error)), icon=":material/error:")
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(
            f"{report.pictures:,} pictures of known truth in {report.studies:,} studies or "
            f"patients, {report.positives:,} with anything to find. Intervals are 95 %: Wilson's "
            "for shares, else of patients drawn anew."
        )
        st.download_button(
            "Report as CSV",
            report_csv(report),
            file_name=f"{listed.file_stem}-report.csv",
            mime="text/csv",
            icon=":material/download:",
            on_click="ignore",
        )
    for note in report.notes:
        st.caption(f":material/info: {literal(note)}")
    _show_points(report.points)
    for section in report.sections:
        st.markdown(f"**{literal(section)}**")
        rows = [figure_row(figure) for figure in report.of_section(section)]
        st.dataframe(rows, hide_index=True, width="stretch")
    for table in report.tables:
        _show_table(table)


def report_csv(report: Report) -> bytes:
    """A line a figure; what is undefined is an empty field. With a byte order mark, so that
    spreadsheets read it as UTF-8.
    """
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(_HEADINGS)
    for figure in report.figures:
        numbers = ["" if isnan(x) else x for x in (figure.value, figure.low, figure.high)]
        words = [_plain(text) for text in (figure.section, figure.name, figure.of)]
        writer.writerow([*words, figure.unit, figure.n, *numbers, _plain(figure.rule)])
    return file.getvalue().encode("utf-8-sig")


def figure_row(figure: Figure) -> dict[str, str]:
    """As the page shows it."""
    value = f"{figure.value:.3f}" if figure.is_defined else UNDEFINED
    interval = "" if isnan(figure.low) else f"{figure.low:.3f}–{figure.high:.3f}"
    return {
        "Figure": figure.name,
        "Of": figure.of or "all",
        "Value": value,
        "95 % interval": interval,
        "Per": figure.unit,
        "n": f"{figure.n:,}",
        "Rule": figure.rule,
    }


@st.cache_data(max_entries=16, show_spinner="Measuring every figure and its interval…")
def _report(
    _evaluation: Evaluation,
    folder: str,
    stamp: int,
    config: MatchConfig,
    points: Measurements | None,
) -> Report:
    return report_of(
        _evaluation,
        nms_iou=config.nms_iou,
        match_iou=config.match_iou,
        study_rule=config.study_rule,
        measured=points,
    )


def _show_points(points: Sequence[PointOfReport]) -> None:
    rows = [
        {
            "Operating point": each.rule,
            "Confidence ≥": "not met" if each.confidence is None else f"{each.confidence:.3f}",
            "Chosen on": each.chosen_on,
            "Note": each.reason,
        }
        for each in points
    ]
    if rows:
        st.dataframe(rows, hide_index=True, width="stretch")


def _show_table(table: Table) -> None:
    st.markdown(f"**{literal(table.title)}**")
    st.caption(f"Per {table.unit}; rows are true. {literal(table.rule)}")
    rows = [
        {"truth": name, **{column: f"{n:,}" for column, n in zip(table.columns, line, strict=True)}}
        for name, line in zip(table.rows, table.counts, strict=True)
    ]
    st.dataframe(rows, hide_index=True, width="stretch")


def _plain(text: str) -> str:
    """No cell begins a formula: names come from files."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
