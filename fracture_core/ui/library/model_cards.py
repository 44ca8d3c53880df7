"""A model's card on a page: what it is, its operating points with what they reach, what its scores
are worth, and what can be done to it.
"""

from collections.abc import Callable, Iterator

import streamlit as st

from fracture_core.demo import demo_case
from fracture_core.errors import ConfigError, WeightsError, WorkbenchError
from fracture_core.evaluations.report import measured_text
from fracture_core.metrics.intervals import Proportion
from fracture_core.models.cards import ModelCard
from fracture_core.models.consensus_cards import FAMILY as CONSENSUS
from fracture_core.models.consensus_cards import ConsensusArchitecture, consensuses_with
from fracture_core.models.library import (
    can_delete,
    delete_model,
    is_built_in,
    list_cards,
    points_of,
    rename_model,
    weights_bytes,
)
from fracture_core.models.points import Evidence, Measurements, Point, Reached
from fracture_core.models.speed import Speed, measure
from fracture_core.scope import scope_words
from fracture_core.ui.read.predicting import model_of
from fracture_core.ui.widgets.text import literal

_Row = dict[str, str]


def show_measurements(card: ModelCard) -> bool:
    """Whether there is anything to show; a file that makes no sense is said to be so."""
    try:
        measured = points_of(card)
    except ConfigError as error:
        st.error(literal(str(error)), icon=":material/rule:")
        return False
    if measured is None:
        return False
    st.markdown("**Operating points**")
    st.caption(literal(_how(measured)))
    rows = [row for point in measured.points for row in _rows(point, measured)]
    if rows:
        st.table(_columns(rows), border="horizontal", hide_index=True)
    for sentence in _limits(measured):
        st.caption(literal(sentence))
    with st.expander("What a score is worth"):
        st.table(_columns(_reliability(measured)), border="horizontal", hide_index=True)
    return True


def _how(measured: Measurements) -> str:
    when = measured.created_utc[:16].replace("T", " ")
    where = f"Chosen on {measured.data}, split {measured.split}, {when} UTC"
    if measured.unit == "image":
        return f"{where}, by image scores. 95 % intervals in brackets."
    classes = ", all classes taken as one" if measured.one_class else ""
    merging = f"NMS IoU {measured.nms_iou:g}, match IoU {measured.match_iou:g}"
    return f"{where}, at {merging}{classes}. 95 % intervals in brackets."


def _rows(point: Point, measured: Measurements) -> Iterator[_Row]:
    if point.confidence is None:
        return
    head = {"Rule": point.rule, "Confidence": f"{point.confidence:.3f}"}
    if point.chosen is not None:
        where = {"On": f"split {measured.split}, chosen"}
        yield head | where | _reached(point.chosen, point.unit)
    if point.applied is not None:
        where = {"On": f"{point.applied_to}, applied"}
        yield head | where | _reached(point.applied, point.unit)


def _reached(found: Reached, unit: str) -> _Row:
    per_image = f"{found.false_positives / found.images:.2f}" if found.images else "undefined"
    return {
        f"Sensitivity per {unit}": _share(found.sensitivity.proportion()),
        f"Precision per {unit}": _share(found.precision.proportion()),
        "Specificity per image": _share(found.specificity.proportion()),
        "FP per image": per_image,
    }


def _share(found: Proportion) -> str:
    return measured_text(found.share, *found.interval)


def _limits(measured: Measurements) -> Iterator[str]:
    """What the reader must know of the points: rules not met, points at the edge."""
    for point in measured.points:
        if point.confidence is None:
            yield f"{point.rule}: not met. {point.reason}."
        elif point.at_edge:
            yield (
                f"{point.rule}: chosen at the lowest score of all; a lower one, had the model kept "
                "any, might have done better."
            )


def _reliability(measured: Measurements) -> list[_Row]:
    things = "Images" if measured.unit == "image" else "Boxes"
    right = "Had a finding" if measured.unit == "image" else "Were right"
    return [
        {
            "Score": f"{each.low:g}–{each.high:g}",
            f"{things} on split {measured.split}": f"{each.total:,}",
            right: _share(_proportion(each)),
        }
        for each in measured.evidence
    ]


def _proportion(each: Evidence) -> Proportion:
    return Proportion(count=each.right, total=each.total)


def _columns(rows: list[_Row]) -> dict[str, list[str]]:
    return {name: [literal(row[name]) for row in rows] for name in rows[0]} if rows else {}


TASKS = {"detect": "boxes", "segment": "boxes and masks", "classify": "one class an image"}
MOST_CLASSES = 12


def show_card(card: ModelCard) -> None:
    """One model: facts first, then measuring its speed, renaming and deleting."""
    with st.container(border=True, key=f"card-{card.model_id}"):
        st.markdown(f"**{literal(card.title)}** · {card.family} · {TASKS[card.task]}")
        if card.note:
            st.caption(literal(card.note))
        facts = st.container()
        # The card's own confidences have no metrics: those that were measured stand for them.
        known = show_measurements(card)
        facts.table(_facts(card, measured=known), border="horizontal", width="stretch")
        _speed(card)
        if not is_built_in(card.model_id):
            _actions(card)


def show_broken(error: WeightsError) -> None:
    """What is wrong with a model's folder; one that was added can be deleted."""
    st.error(literal(str(error)), icon=":material/broken_image:")
    if can_delete(error.name):
        with st.popover("Delete", icon=":material/delete:"):
            st.write(f"Delete **{literal(error.name)}**? This cannot be undone.")
            if st.button("Delete for good", key=f"delete-{error.name}", type="primary"):
                _then_again(lambda: delete_model(error.name))


def _facts(card: ModelCard, *, measured: bool) -> dict[str, str]:
    more = len(card.classes) - MOST_CLASSES
    classes = ", ".join(card.classes[:MOST_CLASSES]) + (f" and {more} more" if more > 0 else "")
    facts = {
        "Id": card.model_id,
        f"Classes ({len(card.classes)})": classes,
        "Input": f"{card.input_size} px",
        "NMS": "needed" if card.needs_nms else "not needed",
        "Training data": f"{card.training_data} (licence: {card.training_licence})",
        "Scope": scope_words(card.scope),
        "Metrics": _metrics(card.metrics),
        "Operating points": _metrics(card.operating_points),
        "Weights": _weights(card),
    }
    if measured:
        del facts["Operating points"]
    return {name: literal(value) for name, value in facts.items()}


def _metrics(metrics: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in metrics.items()) or "none measured"


def _weights(card: ModelCard) -> str:
    if card.family == CONSENSUS:
        members = ", ".join(ConsensusArchitecture.of(card).model_ids)
        return f"those of {members}: {weights_bytes(card) / 1e6:.1f} MB"
    if not card.weights_file:
        return "none"
    return f"{weights_bytes(card) / 1e6:.1f} MB, sha256 {card.weights_sha256[:16]}…"


def _speed(card: ModelCard) -> None:
    """Measured on request: the first run of a model costs seconds."""
    known = _speeds().get((card.model_id, card.weights_sha256))
    if st.button("Measure speed on this machine", key=f"speed-{card.model_id}", type="tertiary"):
        with st.spinner("Measuring…"):
            try:
                known = measure(model_of(card), demo_case())
            except WorkbenchError as error:
                st.error(literal(str(error)), icon=":material/error:")
                return
        _speeds()[card.model_id, card.weights_sha256] = known
    if known is not None:
        metric = f"{known.seconds * 1_000:,.0f} ms an image"
        parts = f" ({known.stages.text})" if known.stages else ""
        st.caption(f"{metric}{parts}, median of {known.repeats} after a first one, {known.device}")


@st.cache_resource(show_spinner=False)
def _speeds() -> dict[tuple[str, str], Speed]:
    return {}


def _actions(card: ModelCard) -> None:
    with st.container(horizontal=True):
        with st.popover("Rename", icon=":material/edit:"):
            title = st.text_input("Title", card.title, key=f"title-{card.model_id}")
            if st.button("Save", key=f"rename-{card.model_id}"):
                _then_again(lambda: rename_model(card.model_id, title))
        with st.popover("Delete", icon=":material/delete:"):
            what = "" if card.family == CONSENSUS else " and its weights"
            st.write(f"Delete **{literal(card.title)}**{what}? This cannot be undone.")
            for other in consensuses_with(card.model_id, list_cards()):
                st.write(f"{literal(other.title)} cannot be used without it.")
            if st.button("Delete for good", key=f"delete-{card.model_id}", type="primary"):
                _then_again(lambda: delete_model(card.model_id))


def _then_again(act: Callable[[], object]) -> None:
    """Do it and show the library as it is then, or say why it could not be done."""
    try:
        act()
    except WorkbenchError as error:
        st.error(literal(str(error)), icon=":material/error:")
    else:
        st.rerun()
