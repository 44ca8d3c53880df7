"""The view of Compare over a data set: its parts in their order."""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from fracture_core.evaluations.matched_models import FEWEST
from fracture_core.ui.evaluation_banner import show_banner
from fracture_core.ui.kept_choice import keep_choice
from fracture_core.ui.session import forget_unless_in
from fracture_core.ui.set_comparison import (
    ComparedModel,
    choose_evaluations,
    choose_set_match_config,
    choose_thresholds,
    judge_all,
)
from fracture_core.ui.set_comparison_cases import show_disagreements
from fracture_core.ui.set_comparison_curves import show_curves
from fracture_core.ui.set_comparison_table import show_figures, show_models
from fracture_core.ui.text import literal

METRICS_PAGE = "pages/evaluate/metrics.py"


def compare_over_set(sidebar: DeltaGenerator) -> None:
    """Choose in the sidebar, compare in the page."""
    st.header("Compare over a data set", anchor=False)
    messages = st.container()
    with sidebar:
        listed = choose_evaluations(messages)
        config = choose_set_match_config(listed)
    if len(listed) >= FEWEST:
        models = judge_all(listed, config, messages)
    if len(listed) < FEWEST or len(models) < FEWEST:
        st.info(
            "A comparison needs two to four finished evaluations of the same images: choose them "
            "at the left, or evaluate another model.",
            icon=":material/compare:",
        )
        st.page_link(METRICS_PAGE, label="Evaluate a model", icon=":material/monitoring:")
        return
    if not len(models[0].matched.evaluation):
        st.info("No ground truth is known of this split, so nothing can be compared.")
        return
    with sidebar:
        reference = _choose_reference(models)
    _results(models, reference)


def _choose_reference(models: list[ComparedModel]) -> int:
    places = {each.listed.name: n for n, each in enumerate(models)}

    def words(name: str) -> str:
        return models[places[name]].title

    names = list(places)
    forget_unless_in("set_reference", names)
    keep_choice("set_reference", names, words)
    chosen = st.selectbox(
        "Reference",
        names,
        format_func=words,
        key="set_reference",
        help="The model that the others are tested against.",
    )
    return places[chosen]


@st.fragment
def _results(models: list[ComparedModel], reference: int) -> None:
    """A moved dial runs only this again."""
    about = models[0].matched.evaluation.about
    count = len(models[0].matched.evaluation)
    counted = ", every class as one" if about.one_class else ""
    st.caption(
        literal(
            f"{about.data_name}, split {about.split}, {count:,} images with ground truth{counted}."
        )
    )
    for model in models:
        show_banner(model.matched.evaluation.about, f"{model.title}: ")
    unit, thresholds = choose_thresholds(models)
    name = f"compare-{about.data_name}-{about.split}"
    show_models(models, thresholds)
    show_curves(models, thresholds, unit, name)
    st.subheader("Figures", anchor=False)
    show_figures(models, thresholds, reference, name)
    st.subheader("Where they disagree", anchor=False)
    show_disagreements(models, thresholds, unit, reference)
