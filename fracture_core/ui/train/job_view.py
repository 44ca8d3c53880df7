"""Jobs on their page: the queue as a table, and of one run its state, what its best checkpoint
finds in validation images, its log, and what can be done with it.
"""

import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import streamlit as st

from fracture_core import importing, jobs
from fracture_core.errors import WorkbenchError
from fracture_core.evaluations.folders import evaluations_of, read_earlier, sentence_of_earlier
from fracture_core.jobs import Job, State, read_progress
from fracture_core.matching import match
from fracture_core.runs import RunFolder
from fracture_core.types import Detections, Sample
from fracture_core.ui.session import Slot
from fracture_core.ui.widgets.ground_truth_images import drawn
from fracture_core.ui.widgets.text import literal

ICONS = {
    State.QUEUED: ":material/schedule:",
    State.RUNNING: ":material/play_circle:",
    State.STOPPING: ":material/pending:",
    State.STOPPED: ":material/pause_circle:",
    State.FAILED: ":material/error:",
    State.LOST: ":material/help:",
    State.SUCCEEDED: ":material/check_circle:",
}
_A_PAGE = 20


def show_jobs(jobs: Sequence[Job]) -> None:
    """A page of the table; a thousand finished runs must not make it slow."""
    pages = -(-len(jobs) // _A_PAGE)
    page = 1
    if pages > 1:
        page = int(st.number_input(f"Page of {pages:,}", 1, pages, 1, key="jobs-page", width=140))
    rows = [_row(job) for job in jobs[(page - 1) * _A_PAGE : page * _A_PAGE]]
    done = st.column_config.ProgressColumn("Done", min_value=0.0, max_value=1.0, format="percent")
    st.dataframe(rows, hide_index=True, width="stretch", column_config={"Done": done})


def _row(job: Job) -> dict[str, object]:
    progress = read_progress(job.run)
    left = progress.seconds_left if progress and job.state is State.RUNNING else None
    share = progress.share if progress else 0.0
    return {
        "Run": job.name,
        "Kind": job.kind.capitalize(),
        "State": str(job.state),
        "Done": 1.0 if job.state is State.SUCCEEDED else share,
        "Time left": "" if left is None else duration(left),
        "Submitted": time.strftime("%Y-%m-%d %H:%M", time.localtime(job.submitted)),
        "Word": job.detail,
    }


def duration(seconds: float) -> str:
    """A time as people say it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


_COUNT, _ACROSS, _SIDE_PX = 8, 4, 360


def show_checkpoint(run: RunFolder) -> None:
    """Asked for by a button: a network is built for it."""
    confidence = st.slider("Confidence", 0.05, 0.95, 0.5, 0.05, key=f"shown-{run.name}")
    if st.button("Read validation images", icon=":material/radiology:", key=f"read-{run.name}"):
        st.session_state[f"read-at-{run.name}"] = _stamp(run)
    if st.session_state.get(f"read-at-{run.name}") is None:
        st.caption("The best checkpoint so far reads images that it was not trained on.")
        return
    try:
        samples, found = _read(str(run.path), st.session_state[f"read-at-{run.name}"])
    except WorkbenchError as error:
        st.error(literal(str(error)), icon=":material/error:")
        return
    columns = st.columns(_ACROSS)
    for place, (sample, shown) in enumerate(zip(samples, found, strict=True)):
        with columns[place % _ACROSS]:
            _show(sample, shown.above(confidence))
    st.caption("Blue: ground truth. Green: found and true. Orange: false positive.")


@st.cache_data(max_entries=8, show_spinner="The checkpoint is reading…")
def _read(path: str, stamp: int) -> tuple[tuple[Sample, ...], tuple[Detections, ...]]:
    """Samples in the classes of the model, and what it found, merged where that is needed."""
    with importing.LOCK:
        from trainers.family_configs import read_config
        from trainers.validation import best_so_far, validation_samples

    run = RunFolder(path=Path(path))
    model, samples = best_so_far(run), validation_samples(run, _COUNT)
    raw = [each.detections for each in model.predict(samples)]
    nms_iou = read_config(run.config).merged_at
    return samples, tuple(each.nms(nms_iou) if model.card.needs_nms else each for each in raw)


def _show(sample: Sample, shown: Detections) -> None:
    ground_truth = sample.ground_truth or Detections.empty()
    st.image(drawn(sample, ground_truth, _SIDE_PX, shown), width="stretch")
    hit = match(shown, ground_truth, class_aware=False)
    st.caption(
        f"{len(ground_truth) - len(hit.missed)} of {len(ground_truth)} found, "
        f"{literal(sample.sample_id)}"
    )


def _stamp(run: RunFolder) -> int:
    best = run.checkpoints / "best.pt"
    return best.stat().st_mtime_ns if best.is_file() else 0


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
        if job.state is State.RUNNING and job.runner == "local":
            _button(
                "Pause",
                "pause",
                job,
                lambda: jobs.pause(job.run.path),
                "Stops after a checkpoint, lets waiting jobs go first, and goes on by itself.",
            )
        if job.state.can_resume:
            label = "Resume" if job.state is State.STOPPED else "Retry"
            _button(label, "play_arrow", job, lambda: jobs.resume(job.run.path))
        if job.state is State.QUEUED:
            _button("First", "vertical_align_top", job, lambda: jobs.move(job.run.path, "first"))
            _button("Up", "arrow_upward", job, lambda: jobs.move(job.run.path, "up"))
            _button("Down", "arrow_downward", job, lambda: jobs.move(job.run.path, "down"))
        if job.kind == "training" and _has_model(job):
            label = "Add to the library"
            label = label if job.state is State.SUCCEEDED else f"{label} as stopped"
            _button(label, "inventory_2", job, lambda: _promote(job))
        with st.popover("Delete", icon=":material/delete:"):
            kept = "checkpoints" if job.kind == "training" else "predictions"
            st.write(f"Delete **{literal(job.name)}** with its {kept}? This cannot be undone.")
            _button("Delete for good", "delete", job, lambda: jobs.delete(job.run.path))


def _button(
    label: str, icon: str, job: Job, act: Callable[[], object], tip: str | None = None
) -> None:
    """By a callback: what is pressed while the page refreshes itself is done all the same."""
    st.button(
        label,
        icon=f":material/{icon}:",
        help=tip,
        key=f"{label}-{job.name}".replace(" ", "-"),
        on_click=_do,
        args=(act,),
    )


def _do(act: Callable[[], object]) -> None:
    try:
        act()
    except WorkbenchError as error:
        _ERROR.set(str(error))


def _has_model(job: Job) -> bool:
    """Whether it has ended and left a model, or the best checkpoint of a training that stopped."""
    if job.state is State.SUCCEEDED:
        return True
    return job.state.can_resume and (job.run.checkpoints / "best.pt").is_file()


def _promote(job: Job) -> None:
    with importing.LOCK:
        from trainers.unfinished import add_run

    card = add_run(job.run.path)
    _NOTE.set(f"{card.title} is in the library as {card.model_id}.")


def show_result(job: Job) -> None:
    """Where the metrics of a job that succeeded are, and those of a training of before."""
    if job.state is not State.SUCCEEDED:
        return
    if job.kind == "evaluation":
        _link_metrics("Show its metrics", job.name)
        return
    made = evaluations_of(job.run)
    with st.container(horizontal=True):
        for each in made:
            split = each.about.split if each.about else each.name
            _link_metrics(f"Show its metrics on {literal(split)}", each.name)
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


def show_best_images(run: RunFolder) -> None:
    """The grid of the epoch that the reader chooses, of the last one at first; nothing without."""
    kept = run.best_images()
    if not kept:
        return
    epochs = {_epoch_of(path): path for path in kept}
    chosen = max(epochs)
    if len(epochs) > 1:
        chosen = st.select_slider(
            "Best epoch", list(epochs), value=chosen, key=f"best-images-{run.name}"
        )
    st.image(str(epochs[chosen]))
    st.caption(
        "Validation images at an epoch that was the best: their labels, and beside them what was "
        "predicted."
    )


def _epoch_of(path: Path) -> int:
    told = re.search(r"(\d+)\.png$", path.name)
    return int(told[1]) if told else 0
