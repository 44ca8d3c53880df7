"""Faults of a data set as a table by severity, and each with its files and pairs of pictures."""

from typing import TYPE_CHECKING

import streamlit as st

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
ICONS = {
    Severity.ERROR: ":material/error:",
    Severity.WARNING: ":material/warning:",
    Severity.NOTE: ":material/info:",
}


def show_faults(dataset: "Dataset", path: str, report: HealthReport) -> None:
    """The worst first; one is open at a time, as its pictures take time and room."""
    if not report.faults:
        return
    table = [
        {
            "Severity": fault.severity.value,
            "Finding": fault.title,
            "Files": sum(bool(place.sample_id) for place in fault.places),
            "Places": len(fault.places),
        }
        for fault in report.faults
    ]
    st.dataframe(table, hide_index=True, width="stretch")
    for fault in report.faults:
        _show_fault(dataset, path, fault)


def _show_fault(dataset: "Dataset", path: str, fault: Fault) -> None:
    title = f"{fault.severity.value.capitalize()} · {fault.title} · {len(fault.places):,}"
    holder = st.expander(
        literal(title), icon=ICONS[fault.severity], key=f"fault-{fault.check}", on_change="rerun"
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
    name = literal(sample_id[-48:])
    if sample_id not in dataset.ids:
        return name
    return f"[{name}]({read_link(dataset, path, split, sample_id)})"
