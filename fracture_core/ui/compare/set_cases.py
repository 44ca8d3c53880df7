"""Compare over a data set: its parts in their order, and the cases on which two of the models
disagree, the most disputed first.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from fracture_core.drawing.boxes import DrawnBox
from fracture_core.evaluations.disagreement import DISPUTES, DisputeKind, Disputes, disputes
from fracture_core.evaluations.evaluation import MatchedBox, match_image
from fracture_core.evaluations.matched_models import FEWEST, MatchedModel, Threshold
from fracture_core.types import Unit
from fracture_core.ui.compare.set_comparison import (
    ComparedModel,
    choose_evaluations,
    choose_set_match_config,
    choose_thresholds,
    match_all,
)
from fracture_core.ui.compare.set_metrics import show_curves, show_metrics, show_models
from fracture_core.ui.session import forget_unless_in
from fracture_core.ui.widgets.case_gallery import (
    Entry,
    case_gallery,
    drawn_boxes,
    gallery_dataset,
    show_legend,
)
from fracture_core.ui.widgets.case_links import compare_link
from fracture_core.ui.widgets.choices import choose_groups, keep_choice
from fracture_core.ui.widgets.evaluation_choice import show_banner
from fracture_core.ui.widgets.text import literal

if TYPE_CHECKING:
    from fracture_core.datasets import Dataset


def show_disagreements(
    models: Sequence[ComparedModel], thresholds: Sequence[Threshold], unit: Unit, reference: int
) -> None:
    """Both directions, hits and false positives; each case opens in Compare at these settings."""
    pair = _choose_pair(models, reference)
    first, second = (models[n] for n in pair)
    at = thresholds[pair[0]].confidence, thresholds[pair[1]].confidence
    if at[0] is None or at[1] is None:
        st.info("One of the two has no confidence at this dial, so they cannot disagree.")
        return
    everything = disputes(first.matched, second.matched, (at[0], at[1]), unit)
    found = _choose_images(models, everything)

    def words(kind: DisputeKind) -> str:
        return f"{_words(kind, first.letter, second.letter)} ({len(found[kind]):,})"

    keep_choice("dispute", DISPUTES, words)
    kind: DisputeKind = st.segmented_control(
        "Cases",
        DISPUTES,
        default=next((each for each in DISPUTES if len(found[each])), DISPUTES[0]),
        required=True,
        format_func=words,
        key="dispute",
    )
    chosen = found[kind]
    if not len(chosen):
        st.info("No case is of this kind at this setting.")
        return
    st.caption(
        "The most disputed first: how far the one is above its own confidence and the other below "
        "its own, each as a share of what is possible, summed over the places of an image."
    )
    show_legend()
    dataset = gallery_dataset(first.matched.evaluation.about.data)
    case_gallery(
        dataset,
        range(len(chosen)),
        lambda place: _entry(models, thresholds, pair, chosen, place, dataset),
        key="dispute_page",
    )


def _choose_images(
    models: Sequence[ComparedModel], found: dict[DisputeKind, Disputes]
) -> dict[DisputeKind, Disputes]:
    """By what is known of them; an older evaluation knows nothing, and all are of the same."""
    evaluations = [each.matched.evaluation for each in models]
    attributes = next((each.attributes for each in evaluations if each.attributes), ())
    marks = choose_groups(attributes)
    if marks is None:
        return found
    return {kind: each.only(marks) for kind, each in found.items()}


def _choose_pair(models: Sequence[ComparedModel], reference: int) -> tuple[int, int]:
    """The only two there are, or two of them."""
    others = {each.listed.name: n for n, each in enumerate(models) if n != reference}
    if len(others) == 1:
        return (0, 1)

    def words(name: str) -> str:
        return models[others[name]].title

    names = list(others)
    forget_unless_in("against", names)
    keep_choice("against", names, words)
    chosen = st.segmented_control(
        f"Against {models[reference].title}",
        names,
        default=names[0],
        required=True,
        format_func=words,
        key="against",
    )
    other = others[chosen]
    return (min(reference, other), max(reference, other))


def _words(kind: DisputeKind, first: str, second: str) -> str:
    """The letters of the two in place of A and B."""
    return kind.replace("only A", f"only {first}").replace("only B", f"only {second}")


def _entry(
    models: Sequence[ComparedModel],
    thresholds: Sequence[Threshold],
    pair: tuple[int, int],
    chosen: Disputes,
    place: int,
    dataset: "Dataset | None",
) -> Entry:
    evaluation = models[pair[0]].matched.evaluation
    image = int(chosen.images[place])
    sample_id = evaluation.sample_ids[image]
    boxes, focus = _boxes(models, thresholds, pair, chosen, place)
    # A dial that puts a model nowhere shows nothing of it.
    confidences = [1.0 if at.confidence is None else at.confidence for at in thresholds]
    words = _words(chosen.kind, models[pair[0]].letter, models[pair[1]].letter)
    return Entry(
        sample_id=sample_id,
        boxes=boxes,
        focus=focus,
        title=words[0].upper() + words[1:],
        lines=(
            *(_best(models[n], thresholds[n], image) for n in pair),
            f"disagreement {chosen.amounts[place]:.2f}",
        ),
        link=compare_link(
            [each.matched.evaluation.about for each in models],
            dataset,
            sample_id,
            [each.matched.config for each in models],
            confidences,
        ),
    )


def _best(model: ComparedModel, threshold: Threshold, image: int) -> str:
    """The best score in the image beside the confidence."""
    best = float(model.matched.image_scores[image])
    confidence = threshold.confidence if threshold.confidence is not None else 1.0
    return f"{model.letter}: best score {best:.3f}, shown from {confidence:.3f}"


def _boxes(
    models: Sequence[ComparedModel],
    thresholds: Sequence[Threshold],
    pair: tuple[int, int],
    chosen: Disputes,
    place: int,
) -> tuple[tuple[DrawnBox, ...], tuple[int, ...]]:
    """The ground truth once, and the findings of both with their letters; in focus what is
    disputed.
    """
    rows, hits = set(chosen.rows[place]), chosen.kind.endswith("hits")
    alone = pair[0] if chosen.kind.startswith("only A") else pair[1]
    drawn: list[DrawnBox] = []
    focus: list[int] = []
    gt_shown = False
    for n in pair:
        one = models[n].matched
        if one.lesions is None:
            continue
        matched = _matched(one, thresholds[n], int(chosen.images[place]))
        for box, tagged in zip(
            matched, drawn_boxes(matched, one.evaluation.about.classes), strict=True
        ):
            if box.is_ground_truth and gt_shown:
                continue
            disputed = box.row in rows and (
                box.is_ground_truth if hits else not box.is_ground_truth and n == alone
            )
            if disputed:
                focus.append(len(drawn))
            drawn.append(_lettered(box, tagged, models[n].letter))
        gt_shown = True
    return tuple(drawn), tuple(focus)


def _matched(one: MatchedModel, threshold: Threshold, image: int) -> tuple[MatchedBox, ...]:
    confidence = threshold.confidence if threshold.confidence is not None else 1.0
    return match_image(one.evaluation, one.evaluation.sample_ids[image], one.config, confidence)


def _lettered(box: MatchedBox, drawn: DrawnBox, letter: str) -> DrawnBox:
    """Ground truths belong to no model; which are missed, both say in other ways."""
    if box.is_ground_truth:
        return replace(drawn, kind="truth", tag=drawn.tag.replace("GT missed", "GT"))
    return replace(drawn, tag=f"{letter} {drawn.tag}")


METRICS_PAGE = "pages/evaluate/metrics.py"


def compare_over_set(sidebar: DeltaGenerator) -> None:
    """Choose in the sidebar, compare in the page."""
    st.header("Compare over a data set", anchor=False)
    messages = st.container()
    with sidebar:
        listed = choose_evaluations(messages)
        config = choose_set_match_config(listed)
    if len(listed) >= FEWEST:
        models = match_all(listed, config, messages)
    if len(listed) < FEWEST or len(models) < FEWEST:
        st.info(
            "A comparison needs two to four finished evaluations of the same images: choose them "
            "at the left, or evaluate another model.",
            icon=":material/compare:",
        )
        st.page_link(METRICS_PAGE, label="Evaluate a model", icon=":material/monitoring:")
        return
    if not len(models[0].matched.evaluation):
        st.info("No ground truth is known of this split, so nothing can be compared.")
        return
    with sidebar:
        reference = _choose_reference(models)
    _results(models, reference)


def _choose_reference(models: list[ComparedModel]) -> int:
    places = {each.listed.name: n for n, each in enumerate(models)}

    def words(name: str) -> str:
        return models[places[name]].title

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
def _results(models: list[ComparedModel], reference: int) -> None:
    """A moved dial runs only this again."""
    about = models[0].matched.evaluation.about
    count = len(models[0].matched.evaluation)
    counted = ", every class as one" if about.one_class else ""
    st.caption(
        literal(
            f"{about.data_name}, split {about.split}, {count:,} images with ground truth{counted}."
        )
    )
    for model in models:
        show_banner(model.matched.evaluation.about, f"{model.title}: ")
    unit, thresholds = choose_thresholds(models)
    name = f"compare-{about.data_name}-{about.split}"
    show_models(models, thresholds)
    show_curves(models, thresholds, unit, name)
    st.subheader("Figures", anchor=False)
    show_metrics(models, thresholds, reference, name)
    st.subheader("Where they disagree", anchor=False)
    show_disagreements(models, thresholds, unit, reference)
