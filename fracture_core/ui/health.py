"""The health of a data set on its page: the check, its faults with their files, and the copy."""

from typing import TYPE_CHECKING

import streamlit as st

from fracture_core.datasets.issues import counted
from fracture_core.health import HealthReport, Limits, Severity
from fracture_core.ui.dataset_facts import stamp_of
from fracture_core.ui.health_faults import show_faults
from fracture_core.ui.health_repair import offer_repair
from fracture_core.ui.health_runs import HealthRun, health_run
from fracture_core.ui.text import literal

if TYPE_CHECKING:
    from fracture_core.datasets import Dataset

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
            f"{report.pictures:,} images: nothing found that would mislead a training or an "
            "evaluation.",
            icon=":material/check_circle:",
        )
        return
    kinds = " · ".join(counted(report.count(each), each.value) for each in Severity)
    pictures = counted(report.pictures, "image")
    st.markdown(f"**{kinds}** in {pictures}, checked in {report.seconds:.0f} s")


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
