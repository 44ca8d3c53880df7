"""Faults of a data set by severity, each with its files and its pairs of pictures."""

from typing import TYPE_CHECKING

import streamlit as st

from fracture_core.datasets.issues import counted
from fracture_core.errors import WorkbenchError
from fracture_core.health import Fault, HealthReport, Place, Severity
from fracture_core.ui.dataset_facts import read_link, stamp_of
from fracture_core.ui.text import literal
from fracture_core.ui.truth_pictures import truth_picture

if TYPE_CHECKING:
    from fracture_core.datasets import Dataset

_A_PAGE = 10
_PAIRS_A_PAGE = 6
_ACROSS = 3
_SIDE_PX = 280
HEADINGS = {
    Severity.ERROR: "Errors: figures or trainings would be wrong",
    Severity.WARNING: "Warnings: look at them before a training",
    Severity.NOTE: "Notes: good to know",
}
ICONS = {
    Severity.ERROR: ":material/error:",
    Severity.WARNING: ":material/warning:",
    Severity.NOTE: ":material/info:",
}


def show_faults(dataset: "Dataset", path: str, report: HealthReport) -> None:
    """A line each, the worst first; its files are fetched when it is opened."""
    for severity in Severity:
        faults = [fault for fault in report.faults if fault.severity is severity]
        if faults:
            st.markdown(f"**{HEADINGS[severity]}**")
        for fault in faults:
            _show_fault(dataset, path, fault)


def _show_fault(dataset: "Dataset", path: str, fault: Fault) -> None:
    title = f"{literal(fault.title)} · **{_amount(fault)}**"
    holder = st.expander(
        title, icon=ICONS[fault.severity], key=f"fault-{fault.check}", on_change="rerun"
    )
    if not holder.open:
        return
    with holder:
        st.markdown(literal(fault.meaning))
        st.markdown(f":material/build: {literal(fault.advice)}")
        is_pairs = any(place.other for place in fault.places)
        places = _on_page(fault, _PAIRS_A_PAGE if is_pairs else _A_PAGE)
        if is_pairs:
            _show_pairs(dataset, path, places)
        else:
            _show_places(dataset, path, places)


def _amount(fault: Fault) -> str:
    """How many places, named by what they are."""
    count = len(fault.places)
    if any(place.other for place in fault.places):
        return counted(count, "pair")
    if not any(place.sample_id for place in fault.places):
        return counted(count, "entry", "entries")
    pictures = len({place.sample_id for place in fault.places})
    found = counted(pictures, "image")
    return found if pictures == count else f"{found}, {counted(count, 'place')}"


def _on_page(fault: Fault, count: int) -> tuple[Place, ...]:
    pages = -(-len(fault.places) // count)
    if pages == 1:
        return fault.places
    page = st.number_input(f"Page of {pages:,}", 1, pages, 1, width=140, key=f"of-{fault.check}")
    return fault.places[(page - 1) * count : page * count]


def _show_places(dataset: "Dataset", path: str, places: tuple[Place, ...]) -> None:
    lines = []
    for place in places:
        link = _link(dataset, path, place.sample_id, place.split) if place.sample_id else ""
        detail = "" if place.detail == place.sample_id else literal(place.detail)
        lines.append("- " + " · ".join(part for part in (link, place.split, detail) if part))
    st.markdown("\n".join(lines))


def _show_pairs(dataset: "Dataset", path: str, places: tuple[Place, ...]) -> None:
    columns = st.columns(_ACROSS)
    for number, place in enumerate(places):
        with columns[number % _ACROSS], st.container(border=True):
            left, right = st.columns(2)
            with left:
                _show_one(dataset, path, place.sample_id, place.split)
            with right:
                _show_one(dataset, path, place.other, place.other_split)
            st.caption(literal(place.detail))


def _show_one(dataset: "Dataset", path: str, sample_id: str, split: str) -> None:
    try:
        key = f"{path}:{stamp_of(path)}"
        st.image(truth_picture(dataset, key, sample_id, _SIDE_PX), width="stretch")
    except WorkbenchError as error:
        st.error(literal(str(error)), icon=":material/broken_image:")
    st.caption(f"{_link(dataset, path, sample_id, split)} · {literal(split or 'no split')}")


def _link(dataset: "Dataset", path: str, sample_id: str, split: str) -> str:
    """A link to Read, for what the data set lists; the name alone for what it left out."""
    name = literal(sample_id if dataset.stacked else sample_id.rpartition("/")[2])
    if sample_id not in dataset.ids:
        return name
    return f"[{name}]({read_link(dataset, path, split, sample_id)})"
