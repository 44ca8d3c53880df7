"""The report of an evaluation as tables, a section each, and as a file."""

from collections.abc import Sequence

import numpy as np
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
from fracture_core.evaluations.timing import timing
from fracture_core.matching import MatchConfig
from fracture_core.metrics.classification import SHARES, Shares, shares_of
from fracture_core.models.points import Measurements
from fracture_core.types import ms_text
from fracture_core.ui.widgets.evaluation_choice import stamp_of
from fracture_core.ui.widgets.headlines import headline_of
from fracture_core.ui.widgets.tables import COUNT, show_table
from fracture_core.ui.widgets.text import literal


def show_headline(listed: Listed, evaluation: Evaluation, config: MatchConfig) -> None:
    """AP50 and AUC, or what a classifier has, and the time of an image, in a row."""
    with st.container(horizontal=True, key="headline"):
        metrics, _ = headline_of(listed, config)
        for metric in metrics:
            ends = interval_text(metric.low, metric.high, 3).strip("()")
            st.metric(
                f"{metric.name} per {metric.unit}",
                measured_text(metric.value),
                f"{ends}, n = {metric.n:,}" if ends else f"n = {metric.n:,}",
                delta_color="off",
                delta_arrow="off",
                help=f"{metric.rule}. Below: the 95 % interval and how many it is of.",
                width="content",
            )
        time = timing(evaluation)
        st.metric(
            "Time an image",
            f"{ms_text(time.total_ms)} ms",
            time.stages_text or "stages not told",
            delta_color="off",
            delta_arrow="off",
            help="The mean on the machine that evaluated, without reading the file. Below: "
            "pre-process, inference and post-process, in milliseconds.",
            width="content",
        )


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
        show_table([_row(metric) for metric in report.of_section(section)], _FORMATS)
    for table in report.tables:
        _show_counts(table)


_FORMATS = {"Value": "%.3f", "n": COUNT}


def _row(metric: MetricValue) -> dict[str, object]:
    return {
        "Metric": metric.name,
        "Of": metric.of or "all",
        "Value": metric.value,
        "95 % interval": interval_text(metric.low, metric.high, 3).strip("()"),
        "Per": metric.unit,
        "n": metric.n,
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
            "Confidence ≥": each.confidence,
            "Chosen on": each.chosen_on,
            "Note": each.reason,
        }
        for each in points
    ]
    show_table(rows, {"Confidence ≥": "%.3f"})


def _show_counts(table: Table) -> None:
    """A table of counts; a confusion matrix as shares of its rows or columns, too."""
    is_confusion = table.title == "Confusion"
    shares: Shares = "counts"
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.markdown(f"**{literal(table.title)}**", width="content")
        if is_confusion:
            shares = st.segmented_control(
                "Confusion as",
                SHARES,
                default="counts",
                required=True,
                key="confusion_shares",
                label_visibility="collapsed",
                width="content",
            )
    rows_are = "; rows are the ground truth, columns what it was found as" if is_confusion else ""
    st.caption(f"Per {table.unit}{rows_are}. {literal(table.rule)}")
    numbers = shares_of(np.array(table.counts, dtype=np.int64), shares).tolist()
    named = zip(table.rows, numbers, strict=True)
    rows = [
        {_CORNER if is_confusion else " ": name, **dict(zip(table.columns, row, strict=True))}
        for name, row in named
    ]
    show_table(rows, dict.fromkeys(table.columns, COUNT if shares == "counts" else "%.3f"))


_CORNER = "ground truth ↓ found →"
