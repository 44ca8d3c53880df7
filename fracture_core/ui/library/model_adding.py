"""Adding a model to the library: from weights, by a name that its family knows, or as a consensus
of models that are there.
"""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import streamlit as st

from fracture_core.errors import WorkbenchError
from fracture_core.models.cards import ModelCard
from fracture_core.models.consensus_cards import FAMILY as CONSENSUS
from fracture_core.models.consensus_cards import MOST_MODELS, why_no_member
from fracture_core.models.consensus_making import Rule, Voice, add_consensus
from fracture_core.models.families import examples, installed
from fracture_core.models.library import add_model, add_named
from fracture_core.ui.session import ADDED_MODEL
from fracture_core.ui.widgets.model_choice import name_of
from fracture_core.ui.widgets.text import literal

_STANDARDS: dict[Literal["imagenet", "half"], str] = {
    "imagenet": "ImageNet's mean and deviation",
    "half": "a mean and a deviation of 0.5",
}


def add_from_file() -> None:
    """A form for a weights file of any family."""
    with st.form("add-file", border=False, clear_on_submit=True):
        files = st.file_uploader(
            "Weights",
            key="weights",
            accept_multiple_files=True,
            help="An Ultralytics .pt, a torchvision or Hugging Face state dict or checkpoint, or "
            "safetensors; a Hugging Face model with its config.json; the card.json of a consensus, "
            "whose members are here. Only tensors and the architecture are read; nothing is "
            "executed.",
        )
        families = [each.name for each in installed().families.values() if each.takes_files]
        family_name = st.selectbox("Family", families, index=families.index("yolo"))
        names = st.text_input(
            "Classes, separated by commas", help="Empty: as the file says, or numbered."
        )
        title = st.text_input("Title", help="Empty: the file's name.")
        with st.expander("Where the file does not tell"):
            input_size = st.number_input(
                "Input size (px)", 32, 4096, None, placeholder="as it says"
            )
            standardise = st.selectbox(
                "Input standardised by",
                list(_STANDARDS),
                None,
                format_func=_STANDARDS.__getitem__,
                placeholder="as it says, else ImageNet's",
                help="Of a classifier.",
            )
        sent = st.form_submit_button("Add", icon=":material/add:", type="primary")
    if not sent:
        return
    if not files:
        st.error("Choose a file first.", icon=":material/upload_file:")
        return
    classes = tuple(name.strip() for name in names.split(",")) if names.strip() else None
    with tempfile.TemporaryDirectory() as folder:
        copies = [Path(folder) / Path(file.name).name for file in files]
        for copy, file in zip(copies, files, strict=True):
            copy.write_bytes(file.getvalue())
        source = copies[0] if len(copies) == 1 else Path(folder)
        # A consensus's card is always called card.json.
        unnamed = None if family_name == CONSENSUS else copies[0].stem
        named = title.strip() or unnamed
        add_to_library(
            lambda: add_model(
                source,
                family_name=family_name,
                classes=classes,
                title=named,
                input_size=input_size,
                standardise=standardise,
            )
        )


def add_from_name() -> None:
    """A form for a name such as a hub id."""
    st.caption("Weights come from the local cache, or are fetched once where there is a network.")
    with st.form("add-name", border=False):
        name = st.text_input("Name", placeholder=examples()[0])
        st.caption("Such as " + ", ".join(f"`{example}`" for example in examples()))
        sent = st.form_submit_button("Add", icon=":material/add:", type="primary")
    if sent and name.strip():
        add_to_library(lambda: add_named(name.strip()))


def add_to_library(act: Callable[[], ModelCard]) -> None:
    """Add a model and show the library with it, or say why it cannot be used."""
    with st.spinner("Checking the weights…"):
        try:
            card = act()
        except WorkbenchError as error:
            st.error(literal(str(error)), icon=":material/gpp_bad:")
            return
    ADDED_MODEL.set(card.model_id)
    st.toast(f"Added {literal(card.title)}", icon=":material/check:")
    st.rerun()


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
