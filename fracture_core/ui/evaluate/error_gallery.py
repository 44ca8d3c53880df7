"""The errors of one evaluation: at which setting, which of them, and a card each."""

from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from fracture_core.csv_text import csv_bytes
from fracture_core.evaluations import About, Evaluation, Listed
from fracture_core.evaluations.error_ranking import (
    HEADINGS,
    KINDS,
    MISSED,
    CaseErrors,
    Costs,
    Pair,
    by_name,
    by_score,
    case_errors,
    error_rows,
    only,
)
from fracture_core.evaluations.evaluation import MatchedBox, match_image
from fracture_core.matching import MatchConfig
from fracture_core.metrics.detection_table import Bools
from fracture_core.models.points import Measurements
from fracture_core.ui.widgets.case_gallery import Entry, drawn_boxes
from fracture_core.ui.widgets.case_links import read_link
from fracture_core.ui.widgets.choices import choose_groups, keep_choice
from fracture_core.ui.widgets.evaluation_choice import opened_evaluation, stamp_of
from fracture_core.ui.widgets.text import literal

if TYPE_CHECKING:
    from fracture_core.datasets import Dataset

ORDERS = ("Cost", "Score", "Case")
OWN = "own confidence"
CONFIDENCE = "confidence"
ALL_CLASSES = "all classes"
COST_WORDS = {
    "missed": "Missed finding",
    "false_positive": "False positive",
    "wrong_class": "Wrong class",
    "wrong_place": "Wrong place",
    "wrong_class_and_place": "Wrong class and place",
    "duplicate": "Duplicate",
    "whole_image": "Whole image wrong: factor",
    "critical": "Critical pair: factor",
}
# Addresses of before name it so.
_OLD_KINDS = {"spurious": "false positive"}
_TITLES = (
    "Missed finding",
    "False positive",
    "Wrong class",
    "Wrong place",
    "Wrong class and place",
    "Duplicate",
)
_COST_HELP = (
    "A missed finding costs more the further its best candidate lies below the confidence, any "
    "other error the higher its score: up to twice this number. An image that is wrong as a whole "
    "counts by its factor on top."
)


def matched_evaluation(listed: Listed) -> Evaluation:
    """Only the images whose ground truth is known, read once; raises ConfigError."""
    opened_evaluation(listed)
    return _matched(str(listed.folder), stamp_of(listed), listed)


@st.cache_resource(max_entries=4, show_spinner=False)
def _matched(folder: str, stamp: int, _listed: Listed) -> Evaluation:
    return opened_evaluation(_listed).matched()


# ---- setting ------------------------------------------------------------------------------------


def choose_confidence(points: Measurements | None) -> float:
    """One of the operating points, or a number of the reader's own; both are in the address."""
    named = {
        point.rule: point.confidence
        for point in (points.points if points else ())
        if point.confidence is not None
    }

    def words(rule: str) -> str:
        return rule if rule == OWN else f"{rule} · {named[rule]:.3f}"

    held = st.session_state.get("at")
    if held is not None and held not in (OWN, *named):
        st.session_state.pop("at")
    # A confidence in the address means that one, not an operating point.
    start = 0 if CONFIDENCE in st.query_params or not named else 1
    if CONFIDENCE not in st.session_state:
        st.session_state[CONFIDENCE] = _of_address()
    options = [OWN, *named]
    keep_choice("at", options, words)
    chosen = st.selectbox(
        "Operating point",
        options,
        index=start,
        format_func=words,
        key="at",
        help="Confidences chosen by rule on validation, or any other.",
    )
    own = st.number_input(
        "Confidence",
        0.0,
        1.0,
        step=0.05,
        format="%.3f",
        key=CONFIDENCE,
        disabled=chosen != OWN,
        help="A finding is shown where its score is at least this.",
    )
    _write_address(float(own) if chosen == OWN else None)
    return float(own) if chosen == OWN else float(named[str(chosen)])


def _of_address() -> float:
    try:
        named = float(st.query_params.get(CONFIDENCE, 0.5))
    except ValueError:
        return 0.5
    return named if 0 <= named <= 1 else 0.5


def _write_address(confidence: float | None) -> None:
    """By hand: a name that Streamlit binds to a widget cannot be written by other pages."""
    if confidence is not None:
        if st.query_params.get(CONFIDENCE) != f"{confidence:.9g}":
            st.query_params[CONFIDENCE] = f"{confidence:.9g}"
    elif CONFIDENCE in st.query_params:
        del st.query_params[CONFIDENCE]


def choose_costs() -> Costs:
    """What each kind of error costs, in any unit."""
    with st.expander("What errors cost", icon=":material/balance:"):
        st.caption(_COST_HELP)
        left, right = st.columns(2)
        chosen = {
            field.name: (left, right)[place % 2].number_input(
                COST_WORDS[field.name],
                min_value=0.0,
                value=float(getattr(Costs(), field.name)),
                step=1.0,
                key=f"cost_{field.name}",
            )
            for place, field in enumerate(fields(Costs))
        }
    return Costs(**{name: float(value) for name, value in chosen.items()})


def choose_critical(about: About) -> tuple[Pair, ...]:
    """Confusions that must not happen; none where there are no two classes to confuse."""
    names = about.classes
    if len(names) < 2:
        return ()
    pairs = {
        f"{true} taken for {read}": (true, read) for true in names for read in names if true != read
    }
    chosen = st.multiselect(
        "Critical confusions",
        list(pairs),
        format_func=literal,
        key="critical",
        placeholder="None",
        help="These come first: they cost the factor of a critical pair on top.",
    )
    return tuple(pairs[each] for each in chosen if each in pairs)


# ---- which --------------------------------------------------------------------------------------


@st.cache_resource(max_entries=6, show_spinner="Looking for errors…")
def _errors(
    _evaluation: Evaluation,
    folder: str,
    stamp: int,
    config: MatchConfig,
    confidence: float,
    costs: Costs,
    critical: tuple[Pair, ...],
) -> CaseErrors:
    return case_errors(_evaluation, config, confidence, costs, critical)


def errors_at(
    listed: Listed,
    evaluation: Evaluation,
    config: MatchConfig,
    confidence: float,
    costs: Costs,
    critical: tuple[Pair, ...],
) -> CaseErrors:
    """All of them, the costliest first; kept by setting."""
    identity = str(listed.folder), stamp_of(listed)
    return _errors(evaluation, *identity, config, confidence, costs, critical)


def choose_errors(errors: CaseErrors, dataset: "Dataset | None") -> CaseErrors:
    """By kind, class, image and split, each with its count; in the order the reader asks for."""
    counts = errors.counts()
    kinds = [kind for kind in KINDS if counts[kind]]
    asked = [_OLD_KINDS.get(kind, kind) for kind in st.query_params.get_all("kinds")]
    held = st.session_state.get("kinds", asked)
    # Set only where it must change: what is set anew forgets a click that is on its way.
    if "kinds" not in st.session_state or not set(held) <= set(kinds):
        st.session_state.kinds = [kind for kind in held if kind in kinds]

    def words(kind: str) -> str:
        return f"{kind} {counts[kind]:,}"

    keep_choice("kinds", kinds, words)
    chosen = st.pills(
        "Kind of error",
        kinds,
        selection_mode="multi",
        format_func=words,
        key="kinds",
        help="None chosen: all of them. A lesion that a finding of the wrong class or place points "
        "at is listed once, with that finding.",
    )
    # Streamlit's own binding would put the counts into the address.
    if st.query_params.get_all("kinds") != chosen:
        st.query_params["kinds"] = chosen
    with st.container(horizontal=True, vertical_alignment="bottom"):
        label = _choose_class(errors)
        marks = _choose_images(errors, dataset)
        order = st.selectbox("Order", ORDERS, key="order", bind="query-params", width=130)
        whole = int(errors.whole_image.sum())
        whole_only = st.toggle(
            f"Only images wrong as a whole ({whole:,})",
            key="whole",
            bind="query-params",
            help="Something to find and nothing shown, or nothing to find and something shown.",
        )
    found = only(errors, kinds=chosen or KINDS, label=label, whole_image=whole_only, images=marks)
    return {"Score": by_score, "Case": by_name}.get(order, _as_it_is)(found)


def _as_it_is(errors: CaseErrors) -> CaseErrors:
    return errors


def _choose_class(errors: CaseErrors) -> int | None:
    names = errors.evaluation.about.classes
    if len(names) < 2:
        return None
    counts = [
        int(((errors.label == k) | (errors.true_label == k)).sum()) for k in range(len(names))
    ]

    def words(label: int) -> str:
        return ALL_CLASSES if label < 0 else f"{names[label]} ({counts[label]:,})"

    options = [-1, *range(len(names))]
    keep_choice("class", options, words)
    chosen = st.selectbox(
        "Class, found or true",
        options,
        format_func=words,
        key="class",
        width=210,
    )
    return None if chosen < 0 else int(chosen)


def _choose_images(errors: CaseErrors, dataset: "Dataset | None") -> Bools | None:
    """By split, where the evaluation is of several, by a part of the name, and by what is known of
    them.
    """
    ids = errors.evaluation.sample_ids
    kept = np.ones(len(ids), dtype=np.bool_)
    splits = _splits(dataset, errors.evaluation.about.split)
    if splits:
        split = st.selectbox("Split", ["all", *splits], key="of_split", width=130)
        if split != "all" and dataset is not None:
            inside = set(dataset.splits[split])
            kept &= np.fromiter((each in inside for each in ids), dtype=np.bool_, count=len(ids))
    part = st.text_input(
        "Name contains", key="named", width=160, placeholder="part of a name"
    ).strip()
    if part:
        kept &= np.fromiter((part in each for each in ids), dtype=np.bool_, count=len(ids))
    groups = choose_groups(errors.evaluation.attributes)
    if groups is not None:
        kept &= groups
    return None if kept.all() else kept


def _splits(dataset: "Dataset | None", asked: str) -> list[str]:
    if dataset is None or asked in dataset.splits:
        return []
    return [name for name, ids in dataset.splits.items() if ids]


# ---- words --------------------------------------------------------------------------------------


def say_counts(errors: CaseErrors) -> None:
    """How many, in how many images, and which ground truths are counted with a finding."""
    images = len(np.unique(errors.image))
    total = len(errors.evaluation)
    st.markdown(f"**{len(errors):,} errors** in {images:,} of {total:,} images")


def entry_of(errors: CaseErrors, place: int, dataset: "Dataset | None") -> Entry:
    """The card of one error."""
    evaluation, config = errors.evaluation, errors.config
    about = evaluation.about
    sample_id = evaluation.sample_ids[int(errors.image[place])]
    boxes: tuple[MatchedBox, ...] = ()
    if about.task != "classify":
        boxes = match_image(evaluation, sample_id, config, errors.confidence)
    return Entry(
        sample_id=sample_id,
        boxes=drawn_boxes(boxes, about.classes),
        focus=_focus(errors, place, boxes),
        title=_title(errors, place),
        lines=(_score_line(errors, place), _why(errors, place)),
        link=read_link(about, dataset, sample_id, config, errors.confidence),
    )


def _focus(errors: CaseErrors, place: int, boxes: tuple[MatchedBox, ...]) -> tuple[int, ...]:
    """The box the error is about, and the ground truth that a finding comes near to."""
    row, ground_truth = int(errors.row[place]), int(errors.gt_row[place])
    missed = errors.kind[place] == MISSED
    return tuple(
        i
        for i, box in enumerate(boxes)
        if (box.row == ground_truth if box.is_ground_truth else box.row == row and not missed)
    )


def _title(errors: CaseErrors, place: int) -> str:
    names = (*errors.evaluation.about.classes, "")
    kind = _TITLES[int(errors.kind[place])]
    label, true = names[errors.label[place]], names[errors.true_label[place]]
    if errors.row[place] < 0:
        return f"{kind}: {true} taken for {label}"
    if true and true != label:
        return f"{kind}: {true} taken for {label}"
    return f"{kind}: {label}" if len(names) > 2 else kind


def _score_line(errors: CaseErrors, place: int) -> str:
    score, iou = float(errors.score[place]), float(errors.iou[place])
    overlap = "" if np.isnan(iou) else f" · IoU {iou:.2f}"
    if errors.kind[place] == MISSED and errors.row[place] >= 0:
        return "no candidate" if np.isnan(score) else f"best candidate {score:.3f}{overlap}"
    return f"score {score:.3f}{overlap}"


def _why(errors: CaseErrors, place: int) -> str:
    whole = ""
    if errors.whole_image[place] and errors.row[place] >= 0:
        missed = errors.kind[place] == MISSED
        whole = "nothing shown in this image · " if missed else "negative image · "
    return f"{whole}cost {errors.cost[place]:.3g}"


# ---- away ---------------------------------------------------------------------------------------


def offer_csv(errors: CaseErrors, name: str) -> None:
    """The list as it is filtered and ordered; written when it is asked for."""
    st.download_button(
        "List as CSV",
        lambda: as_csv(errors),
        file_name=f"{name}-errors.csv",
        mime="text/csv",
        icon=":material/download:",
        on_click="ignore",
        disabled=not len(errors),
    )


def as_csv(errors: CaseErrors) -> bytes:
    """A line an error, in the order of the gallery."""
    return csv_bytes(HEADINGS, error_rows(errors))
