"""Several models over a data set: which, at which common dial, and each one's threshold at it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from fracture_core.errors import ConfigError, WorkbenchError
from fracture_core.evaluations import Evaluation, Listed, list_evaluations, load_evaluation
from fracture_core.evaluations.comparison import (
    Drawn,
    draw_at_dial,
    draw_of_all,
    refusal,
    refusal_of,
)
from fracture_core.evaluations.matched_models import (
    FEWEST,
    MOST,
    DialKind,
    MatchedModel,
    Threshold,
    common_unit,
    match_model,
    threshold_at,
)
from fracture_core.matching import MatchConfig
from fracture_core.metrics.studies import STUDY_RULES
from fracture_core.models.points import Measurements
from fracture_core.types import Unit
from fracture_core.ui.compare.comparing import LETTERS
from fracture_core.ui.evaluate.points import points_for
from fracture_core.ui.widgets.evaluation_choice import stamp_of, title_of
from fracture_core.ui.widgets.evaluation_settings import MATCH_HELP, NMS_HELP
from fracture_core.ui.widgets.text import literal

KEY = "evaluations"
LEVEL, SLIDER = "set_level", "set_slider"
DIALS: dict[str, DialKind] = {
    "Equal sensitivity": "sensitivity",
    "Equal FP per image": "FP per image",
    "Own operating point": "own confidence",
}
OWN = "own confidences"
# The first level, the highest, and the step of the slider.
_LEVELS: dict[DialKind, tuple[float, float, float]] = {
    "sensitivity": (0.8, 1.0, 0.01),
    "FP per image": (0.5, 8.0, 0.05),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedModel:
    """A model that is compared: its evaluation as it lies on disk, and matched."""

    letter: str
    listed: Listed
    matched: MatchedModel

    @property
    def title(self) -> str:
        return f"{self.letter} · {self.matched.title}"


# ---- who ----------------------------------------------------------------------------------------


def choose_evaluations(messages: DeltaGenerator) -> list[Listed]:
    """Two to four finished ones of the same data; what cannot be compared is refused in a sentence.

    The choice is in the address.
    """
    done = {each.name: each for each in list_evaluations() if each.complete}
    _begin(done)
    chosen = st.multiselect(
        f"Evaluations ({len(done):,})",
        list(done),
        format_func=lambda name: title_of(done[name]),
        key=KEY,
        max_selections=MOST,
        persist_state="session",
        placeholder="Choose two to four",
        help="Of the same images; the first decides which.",
    )
    if st.query_params.get_all(KEY) != chosen:
        st.query_params[KEY] = chosen
    listed = [done[name] for name in chosen]
    kept = listed[:1]
    for each in listed[1:]:
        reason = _refusal(listed[0], each)
        if reason:
            messages.warning(literal(reason), icon=":material/block:")
        else:
            kept.append(each)
    return kept


def _refusal(first: Listed, other: Listed) -> str:
    if first.about is None or other.about is None:
        return f"{other.name} cannot be read."
    return refusal_of(first.about, other.about)


def _begin(done: dict[str, Listed]) -> None:
    """What the address names, else the newest with those it can be compared with."""
    named = st.query_params.get_all(KEY)
    if KEY in st.session_state:
        held = st.session_state[KEY]
        st.session_state[KEY] = [name for name in held if name in done]
    elif named:
        st.session_state[KEY] = [name for name in named if name in done][:MOST]
    else:
        st.session_state[KEY] = _first(list(done.values()))


def _first(done: list[Listed]) -> list[str]:
    """The newest that another model can be compared with, and its rivals; of one kind of model,
    because metrics of boxes are what most want first.
    """
    done = sorted(done, key=lambda each: each.about is None or each.about.task == "classify")
    for one in done:
        rivals = {one.about.model_id if one.about else "": one.name}
        for other in done:
            if other is not one and other.about is not None and _is_rival(one, other):
                rivals.setdefault(other.about.model_id, other.name)
        if len(rivals) >= FEWEST:
            return list(rivals.values())[:MOST]
    return [each.name for each in done[:1]]


def _is_rival(one: Listed, other: Listed) -> bool:
    kinds = [each.about is not None and each.about.task == "classify" for each in (one, other)]
    return kinds[0] == kinds[1] and not _refusal(one, other)


def match_all(
    listed: Sequence[Listed], config: MatchConfig, messages: DeltaGenerator
) -> list[ComparedModel]:
    """Each matched once a setting; those that answered to other images are refused."""
    models: list[ComparedModel] = []
    for each in listed:
        try:
            found = _matched(*_identity(each), config)
        except WorkbenchError as error:
            messages.error(literal(str(error)), icon=":material/broken_image:")
            continue
        first = models[0].matched.evaluation if models else None
        reason = refusal(first, found.evaluation) if first else ""
        if reason:
            messages.warning(literal(reason), icon=":material/block:")
            continue
        models.append(ComparedModel(letter=LETTERS[len(models)], listed=each, matched=found))
    return models


def _identity(listed: Listed) -> tuple[str, int]:
    return str(listed.folder), stamp_of(listed)


@st.cache_resource(max_entries=6, show_spinner="Reading the evaluation…")
def _read_matched(folder: str, stamp: int) -> Evaluation:
    # The stamp is part of the key: an evaluation made anew is read anew.
    return load_evaluation(Path(folder)).matched()


@st.cache_resource(max_entries=12, show_spinner="Matching…")
def _matched(folder: str, stamp: int, config: MatchConfig) -> MatchedModel:
    return match_model(_read_matched(folder, stamp), config)


@st.cache_resource(max_entries=24, show_spinner="Drawing intervals…")
def _of_all(_one: MatchedModel, folder: str, stamp: int, config: MatchConfig) -> Drawn:
    return draw_of_all(_one)


@st.cache_resource(max_entries=256, show_spinner="Drawing intervals…")
def _at_dial(
    _one: MatchedModel, folder: str, stamp: int, config: MatchConfig, confidence: float | None
) -> Drawn:
    return draw_at_dial(_one, confidence)


def drawn_of_all(model: ComparedModel) -> Drawn:
    """Figures of all candidates, with intervals; kept by setting."""
    one = model.matched
    return _of_all(one, *_identity(model.listed), one.config)


def drawn_at(model: ComparedModel, threshold: Threshold) -> Drawn:
    """Figures at a confidence, with intervals; kept by setting and confidence."""
    one = model.matched
    return _at_dial(one, *_identity(model.listed), one.config, threshold.confidence)


# ---- setting ------------------------------------------------------------------------------------


def choose_set_match_config(listed: Sequence[Listed]) -> MatchConfig:
    """Overlaps and classes for all models alike."""
    classes = {name for each in listed if each.about for name in each.about.classes}
    nms_iou = st.number_input("NMS IoU", 0.0, 1.0, 0.5, 0.05, key="set_nms", help=NMS_HELP)
    match_iou = st.number_input("Match IoU", 0.05, 1.0, 0.5, 0.05, key="set_match", help=MATCH_HELP)
    same_class = True
    if len(classes) > 1:
        same_class = st.toggle(
            "Only the same class matches",
            True,
            key="set_same_class",
            help="Off: a finding may match a lesion of any class.",
        )
    rule = st.selectbox(
        "Score of a study",
        STUDY_RULES,
        key="set_study",
        help="How the scores of its images become one.",
    )
    return MatchConfig(
        nms_iou=float(nms_iou),
        match_iou=float(match_iou),
        class_aware=same_class,
        study_rule=str(rule),
    )


# ---- dial ---------------------------------------------------------------------------------------


def choose_thresholds(models: Sequence[ComparedModel]) -> tuple[Unit, tuple[Threshold, ...]]:
    """One dial for all, each model at its own confidence, in the unit that all of them know."""
    unit = common_unit([each.matched for each in models])
    with st.container(horizontal=True, vertical_alignment="bottom"):
        words = st.segmented_control(
            "Compare at",
            list(DIALS),
            default="Equal sensitivity",
            required=True,
            key="set_dial",
            bind="query-params",
            on_change=_forget_level,
        )
        kind = DIALS[str(words)]
        if kind == "own confidence":
            return unit, _own_thresholds(models)
        level = _choose_level(kind, unit)
    return unit, tuple(threshold_at(each.matched, unit, kind, level) for each in models)


def _forget_level() -> None:
    """A sensitivity makes no sense as a number of false positives."""
    for key in (LEVEL, SLIDER):
        st.session_state.pop(key, None)
    if LEVEL in st.query_params:
        del st.query_params[LEVEL]


def _choose_level(kind: DialKind, unit: Unit) -> float:
    """A slider and a number that move each other."""
    first, most, step = _LEVELS[kind]
    held = st.session_state.get(LEVEL)
    if held is None:
        held = _of_address(first, most)
    st.session_state[LEVEL] = st.session_state[SLIDER] = min(max(float(held), 0.0), most)
    label = f"Sensitivity per {unit}" if kind == "sensitivity" else "FP per image"
    st.slider(label, 0.0, most, step=step, key=SLIDER, on_change=_copy, args=(SLIDER, LEVEL))
    level = st.number_input(
        label,
        0.0,
        most,
        step=step,
        format="%.3f",
        key=LEVEL,
        width=130,
        label_visibility="hidden",
    )
    if st.query_params.get(LEVEL) != f"{level:g}":
        st.query_params[LEVEL] = f"{level:g}"
    return float(level)


def _of_address(first: float, most: float) -> float:
    try:
        level = float(st.query_params.get(LEVEL, first))
    except ValueError:
        return first
    return level if 0 <= level <= most else first


def _copy(source: str, target: str) -> None:
    st.session_state[target] = st.session_state[source]


def _own_thresholds(models: Sequence[ComparedModel]) -> tuple[Threshold, ...]:
    """Each model's point of one rule, or a confidence for each."""
    measured = [_points(each) for each in models]
    names = [_named(each) for each in measured]
    shared = [rule for rule in names[0] if all(rule in each for each in names)]
    rule = st.selectbox("Operating point", [*shared, OWN], key="set_rule", width=220)
    if rule != OWN:
        return tuple(Threshold(confidence=each[rule]) for each in names)
    return tuple(
        Threshold(
            confidence=float(
                st.number_input(
                    f"Confidence of {model.letter}",
                    0.0,
                    1.0,
                    0.5,
                    0.05,
                    format="%.3f",
                    key=f"set_confidence_{model.listed.name}",
                    width=140,
                )
            )
        )
        for model in models
    )


def _points(model: ComparedModel) -> Measurements | None:
    one = model.matched
    try:
        return points_for(model.listed, one.evaluation, one.config, st.container())
    except ConfigError as error:
        st.warning(literal(str(error)), icon=":material/rule:")
        return None


def _named(measured: Measurements | None) -> dict[str, float]:
    if measured is None:
        return {}
    return {
        point.rule: point.confidence for point in measured.points if point.confidence is not None
    }
