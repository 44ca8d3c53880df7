"""One evaluation from close by: a dial that moves all curves and counts, and what it comes to."""

import streamlit as st

from fracture_core.errors import WorkbenchError
from fracture_core.ui.evaluate.class_curves import show_class_curves
from fracture_core.ui.evaluate.dial import SUBGROUPS, show_critical, show_dial
from fracture_core.ui.evaluate.points import points_for, show_points, stored_points
from fracture_core.ui.evaluate.report import show_headline, show_report
from fracture_core.ui.evaluate.subgroups import show_subgroups
from fracture_core.ui.widgets.evaluation_choice import (
    choose_evaluation,
    opened_evaluation,
    say_there_is_none,
    show_banner,
)
from fracture_core.ui.widgets.evaluation_settings import choose_match_config, rule_of
from fracture_core.ui.widgets.text import literal

st.header("Metrics", anchor=False)
messages = st.container()
with st.sidebar:
    listed = choose_evaluation(messages)
if listed is None:
    say_there_is_none()
    st.stop()
try:
    evaluation = opened_evaluation(listed)
except WorkbenchError as error:
    messages.error(literal(str(error)), icon=":material/broken_image:")
    st.stop()

with st.sidebar:
    config = choose_match_config(evaluation)
show_banner(evaluation.about)
st.caption(literal(rule_of(config, evaluation.about)))
points = points_for(listed, evaluation, config, messages)
show_headline(listed, evaluation, config)
show_dial(listed, evaluation, config, points)

names = ["Operating points", "Report", SUBGROUPS]
if evaluation.about.task == "classify":
    names.append("Critical errors")
else:
    names.insert(1, "Curves by class")
tabs = dict(zip(names, st.tabs(names, on_change="rerun", key="evaluation_tab"), strict=True))
# What a hidden tab holds is not measured.
with tabs["Operating points"] as tab:
    if tab.open:
        show_points(listed, evaluation, config)
if "Curves by class" in tabs:
    with tabs["Curves by class"] as tab:
        if tab.open:
            show_class_curves(listed, evaluation, config)
with tabs["Report"] as tab:
    if tab.open:
        show_report(listed, evaluation, config, stored_points(evaluation, messages))
with tabs[SUBGROUPS] as tab:
    if tab.open:
        show_subgroups(listed, evaluation, config, points)
if "Critical errors" in tabs:
    with tabs["Critical errors"] as tab:
        if tab.open:
            show_critical(evaluation)
