"""What a model does wrong at one setting, the costliest first, each case a link to Read."""

import streamlit as st

from fracture_core.errors import WorkbenchError
from fracture_core.ui.evaluate.case_sheet import show_sheet
from fracture_core.ui.evaluate.error_gallery import (
    choose_confidence,
    choose_costs,
    choose_critical,
    choose_errors,
    entry_of,
    errors_at,
    matched_evaluation,
    offer_csv,
    say_counts,
)
from fracture_core.ui.evaluate.points import points_for
from fracture_core.ui.widgets.case_gallery import case_gallery, gallery_dataset, show_legend
from fracture_core.ui.widgets.evaluation_choice import choose_evaluation, show_banner
from fracture_core.ui.widgets.evaluation_settings import choose_match_config, rule_of
from fracture_core.ui.widgets.text import literal

st.header("Errors", anchor=False)
messages = st.container()
with st.sidebar:
    listed = choose_evaluation(messages)
if listed is None:
    st.info(
        "Nothing has been evaluated yet: choose a model and a data set at the left.",
        icon=":material/monitoring:",
    )
    st.stop()
try:
    evaluation = matched_evaluation(listed)
except WorkbenchError as error:
    messages.error(literal(str(error)), icon=":material/broken_image:")
    st.stop()
if not len(evaluation):
    st.info("No ground truth is known of this split, so nothing can be called wrong.")
    st.stop()

with st.sidebar:
    config = choose_match_config(evaluation)
    confidence = choose_confidence(points_for(listed, evaluation, config, messages))
    critical = choose_critical(evaluation.about)
    costs = choose_costs()
show_banner(evaluation.about)
st.caption(literal(f"{rule_of(config, evaluation.about)} Shown from confidence {confidence:.3f}."))
dataset = gallery_dataset(evaluation.about.data)
everything = errors_at(listed, evaluation, config, confidence, costs, critical)
if not len(everything):
    st.success("No errors at this setting.", icon=":material/check:")
    st.stop()
chosen = choose_errors(everything, dataset)
with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
    say_counts(chosen)
    offer_csv(chosen, listed.file_stem)
if not len(chosen):
    st.info("No error is of this kind.")
    st.stop()
if evaluation.about.task != "classify":
    show_legend()
case_gallery(
    dataset,
    range(len(chosen)),
    lambda place: entry_of(chosen, place, dataset),
    key="error_page",
)
show_sheet(listed, everything, critical, dataset)
