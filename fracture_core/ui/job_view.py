"""One run: what it says, what it has learnt, and what can be done with it."""

from collections.abc import Callable

import streamlit as st

from fracture_core import jobs
from fracture_core.errors import WorkbenchError
from fracture_core.evaluations.folders import evaluations_of, read_earlier, sentence_of_earlier
from fracture_core.jobs import Job, State
from fracture_core.models.library import add_folder
from fracture_core.ui.job_list import ICONS, duration
from fracture_core.ui.session import Slot
from fracture_core.ui.text import literal

_LOG_LINES = 40

_ERROR: Slot[str] = Slot("job_error", "")
_NOTE: Slot[str] = Slot("job_note", "")


def show_state(job: Job) -> None:
    """State, progress and time left in one line."""
    words = [f"{ICONS[job.state]} **{job.state}**"]
    if job.detail:
        words.append(literal(job.detail))
    progress = jobs.read_progress(job.run) if not job.state.is_over else None
    if progress is not None:
        words.append(progress.words)
        if progress.seconds_left is not None:
            words.append(f"time left {duration(progress.seconds_left)}")
    if job.retries:
        words.append(f"started again {job.retries} × after a crash")
    st.markdown(" · ".join(words))


def offer_actions(job: Job) -> None:
    """The verbs that this state allows, and what came of the last one."""
    if error := _ERROR.take():
        st.error(literal(error), icon=":material/error:")
    if note := _NOTE.take():
        st.toast(literal(note), icon=":material/inventory_2:")
    with st.container(horizontal=True):
        if not job.state.is_over and job.state is not State.STOPPING:
            _button("Stop", "stop", job, lambda: jobs.stop(job.run.path))
        if job.state.can_resume:
            label = "Resume" if job.state is State.STOPPED else "Retry"
            _button(label, "play_arrow", job, lambda: jobs.resume(job.run.path))
        if job.state is State.QUEUED:
            _button("First", "vertical_align_top", job, lambda: jobs.move(job.run.path, "first"))
            _button("Up", "arrow_upward", job, lambda: jobs.move(job.run.path, "up"))
            _button("Down", "arrow_downward", job, lambda: jobs.move(job.run.path, "down"))
        if job.state is State.SUCCEEDED and job.kind == "training":
            _button("Add to the library", "inventory_2", job, lambda: _promote(job))
        with st.popover("Delete", icon=":material/delete:"):
            kept = "checkpoints" if job.kind == "training" else "answers"
            st.write(f"Delete **{literal(job.name)}** with its {kept}? This cannot be undone.")
            _button("Delete for good", "delete", job, lambda: jobs.delete(job.run.path))


def _button(label: str, icon: str, job: Job, act: Callable[[], object]) -> None:
    """By a callback: what is pressed while the page refreshes itself is done all the same."""
    st.button(
        label,
        icon=f":material/{icon}:",
        key=f"{label}-{job.name}".replace(" ", "-"),
        on_click=_do,
        args=(act,),
    )


def _do(act: Callable[[], object]) -> None:
    try:
        act()
    except WorkbenchError as error:
        _ERROR.set(str(error))


def _promote(job: Job) -> None:
    card = add_folder(job.run.path)
    _NOTE.set(f"{card.title} is in the library as {card.model_id}.")


def show_result(job: Job) -> None:
    """Where the metrics of a job that succeeded are, and those of a training of before."""
    if job.state is not State.SUCCEEDED:
        return
    if job.kind == "evaluation":
        _link_metrics("Show its figures", job.name)
        return
    made = evaluations_of(job.run)
    with st.container(horizontal=True):
        for each in made:
            split = each.about.split if each.about else each.name
            _link_metrics(f"Show its figures on {literal(split)}", each.name)
    if made:
        return
    try:
        earlier = read_earlier(job.run)
    except WorkbenchError as error:
        st.error(literal(str(error)), icon=":material/error:")
        return
    if earlier is not None:
        st.caption(literal(sentence_of_earlier(earlier)))


def _link_metrics(label: str, name: str) -> None:
    st.page_link(
        "pages/evaluate/metrics.py",
        label=label,
        icon=":material/monitoring:",
        query_params={"evaluation": name},
    )


def show_log(job: Job) -> None:
    """The end of what it printed."""
    try:
        lines = jobs.logs(job.run.path).rstrip("\n").split("\n")
    except WorkbenchError as error:
        st.error(literal(str(error)), icon=":material/error:")
        return
    st.code("\n".join(lines[-_LOG_LINES:]) or "nothing yet", language=None, height=320)
