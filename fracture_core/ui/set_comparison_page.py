"""The view of Compare over a data set: its parts in their order."""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from fracture_core.evaluations.contenders import FEWEST
from fracture_core.ui.evaluation_banner import show_banner
from fracture_core.ui.kept_choice import keep_choice
from fracture_core.ui.session import forget_unless_in
from fracture_core.ui.set_comparison import (
    Entrant,
    choose_evaluations,
    choose_places,
    choose_set_match_config,
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
        entrants = judge_all(listed, config, messages)
    if len(listed) < FEWEST or len(entrants) < FEWEST:
        st.info(
            "A comparison needs two to four finished evaluations of the same pictures: choose them "
            "at the left, or evaluate another model.",
            icon=":material/compare:",
        )
        st.page_link(METRICS_PAGE, label="Evaluate a model", icon=":material/monitoring:")
        return
    if not len(entrants[0].contender.evaluation):
        st.info("No truth is known of this split, so nothing can be compared.")
        return
    with sidebar:
        reference = _choose_reference(entrants)
    _results(entrants, reference)


def _choose_reference(entrants: list[Entrant]) -> int:
    places = {each.listed.name: n for n, each in enumerate(entrants)}

    def words(name: str) -> str:
        return entrants[places[name]].title

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
def _results(entrants: list[Entrant], reference: int) -> None:
    """A moved dial runs only this again."""
    about = entrants[0].contender.evaluation.about
    count = len(entrants[0].contender.evaluation)
    counted = ", every class as one" if about.one_class else ""
    st.caption(
        literal(f"{about.data_name}, split {about.split}, {count:,} pictures with truth{counted}.")
    )
    for entrant in entrants:
        show_banner(entrant.contender.evaluation.about, f"{entrant.title}: ")
    unit, places = choose_places(entrants)
    name = f"compare-{about.data_name}-{about.split}"
    show_models(entrants, places)
    show_curves(entrants, places, unit, name)
    st.subheader("Figures", anchor=False)
    show_figures(entrants, places, reference, name)
    st.subheader("Where they disagree", anchor=False)
    show_disagreements(entrants, places, unit, reference)
