"""The cases on which two of the compared models disagree, the most disputed first."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import streamlit as st

from fracture_core.evaluations.disagreement import DISPUTES, DisputeKind, Disputes, disputes
from fracture_core.evaluations.evaluation import JudgedBox, judge_picture
from fracture_core.evaluations.matched_models import MatchedModel, Threshold
from fracture_core.types import Unit
from fracture_core.ui.attribute_filter import choose_groups
from fracture_core.ui.case_gallery import (
    Entry,
    case_gallery,
    drawn_boxes,
    gallery_dataset,
    show_legend,
)
from fracture_core.ui.case_links import compare_link
from fracture_core.ui.case_pictures import DrawnBox
from fracture_core.ui.kept_choice import keep_choice
from fracture_core.ui.session import forget_unless_in
from fracture_core.ui.set_comparison import ComparedModel

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
    """The best score in the picture beside the confidence."""
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
    """The truth once, and the findings of both with their letters; in focus what is disputed."""
    rows, hits = set(chosen.rows[place]), chosen.kind.endswith("hits")
    alone = pair[0] if chosen.kind.startswith("only A") else pair[1]
    drawn: list[DrawnBox] = []
    focus: list[int] = []
    truth_shown = False
    for n in pair:
        one = models[n].matched
        if one.lesions is None:
            continue
        judged = _judged(one, thresholds[n], int(chosen.images[place]))
        for box, tagged in zip(
            judged, drawn_boxes(judged, one.evaluation.about.classes), strict=True
        ):
            if box.is_truth and truth_shown:
                continue
            disputed = box.row in rows and (
                box.is_truth if hits else not box.is_truth and n == alone
            )
            if disputed:
                focus.append(len(drawn))
            drawn.append(_lettered(box, tagged, models[n].letter))
        truth_shown = True
    return tuple(drawn), tuple(focus)


def _judged(one: MatchedModel, threshold: Threshold, image: int) -> tuple[JudgedBox, ...]:
    confidence = threshold.confidence if threshold.confidence is not None else 1.0
    return judge_picture(one.evaluation, one.evaluation.sample_ids[image], one.config, confidence)


def _lettered(box: JudgedBox, drawn: DrawnBox, letter: str) -> DrawnBox:
    """Truths belong to no model; which are missed, both say in other ways."""
    if box.is_truth:
        return replace(drawn, kind="truth", tag=drawn.tag.replace("GT missed", "GT"))
    return replace(drawn, tag=f"{letter} {drawn.tag}")
