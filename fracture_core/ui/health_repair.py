"""A copy of a data set with splits that leak nothing, from the page."""

from typing import TYPE_CHECKING

import streamlit as st

from fracture_core import importing
from fracture_core.datasets.records import RecordedDataset
from fracture_core.errors import WorkbenchError
from fracture_core.health import HealthReport
from fracture_core.ui.data_roots import inside_roots
from fracture_core.ui.text import literal

if TYPE_CHECKING:
    from fracture_core.datasets import Dataset


def offer_repair(dataset: "Dataset", report: HealthReport) -> None:
    """A form; the work goes on where it stopped when it is sent again."""
    st.subheader("Repaired copy", anchor=False)
    with importing.LOCK:
        from fracture_core.datasets.formats import writable

    if dataset.format not in writable():
        st.info(
            f"This format can only be read. Convert the data set to {', '.join(writable())} first, "
            "then check and repair that.",
            icon=":material/healing:",
        )
        return
    st.caption(
        "Splits cut anew, so that patients, originals and their copies stay together; what cannot "
        "be read is left out. The data set itself is never changed."
    )
    with st.form("repair", border=False):
        place, cut, number = st.columns([2, 1, 1])
        folder = place.text_input("Folder of the copy", placeholder="/path/to/new/folder")
        shares = cut.text_input("Train, val and test, in %", "70,15,15")
        seed = number.number_input("Seed of the cut", 0, value=0)
        if st.form_submit_button("Make the copy", icon=":material/healing:") and folder:
            _repair(dataset, report, folder, shares, seed)


def _repair(dataset: "Dataset", report: HealthReport, folder: str, shares: str, seed: int) -> None:
    with importing.LOCK:
        from fracture_core.health.command import said_of_copy
        from fracture_core.health.repair import Repair, repair_dataset

    if not isinstance(dataset, RecordedDataset):
        raise TypeError(f"dataset: expected records, got {type(dataset).__name__}")
    bar = st.progress(0.0, "Writing the copy; leave the page and it stops, send it again to go on.")
    told: list[str] = []

    def show(done: int, total: int) -> None:
        bar.progress(done / max(1, total))

    try:
        made = repair_dataset(
            dataset,
            report,
            Repair.of(inside_roots(folder), shares, seed),
            tell=told.append,
            progress=show,
        )
    except WorkbenchError as error:
        st.error(literal(str(error)), icon=":material/error:")
        return
    finally:
        bar.empty()
    st.success(literal(said_of_copy(made)), icon=":material/check_circle:")
    for sentence in told[-1:]:
        st.caption(literal(sentence))
    for each in made.left_out[:5]:
        st.warning(literal(each.reason))
