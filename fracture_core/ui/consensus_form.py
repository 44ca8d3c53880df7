"""Making a consensus of models of the library."""

from collections.abc import Sequence

import streamlit as st

from fracture_core.models.cards import ModelCard
from fracture_core.models.consensus_cards import MOST_MODELS, why_no_member
from fracture_core.models.consensus_making import Rule, Voice, add_consensus
from fracture_core.ui.model_adding import add_to_library
from fracture_core.ui.model_choice import name_of

_SCORES = {
    "measured": "As PPV, where measured",
    "raw": "As they are",
}


def make_consensus(library: Sequence[ModelCard]) -> None:
    """A form for two to six models, or one that also reads the mirrored image."""
    cards = {card.model_id: card for card in library if not why_no_member(card)}
    if all(card.task == "classify" for card in cards.values()):
        st.caption("A consensus needs models that find boxes, and the library has none yet.")
        return
    st.caption(
        "Boxes of several models that overlap become one (weighted box fusion); one that few of "
        "them see scores lower. A model that classifies lowers the boxes of images that it finds "
        "healthy."
    )
    with st.form("make-consensus", border=False):
        chosen = st.multiselect(
            "Models",
            list(cards),
            format_func=lambda model_id: name_of(cards[model_id], cards.values()),
            max_selections=MOST_MODELS,
            placeholder=f"Choose up to {MOST_MODELS}",
            key="consensus-models",
        )
        flips = st.toggle(
            "Flips at test time",
            help="Every model reads the mirrored image too, which takes twice the time.",
        )
        title = st.text_input(
            "Title", help="Empty: how many models it is of.", key="consensus-title"
        )
        scores = st.selectbox(
            "Scores",
            list(_SCORES),
            format_func=lambda name: _SCORES[name],
            help="A score of one model is not that of another: each is turned into the share of "
            "findings scored like it that were right on validation (positive predictive value). "
            "Where one model was not measured, all are taken as they are.",
        )
        fusion_iou = st.number_input(
            "Fusion IoU",
            *(0.1, 0.95, Rule().fusion_iou, 0.05),
            help="Boxes that overlap more than this become one.",
        )
        sent = st.form_submit_button("Make", icon=":material/join:", type="primary")
    if not sent:
        return
    if len(chosen) + flips * len(chosen) < 2:
        st.error("Choose two models or more, or one with flips.", icon=":material/join:")
        return
    voices = [
        Voice(model_id=model_id, flipped=flipped)
        for model_id in chosen
        for flipped in ((False, True) if flips else (False,))
    ]
    rule = Rule(scores=scores, fusion_iou=fusion_iou)
    add_to_library(lambda: add_consensus(voices, rule, title=title.strip() or None))
