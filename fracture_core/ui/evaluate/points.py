"""Operating points of an evaluation: chosen by rule, stored with the model, applied to another."""

from collections.abc import Sequence
from typing import get_args

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from fracture_core.errors import ConfigError, WorkbenchError
from fracture_core.evaluations import Evaluation, Listed, apply_points, measure_points
from fracture_core.evaluations.report import UNDEFINED, measured_text
from fracture_core.matching import MatchConfig
from fracture_core.metrics.intervals import Proportion
from fracture_core.models.cards import ModelCard
from fracture_core.models.library import points_of, read_library, store_points
from fracture_core.models.points import Measurements, Point, Reached
from fracture_core.operating_points import ANY_HIT_GRID, MAX_ANY_HIT_F1, RULES, Aim, Rule
from fracture_core.ui.session import Slot
from fracture_core.ui.widgets.evaluation_choice import stamp_of
from fracture_core.ui.widgets.text import literal

_RULES: Slot[tuple[Rule, ...]] = Slot("evaluation_rules", RULES)
_NOTE: Slot[str] = Slot("points_note", "")
_OF_BOXES: tuple[Aim, ...] = ("FP per image ≤", "max any-hit F1")
_RULES_HELP = (
    "max F1 counts single findings, one to one, at every score. max any-hit F1 counts images, "
    "right when any box hits, and flatters models that draw many boxes; it looks at "
    f"{ANY_HIT_GRID[0]:g}, {ANY_HIT_GRID[1]:g} … {ANY_HIT_GRID[-1]:g} only, as R1 did."
)
_FIRST_BOUNDS: dict[Aim, float] = {
    "sensitivity ≥": 0.9,
    "FP per image ≤": 0.5,
    "specificity ≥": 0.9,
}


def points_for(
    listed: Listed, evaluation: Evaluation, config: MatchConfig, messages: DeltaGenerator
) -> Measurements | None:
    """Those stored with the model where they fit, else those of the usual rules on this evaluation;
    None where neither makes sense.
    """
    stored = stored_points(evaluation, messages)
    if stored is not None:
        return stored
    return _try_measured(listed, evaluation, config, RULES)


def show_points(listed: Listed, evaluation: Evaluation, config: MatchConfig) -> None:
    """What is stored, and what could be."""
    about = evaluation.about
    stored = stored_points(evaluation, st.container())
    if stored is None:
        st.info(
            f"No operating points are stored with {literal(about.title)} yet: choose some here.",
            icon=":material/flag:",
        )
    else:
        _show_stored(stored, evaluation)
    st.subheader("Choose on this evaluation", anchor=False)
    if about.split == "test":
        st.warning(
            "This is a test split: points chosen on it are no test of the model any more. "
            "Choose on validation, apply on test.",
            icon=":material/warning:",
        )
    rules = _choose_rules(about.task == "classify")
    try:
        measured = _measured(evaluation, *_identity(listed), config, rules)
    except ConfigError as error:
        st.error(literal(str(error)), icon=":material/error:")
        return
    _show_table(measured.points, "chosen")
    can_store = bool(measured.points) and _card_of(evaluation) is not None
    # No callback: it would be given what was measured before the click, and a field that is left
    # by the click has changed since.
    clicked = st.button(
        "Store with the model",
        icon=":material/save:",
        disabled=not can_store,
        help="They replace those that are stored: the viewer's solid and dashed lines, and what a "
        "score and a negative are worth, follow them.",
    )
    if clicked and can_store:
        _store(measured, about.title)
    if note := _NOTE.take():
        st.toast(literal(note), icon=":material/flag:")


# ---- measuring ----------------------------------------------------------------------------------


def _identity(listed: Listed) -> tuple[str, int]:
    return str(listed.folder), stamp_of(listed)


@st.cache_data(max_entries=32, show_spinner="Choosing operating points…")
def _measured(
    _evaluation: Evaluation, folder: str, stamp: int, config: MatchConfig, rules: tuple[Rule, ...]
) -> Measurements:
    return measure_points(_evaluation, rules, nms_iou=config.nms_iou, match_iou=config.match_iou)


def _try_measured(
    listed: Listed, evaluation: Evaluation, config: MatchConfig, rules: tuple[Rule, ...]
) -> Measurements | None:
    try:
        return _measured(evaluation, *_identity(listed), config, rules)
    except ConfigError:
        # A classifier without a class for nothing: the tab of operating points says so.
        return None


def _card_of(evaluation: Evaluation) -> ModelCard | None:
    """The card of the same weights; it may be gone, or replaced."""
    about = evaluation.about
    named = (card for card in read_library().cards if card.model_id == about.model_id)
    return next((card for card in named if card.weights_sha256 == about.weights_sha256), None)


def stored_points(evaluation: Evaluation, messages: DeltaGenerator) -> Measurements | None:
    """What is stored of the same weights with classes counted alike; None = nothing."""
    card = _card_of(evaluation)
    if card is None:
        return None
    try:
        stored = points_of(card)
    except ConfigError as error:
        messages.error(literal(str(error)), icon=":material/broken_image:")
        return None
    same = stored is not None and stored.one_class == evaluation.about.one_class
    return stored if same else None


def _store(measured: Measurements, title: str) -> None:
    try:
        store_points(measured)
        _NOTE.set(f"Stored with {title}.")
    except (WorkbenchError, OSError) as error:
        _NOTE.set(f"Not stored: {error}")
    st.rerun()


# ---- rules --------------------------------------------------------------------------------------


def _choose_rules(classifies: bool) -> tuple[Rule, ...]:
    held = _RULES.get()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        aims = [aim for aim in get_args(Aim) if not (classifies and aim in _OF_BOXES)]
        aim: Aim = st.selectbox("Rule", aims, key="rule_aim", width=190, help=_RULES_HELP)
        most = None if aim == "FP per image ≤" else 1.0
        bound = st.number_input(
            "Bound",
            0.0,
            most,
            _FIRST_BOUNDS.get(aim, 0.0),
            0.05,
            key=f"rule_bound_{aim}",
            disabled=not Rule(aim=aim).has_bound,
            width=130,
        )
        rule = Rule(aim=aim, bound=float(bound or 0.0) if Rule(aim=aim).has_bound else 0.0)
        known = rule in held
        if st.button("Add", icon=":material/add:", disabled=known) and not known:
            _RULES.set((*held, rule))
            st.rerun()
        st.button("Usual rules", icon=":material/restart_alt:", on_click=_reset)
    names = [each.name for each in held]
    kept = st.pills("Rules in use", names, selection_mode="multi", default=names, key=_key(names))
    return tuple(each for each in held if each.name in kept)


def _key(names: Sequence[str]) -> str:
    """A new list begins with all of it chosen."""
    return f"rules_in_use:{'|'.join(names)}"


def _reset() -> None:
    _RULES.set(RULES)


# ---- tables -------------------------------------------------------------------------------------


def _show_stored(stored: Measurements, evaluation: Evaluation) -> None:
    how = f"NMS IoU {stored.nms_iou:g}, match IoU {stored.match_iou:g}"
    st.subheader("Stored with the model", anchor=False)
    st.caption(
        f"Chosen on {literal(stored.data)}, split {literal(stored.split)}, {how}. "
        "Intervals are Wilson's, 95 %."
    )
    _show_table(stored.points, "chosen")
    try:
        applied = apply_points(stored, evaluation)
    except ConfigError as error:
        st.caption(f"Not applied to this evaluation: {literal(str(error))}")
        return
    about = evaluation.about
    st.markdown(f"**Applied to {literal(about.data_name)}, split {literal(about.split)}**")
    _show_table(applied.points, "applied")
    if st.button(
        "Store what they reach here",
        icon=":material/save:",
        help="The points stay; these metrics, of images they were not chosen on, are kept "
        "beside them.",
    ):
        _store(applied, about.title)


def _show_table(points: Sequence[Point], which: str) -> None:
    st.dataframe([_row(point, which) for point in points], hide_index=True, width="stretch")


def _row(point: Point, which: str) -> dict[str, str]:
    reached = point.chosen if which == "chosen" else point.applied
    at = "not met" if point.confidence is None else f"{point.confidence:.3f}"
    note = _edge_of(point.rule) if point.at_edge else point.reason
    return {"Rule": point.rule, "Confidence ≥": at, **_metrics(point.unit, reached), "Note": note}


def _edge_of(rule: str) -> str:
    return "the edge of its grid" if rule == MAX_ANY_HIT_F1.name else "the lowest score there is"


def _metrics(unit: str, reached: Reached | None) -> dict[str, str]:
    names = (f"Sensitivity per {unit}", f"Precision per {unit}", "Specificity per image")
    if reached is None:
        return {**dict.fromkeys(names, "–"), "FP per image": "–"}
    shares = (reached.sensitivity, reached.precision, reached.specificity)
    rate = reached.false_positives / reached.images if reached.images else None
    return {
        **{name: share_text(each.proportion()) for name, each in zip(names, shares, strict=True)},
        "FP per image": UNDEFINED if rate is None else f"{rate:.3f}",
    }


def share_text(share: Proportion) -> str:
    """A share with its interval and what it is a share of."""
    if not share.total:
        return f"{UNDEFINED}, n = 0"
    return f"{measured_text(share.share, *share.interval, places=3)}, n = {share.total:,}"
