"""The health of a data set on its page: the check, its faults by severity with their files and
pairs of images, and a copy whose splits leak nothing.

A check runs in a thread of its own, so that the page stays free meanwhile.
"""

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from fracture_core import importing
from fracture_core.datasets.issues import counted
from fracture_core.datasets.records import RecordedDataset
from fracture_core.errors import WorkbenchError
from fracture_core.health import Fault, HealthReport, Limits, Place, Severity, check_health
from fracture_core.ui.protection import inside_roots
from fracture_core.ui.train.dataset_facts import read_link, stamp_of
from fracture_core.ui.widgets.ground_truth_images import gt_image
from fracture_core.ui.widgets.text import literal

if TYPE_CHECKING:
    from fracture_core.datasets import Dataset


_A_PAGE = 10
_PAIRS_A_PAGE = 6
_ACROSS = 3
_SIDE_PX = 280
HEADINGS = {
    Severity.ERROR: "Errors: metrics or trainings would be wrong",
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
    images = len({place.sample_id for place in fault.places})
    found = counted(images, "image")
    return found if images == count else f"{found}, {counted(count, 'place')}"


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
        st.image(gt_image(dataset, key, sample_id, _SIDE_PX), width="stretch")
    except WorkbenchError as error:
        st.error(literal(str(error)), icon=":material/broken_image:")
    st.caption(f"{_link(dataset, path, sample_id, split)} · {literal(split or 'no split')}")


def _link(dataset: "Dataset", path: str, sample_id: str, split: str) -> str:
    """A link to Read, for what the data set lists; the name alone for what it left out."""
    name = literal(sample_id if dataset.stacked else sample_id.rpartition("/")[2])
    if sample_id not in dataset.ids:
        return name
    return f"[{name}]({read_link(dataset, path, split, sample_id)})"


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


class _Stopped(Exception):
    """The reader does not want it any more."""


@dataclass(slots=True)
class HealthRun:
    """One check: `share` done and `words` about it, then `report`, or `error` in a sentence."""

    path: Path
    limits: Limits
    share: float = 0.0
    words: str = "Opening the data set"
    report: HealthReport | None = None
    error: str = ""
    _thread: threading.Thread | None = None
    _stop: threading.Event = field(default_factory=threading.Event)

    @property
    def is_running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Begin, or begin anew; a second call while it runs does nothing."""
        if self.is_running:
            return
        self.share, self.words, self.report, self.error = 0.0, "Opening the data set", None, ""
        self._stop.clear()
        self._thread = threading.Thread(target=self._check, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End it at the next image; nothing is kept."""
        self._stop.set()

    def _check(self) -> None:
        with importing.LOCK:
            from fracture_core.datasets import open_dataset

        try:
            # Opened anew: a page holds a data set as it was before a file in a folder changed.
            self.report = check_health(open_dataset(self.path), self.limits, progress=self._note)
        except _Stopped:
            self.error = "The check was stopped."
        except WorkbenchError as error:
            self.error = str(error)
        except Exception as error:
            self.error = f"The check ended with an error of its own: {type(error).__name__}."
            raise

    def _note(self, share: float, words: str) -> None:
        if self._stop.is_set():
            raise _Stopped
        self.share, self.words = share, words


@st.cache_resource(max_entries=8, show_spinner=False)
def health_run(path: str, stamp: int, limits: Limits) -> HealthRun:
    """The check of a data set in this state and with these limits, made at first and then found."""
    # The stamp is part of the key: a data set changed on disk is checked anew.
    return HealthRun(path=Path(path).expanduser(), limits=limits)


_EVERY_SECONDS = 0.5
_SIZES_PX = (16, 8192)


def show_health(dataset: "Dataset", path: str) -> None:
    """Settings and a button, progress while it runs, then what was found."""
    run = health_run(path, stamp_of(path), _choose_limits())
    if run.is_running:
        _watch(run)
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        label = "Check health" if run.report is None else "Check again"
        if st.button(
            label, type="primary", icon=":material/health_and_safety:", key="check-health"
        ):
            run.start()
            st.rerun()
        if run.report is not None:
            _offer_downloads(run.report)
    if run.error:
        st.error(literal(run.error), icon=":material/error:")
    if run.report is None:
        st.caption(
            "Reads every image and label, compares all images with each other, and lists what "
            "would mislead a training or an evaluation. Nothing is changed."
        )
        return
    _say_outcome(run.report)
    show_faults(dataset, path, run.report)
    offer_repair(dataset, run.report)


def _choose_limits() -> Limits:
    size, side, count = st.columns(3)
    usual = Limits()
    return Limits(
        input_size=size.number_input(
            "Input size of a model, px", *_SIZES_PX, usual.input_size, key="health-input"
        ),
        least_px=side.number_input(
            "Least side of an object there, px", 0.0, 64.0, usual.least_px, 1.0, key="health-side"
        ),
        least_objects=count.number_input(
            "Least objects of a class", 0, 10_000, usual.least_objects, key="health-objects"
        ),
    )


@st.fragment(run_every=_EVERY_SECONDS)
def _watch(run: HealthRun) -> None:
    if not run.is_running:
        st.rerun()
    st.progress(min(1.0, run.share), f"{run.words}…")
    st.caption("You may leave the page; the check goes on.")
    st.button("Stop the check", icon=":material/stop:", on_click=run.stop)


def _say_outcome(report: HealthReport) -> None:
    if not report.faults:
        st.success(
            f"{report.images:,} images: nothing found that would mislead a training or an "
            "evaluation.",
            icon=":material/check_circle:",
        )
        return
    kinds = " · ".join(counted(report.count(each), each.value) for each in Severity)
    images = counted(report.images, "image")
    st.markdown(f"**{kinds}** in {images}, checked in {report.seconds:.0f} s")


def _offer_downloads(report: HealthReport) -> None:
    name = f"{report.name.replace('/', '-')}-health"
    st.download_button(
        "CSV",
        report.as_csv(),
        f"{name}.csv",
        "text/csv",
        icon=":material/download:",
        on_click="ignore",
    )
    st.download_button(
        "JSON",
        report.as_json(),
        f"{name}.json",
        "application/json",
        icon=":material/download:",
        on_click="ignore",
    )
