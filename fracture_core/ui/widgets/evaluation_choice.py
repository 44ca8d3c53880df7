"""Which evaluation a page is about, a finished one or one that still runs, and above it whether its
model was made for the images that it was measured on.
"""

from datetime import datetime
from pathlib import Path

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from fracture_core import jobs
from fracture_core.errors import WorkbenchError
from fracture_core.evaluations import (
    About,
    Evaluation,
    Listed,
    delete_evaluation,
    list_evaluations,
    load_evaluation,
)
from fracture_core.evaluations.attributes import banner_of
from fracture_core.evaluations.matched_models import EvaluateConfig
from fracture_core.jobs import Job, State
from fracture_core.runs import RunFolder
from fracture_core.ui.evaluate.evaluation_form import new_evaluation_form
from fracture_core.ui.session import AWAITED, Slot
from fracture_core.ui.train.job_view import ICONS
from fracture_core.ui.widgets.text import literal


def show_banner(about: About, who: str = "") -> None:
    """A sentence where it was not, or nothing tells; `who` stands before it."""
    if words := banner_of(about.scope):
        st.warning(literal(f"{who}{words}"), icon=":material/warning:")


REFRESH_SECONDS = 1.5
_KEPT: Slot[str] = Slot("evaluation_kept", "")
"""Why an evaluation could not be deleted."""


def choose_evaluation(messages: DeltaGenerator, key: str = "evaluation") -> Listed | None:
    """Let the reader choose a finished one, the newest first, or start another; None = there is
    none yet. The choice is bound to the address; what is wrong with it is said in `messages`.
    """
    listed = {each.name: each for each in list_evaluations()}
    done = {name: each for name, each in listed.items() if each.complete}
    _take_finished(key, done)
    # Streamlit's own binding would put the whole title into the address.
    if key not in st.session_state and key in st.query_params:
        st.session_state[key] = st.query_params[key]
    _explain_missing(messages, key, listed, done)
    # Each part keeps its place, whatever the others hold: a form at another place is a new one, and
    # what was being filled in would fold up.
    choice, progress, form = st.container(), st.container(), st.container()
    chosen = None
    if done:
        with choice:
            chosen = _choose_finished(key, done)
    under_way = [each for each in listed.values() if not each.complete]
    moving = any(_is_moving(each) for each in under_way)
    with progress:
        st.fragment(_show_under_way, run_every=REFRESH_SECONDS if moving else None)(moving)
    with form, st.expander("New evaluation", icon=":material/add:", expanded=not listed):
        new_evaluation_form(messages)
    return done[chosen] if chosen else None


def _choose_finished(key: str, done: dict[str, Listed]) -> str:
    chosen = st.selectbox(
        f"Evaluation ({len(done):,})",
        list(done),
        format_func=lambda name: title_of(done[name]),
        key=key,
        persist_state="session",
        help="A model's answers to a split of a data set, the newest first.",
    )
    if st.query_params.get(key) != chosen:
        st.query_params[key] = chosen
    _offer_delete(done[chosen], key)
    return chosen


def title_of(listed: Listed) -> str:
    """Model · data set · split · images, and when."""
    about = listed.about
    if about is None:
        return listed.name
    when = datetime.fromisoformat(about.created_utc).astimezone().strftime("%Y-%m-%d %H:%M")
    counted = " · one class" if about.one_class else ""
    images = f"{listed.images:,} images"
    return f"{about.title} · {about.data_name} · {about.split} · {images}{counted} · {when}"


def opened_evaluation(listed: Listed) -> Evaluation:
    """Read once a process, and anew when it has changed; raises ConfigError."""
    return _opened(str(listed.folder), stamp_of(listed))


def stamp_of(listed: Listed) -> int:
    """Tells one state of a complete evaluation from another."""
    run = RunFolder(path=listed.folder)
    return run.evaluation.stat().st_mtime_ns if run.evaluation.is_file() else 0


@st.cache_resource(max_entries=3, show_spinner="Reading the evaluation…")
def _opened(folder: str, stamp: int) -> Evaluation:
    # The stamp is part of the key: an evaluation made anew is read anew.
    return load_evaluation(Path(folder))


def _take_finished(key: str, done: dict[str, Listed]) -> None:
    """What the reader has started is shown as soon as it is there."""
    if AWAITED.get() in done:
        st.session_state[key] = AWAITED.take()


def _explain_missing(
    messages: DeltaGenerator, key: str, listed: dict[str, Listed], done: dict[str, Listed]
) -> None:
    """An address, or a session, may name one that is gone or half-written."""
    named = st.session_state.get(key)
    if not named or named in done:
        return
    if named in listed:
        messages.warning(literal(listed[named].problem), icon=":material/hourglass_empty:")
    else:
        messages.warning(
            f"There is no evaluation called {literal(named)}.", icon=":material/link_off:"
        )
    st.session_state.pop(key, None)
    if key in st.query_params:
        del st.query_params[key]


def _offer_delete(listed: Listed, key: str) -> None:
    if error := _KEPT.take():
        st.error(literal(error), icon=":material/error:")
    with st.popover("Delete", icon=":material/delete:"):
        st.write(f"Delete **{literal(title_of(listed))}**? Its answers cannot be had back.")
        st.button(
            "Delete for good",
            icon=":material/delete:",
            key=f"delete-evaluation-{listed.name}",
            on_click=_delete,
            args=(listed, key),
        )


def _delete(listed: Listed, key: str) -> None:
    try:
        if _job(listed) is None:
            delete_evaluation(listed.folder)
        else:
            jobs.delete(listed.folder)
    except WorkbenchError as error:
        _KEPT.set(str(error))
        return
    # Nobody misses what was deleted here.
    st.session_state.pop(key, None)
    st.query_params.pop(key, None)


# ---- under way ----------------------------------------------------------------------------------


def say_there_is_none() -> None:
    """In the place of a page without an evaluation: what to do, or what is under way."""
    moving = any(_is_moving(each) for each in list_evaluations() if not each.complete)
    st.fragment(_say_there_is_none, run_every=REFRESH_SECONDS if moving else None)()


def _say_there_is_none() -> None:
    under_way = [each for each in list_evaluations() if not each.complete]
    if not under_way:
        st.info(
            "Nothing has been evaluated yet: choose a model and a data set at the left.",
            icon=":material/monitoring:",
        )
    for each in under_way:
        st.info(literal(_state_sentence(each)), icon=":material/hourglass_empty:")


def _state_sentence(listed: Listed) -> str:
    """Such as "yolo-detect · demo · val waits in the queue, behind the training run1."."""
    job, name = _job(listed), _words(listed)
    if job is None:
        return f"{name} has begun and is not complete. {listed.problem}"
    if job.state is State.QUEUED:
        behind = _behind(job)
        return f"{name} waits in the queue{f', {behind}' if behind else ''}."
    if job.state is State.RUNNING:
        done, of = _progress(job.run)
        return f"{name} is being evaluated{f': {done:,} of {of:,} images' if of else ''}."
    return f"{name} is {job.state}. What can be done with it is at the left."


def _job(listed: Listed) -> Job | None:
    """Where it was submitted: jobs are listed together."""
    try:
        return jobs.find_job(listed.folder)
    except WorkbenchError:
        return None


def _is_moving(listed: Listed) -> bool:
    job = _job(listed)
    return job is not None and not job.settled


def _show_under_way(polls: bool) -> None:
    """What is not complete, with its progress; runs again by itself only while something moves."""
    try:
        jobs.tend()
    except WorkbenchError as error:
        st.error(literal(str(error)), icon=":material/error:")
    listed = list_evaluations()
    if AWAITED.get() in {each.name for each in listed if each.complete}:
        st.rerun()
    under_way = [each for each in listed if not each.complete]
    if any(_is_moving(each) for each in under_way) != polls:
        st.rerun()
    for each in under_way:
        _show_one(each)


def _show_one(listed: Listed) -> None:
    job = _job(listed)
    with st.container(border=True, key=f"under-way-{listed.name}"):
        st.markdown(f"**{literal(_words(listed))}**")
        if job is None:
            st.caption(literal(listed.problem))
            return
        done, of = _progress(job.run)
        if job.state in (State.RUNNING, State.STOPPING) and of:
            st.progress(done / of, f"{done:,} of {of:,} images")
        detail = "".join(f" · {literal(words)}" for words in (job.detail, _behind(job)) if words)
        st.caption(f"{ICONS[job.state]} {job.state}{detail}")
        if job.state is State.FAILED:
            st.caption(literal(_last_line(job)))
        _offer(job)


def _behind(job: Job) -> str:
    """What a waiting job waits for, or ""."""
    ahead = jobs.ahead_of(job)
    if not ahead:
        return ""
    more = f" and {len(ahead) - 1:,} more" if len(ahead) > 1 else ""
    return f"behind the {ahead[0].kind} {ahead[0].name}{more}"


def _offer(job: Job) -> None:
    with st.container(horizontal=True):
        if not job.state.is_over and job.state is not State.STOPPING:
            _button("Stop", "stop", job)
        if job.state.can_resume:
            _button("Resume", "play_arrow", job)
            _button("Delete", "delete", job)


def _button(label: str, icon: str, job: Job) -> None:
    st.button(
        label,
        icon=f":material/{icon}:",
        key=f"{label.lower()}-{job.name}",
        on_click=_act,
        args=(label, job.run.path),
    )


def _act(label: str, path: Path) -> None:
    verbs = {"Stop": jobs.stop, "Resume": jobs.resume, "Delete": jobs.delete}
    try:
        verbs[label](path)
    except WorkbenchError as error:
        st.toast(literal(str(error)), icon=":material/error:")


def _words(listed: Listed) -> str:
    config: EvaluateConfig | None = listed.config
    if config is None:
        return listed.name
    return f"{config.model} · {Path(config.data).name} · {config.split}"


def _progress(run: RunFolder) -> tuple[int, int]:
    """Images done and asked for; (0, 0) before the first word."""
    lines = [each for each in run.read_metrics() if each.get("kind") == "progress"]
    if not lines:
        return 0, 0
    done, of = (int(str(lines[-1].get(name, 0))) for name in ("done", "of"))
    return min(done, of), of


def _last_line(job: Job) -> str:
    try:
        return (jobs.logs(job.run.path).strip().split("\n") or [""])[-1]
    except WorkbenchError as error:
        return str(error)
