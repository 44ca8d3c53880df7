"""The report of an evaluation as tables, a section each, and as a file."""

from collections.abc import Sequence

import streamlit as st

from fracture_core.csv_text import csv_bytes
from fracture_core.errors import ConfigError
from fracture_core.evaluations import Evaluation, Listed
from fracture_core.evaluations.report import (
    MetricValue,
    PointOfReport,
    Report,
    Table,
    interval_text,
    measured_text,
)
from fracture_core.evaluations.report_text import COLUMNS, report_rows
from fracture_core.evaluations.reporting import report_of
from fracture_core.matching import MatchConfig
from fracture_core.models.points import Measurements
from fracture_core.ui.widgets.evaluation_choice import stamp_of
from fracture_core.ui.widgets.text import literal


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
            f"{report.images:,} images of known ground truth in {report.studies:,} studies or "
            f"patients, {report.positives:,} with anything to find. Intervals are 95 %: Wilson's "
            "for shares, else of patients drawn anew."
        )
        st.download_button(
            "Report as CSV",
            csv_bytes(COLUMNS, report_rows(report)),
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
        rows = [metric_row(metric) for metric in report.of_section(section)]
        st.dataframe(rows, hide_index=True, width="stretch")
    for table in report.tables:
        _show_table(table)


def metric_row(metric: MetricValue) -> dict[str, str]:
    """As the page shows it."""
    return {
        "Metric": metric.name,
        "Of": metric.of or "all",
        "Value": measured_text(metric.value),
        "95 % interval": interval_text(metric.low, metric.high, 3).strip("()"),
        "Per": metric.unit,
        "n": f"{metric.n:,}",
        "Rule": metric.rule,
    }


@st.cache_data(max_entries=16, show_spinner="Measuring every metric and its interval…")
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
        {
            "ground truth": name,
            **{column: f"{n:,}" for column, n in zip(table.columns, line, strict=True)},
        }
        for name, line in zip(table.rows, table.counts, strict=True)
    ]
    st.dataframe(rows, hide_index=True, width="stretch")
