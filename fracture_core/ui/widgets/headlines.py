"""The few metrics that an evaluation is known by, measured once for each state of it."""

import streamlit as st

from fracture_core.evaluations import Listed
from fracture_core.evaluations.headline import headline
from fracture_core.evaluations.report import MetricValue
from fracture_core.evaluations.timing import timing
from fracture_core.matching import MatchConfig
from fracture_core.ui.widgets.evaluation_choice import opened_evaluation, stamp_of


def headline_of(listed: Listed, config: MatchConfig) -> tuple[tuple[MetricValue, ...], float]:
    """Return the metrics of a complete evaluation and its milliseconds an image.

    Raises ConfigError for one that cannot be read.
    """
    return _measured(listed, str(listed.folder), stamp_of(listed), config)


@st.cache_data(max_entries=128, show_spinner="Measuring AP and AUC…")
def _measured(
    _listed: Listed, folder: str, stamp: int, config: MatchConfig
) -> tuple[tuple[MetricValue, ...], float]:
    # The stamp is part of the key: an evaluation made anew is measured anew.
    evaluation = opened_evaluation(_listed)
    return headline(evaluation, config), timing(evaluation).total_ms
