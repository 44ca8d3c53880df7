"""On a model's card: its operating points with what they reach, and what its scores are worth."""

from collections.abc import Iterator

import streamlit as st

from fracture_core.errors import ConfigError
from fracture_core.evaluations.report import measured_text
from fracture_core.metrics.intervals import Proportion
from fracture_core.models.cards import ModelCard
from fracture_core.models.library import points_of
from fracture_core.models.points import Evidence, Measurements, Point, Reached
from fracture_core.ui.text import literal

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
