"""Trainings and evaluations in the background: the queue, and one run after another."""

import streamlit as st

from fracture_core import jobs
from fracture_core.errors import WorkbenchError
from fracture_core.ui.train.job_view import (
    offer_actions,
    show_best_images,
    show_checkpoint,
    show_jobs,
    show_log,
    show_result,
    show_state,
)
from fracture_core.ui.train.run_curves import show_curves
from fracture_core.ui.widgets.text import literal

REFRESH_SECONDS = 2.0


def look() -> list[jobs.Job]:
    """Every job as it stands; what is due is done on the way."""
    try:
        jobs.tend()
    except WorkbenchError as error:
        st.error(literal(str(error)), icon=":material/error:")
    return jobs.list_jobs()


def is_moving(found: list[jobs.Job]) -> bool:
    """Whether anything may still change by itself."""
    return any(not job.settled for job in found)


def show(polls: bool, seen: list[list[jobs.Job]]) -> None:
    """The table, and the chosen run; runs again by itself only while something goes on.

    `seen` holds what the page has just looked at, for the first time only.
    """
    found = seen.pop() if seen else look()
    if is_moving(found) != polls:
        st.rerun()
    show_jobs(found)
    by_name = {job.name: job for job in found}
    name = st.selectbox("Run", list(by_name), key="run", bind="query-params")
    job = by_name[name]
    if job.kind == "evaluation":
        show_state(job)
        offer_actions(job)
        show_result(job)
        show_log(job)
        return
    others = [each.name for each in found if each.kind == "training" and each.name != name]
    compared = st.multiselect("Curves of", others, key="overlaid", placeholder="other runs as well")
    show_state(job)
    offer_actions(job)
    show_result(job)
    runs = [by_name[each].run for each in (name, *compared)]
    curves, log, images = st.tabs(["Curves", "Log", "Images"])
    with curves:
        show_curves(runs)
    with log:
        show_log(job)
    with images:
        show_best_images(job.run)
        show_checkpoint(job.run)


st.header("Jobs", anchor=False)
found = look()
if not found:
    st.info("Nothing has been trained or evaluated yet.", icon=":material/model_training:")
    st.page_link("pages/train/launch.py", label="Train a model", icon=":material/play_arrow:")
    st.stop()
polls = is_moving(found)
st.fragment(show, run_every=REFRESH_SECONDS if polls else None)(polls, [found])
