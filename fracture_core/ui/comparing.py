"""Several models on one case: who they are, their answers one after another, and their panes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import streamlit as st

from fracture_core.class_names import IsA, bring_together, kept_among
from fracture_core.errors import ConfigError, WorkbenchError
from fracture_core.models.cards import ModelCard
from fracture_core.models.library import points_of, weights_bytes
from fracture_core.types import Prediction
from fracture_core.ui.case_viewer import MOST_PANES, Pane, ViewerState
from fracture_core.ui.cases import Case
from fracture_core.ui.predicting import Progress, first_run, predict
from fracture_core.ui.scoping import scope_of
from fracture_core.ui.text import literal

MOST_MODELS = MOST_PANES
LETTERS = "ABCD"
_MOST_NAMES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """`is_a` tells which classes count as another · `comparable`: any two of models and truth have
    a class in common, so that classes can be held against each other at all.
    """

    case: Case
    panes: tuple[Pane, ...]
    is_a: IsA
    comparable: bool


def compare(cards: Sequence[ModelCard], case: Case) -> Comparison:
    """Predict with one model after another; one that fails has the reason in its pane.

    Raises ConfigError where what the reader confirmed of classes cannot be read.
    """
    lists = [card.classes for card in _detectors(cards)]
    is_a = kept_among([*lists, case.classes])
    bar = st.empty()
    panes = []
    for n, card in enumerate(cards):
        start = n / len(cards)
        words = literal(f"{LETTERS[n]} of {len(cards)}: {card.title} is reading…")

        def report(share: float, start: float = start, words: str = words) -> None:
            bar.progress(start + share / len(cards), words)

        pane = _pane(card, case, report)
        panes.append(_with_warnings(pane, _warnings(n, cards, case, is_a)))
    bar.empty()
    comparable = bring_together(*lists, case.classes, is_a=is_a).share
    return Comparison(case=case, panes=tuple(panes), is_a=is_a, comparable=comparable)


def carry_own(state: ViewerState, before: Sequence[str], after: Sequence[str]) -> ViewerState:
    """Settings of their own follow their models when the choice of models changes."""
    if not state.own or list(before) == list(after):
        return state
    held = dict(zip(before, state.own, strict=False))
    common = (state.confidence, state.nms_iou)
    return replace(state, own=tuple(held.get(model_id, common) for model_id in after))


def _pane(card: ModelCard, case: Case, report: Progress) -> Pane:
    scope = scope_of(card, case)
    pane = _unread(card, case) if scope.held_back else _answered(card, case, report)
    return replace(pane, scope=scope)


def _unread(card: ModelCard, case: Case) -> Pane:
    """Held back until the reader wants it read."""
    nothing = (None,) * len(case.samples)
    facts, warnings = (card.family,), ("not read",)
    return Pane(title=card.title, card=card, predictions=nothing, facts=facts, warnings=warnings)


def _answered(card: ModelCard, case: Case, report: Progress) -> Pane:
    try:
        found = predict(card, case, report)
        pane = Pane(title=card.title, card=card, predictions=found, facts=_facts(card, case, found))
        return _with_measurements(pane)
    except WorkbenchError as error:
        nothing = (None,) * len(case.samples)
        facts = (card.family,)
        return Pane(title=card.title, card=card, predictions=nothing, facts=facts, note=str(error))


def _with_measurements(pane: Pane) -> Pane:
    """With what was measured of the model; a file that makes no sense is said in the pane."""
    try:
        return replace(pane, measured=points_of(pane.card))
    except ConfigError as error:
        return replace(pane, warnings=(f"not measured: {error}",))


def _facts(card: ModelCard, case: Case, found: Sequence[Prediction]) -> tuple[str, ...]:
    merging = "NMS" if card.needs_nms else "no NMS"
    kind = "classifier" if card.task == "classify" else merging
    return (card.family, _time(card, case, found), _size(card), kind)


def _time(card: ModelCard, case: Case, found: Sequence[Prediction]) -> str:
    seconds = sum(one.seconds for one in found)
    amount = f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.0f} s"
    slices = f" for {len(found)} slices" if len(found) > 1 else ""
    # The first run of a model makes buffers and plans that later ones reuse.
    return f"{amount}{slices}, first run" if first_run(card, case) else f"{amount}{slices}"


def _size(card: ModelCard) -> str:
    size = weights_bytes(card)
    if not size:
        return "no weights"
    return f"{size / 1e6:.0f} MB" if size >= 10e6 else f"{size / 1e6:.1f} MB"


# ---- classes ------------------------------------------------------------------------------------


def _detectors(cards: Sequence[ModelCard]) -> list[ModelCard]:
    return [card for card in cards if card.task != "classify"]


def _with_warnings(pane: Pane, warnings: tuple[str, ...]) -> Pane:
    """A classifier's classes are never held against those of boxes."""
    if pane.card.task == "classify":
        return pane
    return replace(pane, warnings=(*pane.warnings, *warnings))


def _warnings(n: int, cards: Sequence[ModelCard], case: Case, is_a: IsA) -> tuple[str, ...]:
    """What the reader must know of the classes of the n-th model."""
    own = cards[n].classes
    others = {
        f"model {LETTERS[k]}": card.classes
        for k, card in enumerate(cards)
        if k != n and card.task != "classify"
    } | {"the ground truth": case.classes}
    share = {name: bring_together(own, each, is_a=is_a).share for name, each in others.items()}
    strangers = [name for name, known in share.items() if not known]
    met = bring_together(own, *(others[name] for name in others if share[name]), is_a=is_a)
    unknown = [name for at, name in enumerate(met.names) if at not in met.moved[0]]
    sentences = []
    if strangers:
        sentences.append(f"no class in common with {' and '.join(strangers)}")
    if unknown:
        more = f" and {len(unknown) - _MOST_NAMES} more" if len(unknown) > _MOST_NAMES else ""
        sentences.append(f"does not know {', '.join(unknown[:_MOST_NAMES])}{more}")
    return tuple(sentences)
