"""Precision, recall and F1 over confidence, and precision over recall: a line for each class."""

from typing import get_args

import streamlit as st

from fracture_core.evaluations import Evaluation, Listed
from fracture_core.evaluations.class_curves import (
    ALL_CLASSES,
    ClassCurve,
    CurvesByOverlap,
    Overlap,
    class_curves,
    curves_csv,
)
from fracture_core.matching import MatchConfig
from fracture_core.ui.widgets.curve_chart import COLOURS, Curve, Dash, Panel, curve_chart
from fracture_core.ui.widgets.evaluation_choice import stamp_of

_RANGE = (0.0, 1.02)
# Where there are more classes than colours.
_DASHES: tuple[Dash, ...] = get_args(Dash)
_TITLES: dict[Overlap, str] = {"boxes": "Boxes", "masks": "Masks"}


def show_class_curves(listed: Listed, evaluation: Evaluation, config: MatchConfig) -> None:
    """Four charts of boxes or of masks; their legend has the AP of each class."""
    curves = _curves(evaluation, str(listed.folder), stamp_of(listed), config)
    if not curves:
        st.info("There is no lesion to find, so there are no curves.", icon=":material/show_chart:")
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        overlap: Overlap = "boxes"
        if len(curves) > 1:
            overlap = st.segmented_control(
                "Curves of",
                list(curves),
                format_func=lambda each: _TITLES[each],
                default="boxes",
                required=True,
                key="curves_of",
                label_visibility="collapsed",
                width="content",
            )
        st.download_button(
            "Curves as CSV",
            lambda: curves_csv(curves).encode("utf-8-sig"),
            file_name=f"{listed.file_stem}-curves.csv",
            mime="text/csv",
            icon=":material/download:",
            on_click="ignore",
        )
    curve_chart(
        _panels(curves[overlap]), key="class-curves", name=f"{listed.file_stem}-curves-{overlap}"
    )
    several = (
        f" “{ALL_CLASSES}” is the mean over the classes with a lesion, as AP is; the dial counts "
        "all lesions together instead."
    )
    st.caption(
        f"Matched within each class at IoU ≥ {config.match_iou:g}; F1 is the highest, at the "
        "confidence named. Precision over recall is COCO's at IoU 0.5, the highest at that recall "
        f"or beyond, and its mean is AP50.{several if len(curves[overlap]) > 1 else ''}"
    )


@st.cache_data(max_entries=16, show_spinner="Matching class by class…")
def _curves(
    _evaluation: Evaluation, folder: str, stamp: int, config: MatchConfig
) -> CurvesByOverlap:
    return class_curves(_evaluation.matched(), config)


def _panels(curves: tuple[ClassCurve, ...]) -> list[Panel]:
    lines = [list(each.lines()) for each in curves]
    return [
        Panel(
            title=y_name,
            x=x_name,
            curves=[
                Curve(
                    name=each.title,
                    run=n,
                    x=own[at][2].tolist(),
                    y=own[at][3].tolist(),
                    dash=_DASHES[n // COLOURS % len(_DASHES)],
                )
                for n, (each, own) in enumerate(zip(curves, lines, strict=True))
            ],
            x_range=_RANGE,
            y_range=_RANGE,
        )
        for at, (x_name, y_name, *_) in enumerate(lines[0])
    ]
