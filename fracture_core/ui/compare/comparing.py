"""Several models on one case: which ones, their predictions one after another, and their panes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import streamlit as st

from fracture_core.class_names import IsA, bring_together, kept_among
from fracture_core.errors import ConfigError, WorkbenchError
from fracture_core.models.cards import ModelCard
from fracture_core.models.library import points_of, read_library, weights_bytes
from fracture_core.types import Prediction
from fracture_core.ui.read.predicting import Progress, first_run, predict
from fracture_core.ui.read.scoping import scope_of
from fracture_core.ui.widgets.case_viewer import MOST_PANES, Pane, ViewerState
from fracture_core.ui.widgets.cases import Case
from fracture_core.ui.widgets.model_choice import name_of
from fracture_core.ui.widgets.text import literal

MOST_MODELS = MOST_PANES
LETTERS = "ABCD"
_MOST_NAMES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """`is_a` tells which classes count as another."""

    case: Case
    panes: tuple[Pane, ...]
    is_a: IsA


def compare(cards: Sequence[ModelCard], case: Case) -> Comparison:
    """Predict with one model after another; one that fails has the reason in its pane.

    Raises ConfigError where what the reader confirmed of classes cannot be read.
    """
    is_a = kept_among([*(card.classes for card in _detectors(cards)), case.classes])
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
    return Comparison(case=case, panes=tuple(panes), is_a=is_a)


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


FEWEST = 2
KEY = "models"
LIBRARY_PAGE = "pages/models/library.py"


def choose_models() -> list[ModelCard]:
    """Let the reader choose up to four in the sidebar."""
    library = read_library()
    cards = {card.model_id: card for card in library.cards}
    _begin(cards)
    chosen = st.multiselect(
        "Models",
        list(cards),
        format_func=lambda model_id: name_of(cards[model_id], library.cards),
        key=KEY,
        max_selections=MOST_MODELS,
        bind="query-params",
        placeholder="Choose two to four",
    )
    for error in library.broken:
        st.warning(literal(str(error)), icon=":material/warning:")
    return [cards[model_id] for model_id in chosen]


def show_notes(cards: Sequence[ModelCard]) -> None:
    """What the cards warn of, the same words once."""
    titles: dict[str, list[str]] = {}
    for card in cards:
        titles.setdefault(card.note, []).append(card.title)
    for note, named in titles.items():
        if note:
            st.caption(literal(f"{', '.join(named)}: {note}"))


def offer_more() -> None:
    """Where the library has fewer than two models of its own: how to get some."""
    own = [card for card in read_library().cards if card.family != "fake"]
    if len(own) >= FEWEST:
        return
    st.caption(
        "A comparison needs models, and the library has "
        + ("none but the fake one." if not own else "one besides the fake one.")
    )
    st.page_link(LIBRARY_PAGE, label="Add a model", icon=":material/add:")


_PAIR = {"scratch_detr": "a DETR trained from scratch", "hf_detr": "a fine-tuned DETR"}
_PAIR_LABELS = {"scratch_detr": "From scratch, left", "hf_detr": "Fine-tuned, right"}


def choose_pair() -> None:
    """Let the reader choose which run of each kind is shown, where there are several."""
    cards = read_library().cards
    named = {card.model_id: name_of(card, cards) for card in cards}
    for family, label in _PAIR_LABELS.items():
        there = [card.model_id for card in cards if card.family == family]
        if len(there) > 1:
            st.selectbox(label, there, format_func=named.__getitem__, key=f"pair_{family}")


def choose_scratch_and_tuned() -> str | None:
    """Choose a DETR from scratch, left, and a fine-tuned one: those that the reader chose, else
    the first of each; where there are none it returns what is missing.
    """
    cards = read_library().cards
    first = {}
    for family in _PAIR:
        there = [card.model_id for card in cards if card.family == family]
        held = st.session_state.get(f"pair_{family}")
        first[family] = held if held in there else next(iter(there), None)
    missing = [words for family, words in _PAIR.items() if first[family] is None]
    if missing:
        families = " or ".join(family for family in _PAIR if first[family] is None)
        return (
            f"The library has no model of this kind: {' and '.join(missing)}. "
            f"Add its weights on the Library page, family {families}."
        )
    st.session_state[KEY] = list(first.values())
    return None


def _begin(cards: dict[str, ModelCard]) -> None:
    """The first two models where none are chosen yet; one that is gone since must not break it."""
    if KEY in st.session_state:
        held = st.session_state[KEY]
        if not set(held) <= set(cards):
            st.session_state[KEY] = [model_id for model_id in held if model_id in cards]
    elif KEY in st.query_params:
        # Links name models by their ids; what is bound to the address are titles.
        named = st.query_params.get_all(KEY)
        if set(named) <= set(cards):
            st.session_state[KEY] = named[:MOST_MODELS]
    else:
        own = [card for card in cards.values() if card.family != "fake"]
        own.sort(key=_comes_late)
        first = [card.model_id for card in own] if len(own) >= FEWEST else list(cards)
        st.session_state[KEY] = first[:FEWEST]


def _comes_late(card: ModelCard) -> tuple[bool, bool, bool]:
    """The less a model is wanted at first: boxes are what panes side by side are for, real images
    what readers have, and a consensus asks several models.
    """
    is_synthetic = card.scope is not None and "real" not in card.scope.origins
    return card.task == "classify", is_synthetic, card.family == "consensus"
