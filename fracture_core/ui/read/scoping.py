"""What a case shows, as far as files and the reader tell, and whether a model was made for it."""

from collections.abc import Mapping
from dataclasses import replace

import streamlit as st

from fracture_core.attributes import PART_OF, merged
from fracture_core.models.cards import ModelCard
from fracture_core.scope import ScopeCheck, check_scope
from fracture_core.ui.session import STEPPED, Slot
from fracture_core.ui.widgets.cases import Case
from fracture_core.ui.widgets.text import literal

KINDS = {"radiograph": "DX", "CT": "CT", "other": "OT"}
CONFIRMED: Slot[frozenset[str]] = Slot("read_anyway", frozenset())
"""The keys of the cases that the reader wants read outside a model's scope."""
_VAGUE = ("extremity", "upper extremity", "lower extremity")
_BODY_PARTS = tuple(sorted(part for part in PART_OF if part not in _VAGUE))


def ask_reader(case: Case) -> Case:
    """The case with what the reader tells of it, asked where the file does not tell.

    Of uploads the body part can always be corrected; what kind of images a data set holds is asked
    for the whole of it, beside its path. The choice is kept for the case as long as the
    session lasts; where it contradicts the file, a sentence says which counts.
    """
    told = case.attributes
    chosen: dict[str, str] = {}
    if case.is_upload and not told.get("modality"):
        kind = _choose("Kind of image", tuple(KINDS), case)
        chosen |= {"modality": KINDS[kind]} if kind else {}
    part = told.get("body part", "")
    if (case.is_upload or not part or part in _VAGUE) and (
        region := _choose("Body part", _BODY_PARTS, case, part)
    ):
        chosen["body part"] = region
    case = _with_choice(case, chosen)
    for note in case.notes:
        st.caption(f":material/warning: {literal(note)}")
    return case


def _choose(label: str, options: tuple[str, ...], case: Case, told: str = "") -> str | None:
    return st.selectbox(
        label,
        options,
        index=None,
        placeholder=f"{told}, as the file says" if told else "Not known",
        key=f"{label}:{case.key}",
        persist_state="session",
        help="What the models were made for is held against it. Kept for this case.",
    )


def _with_choice(case: Case, chosen: Mapping[str, str]) -> Case:
    if not chosen:
        return case
    samples = []
    for sample in case.samples:
        words, said = merged(("the file", sample.attributes), ("your choice", chosen))
        samples.append(replace(sample, attributes=words, notes=(*sample.notes, *said)))
    return replace(case, samples=tuple(samples))


def scope_of(card: ModelCard, case: Case) -> ScopeCheck:
    """How a case stands to a model's scope; held back only until the reader wants it read."""
    check = check_scope(card.scope, case.attributes)
    confirmed = case.key in CONFIRMED.get()
    return replace(check, held_back=check.held_back and not confirmed)


def read_anyway(case: Case) -> None:
    """The reader wants this case read, by every model; a callback."""
    CONFIRMED.set(CONFIRMED.get() | {case.key})
    STEPPED.set(True)
