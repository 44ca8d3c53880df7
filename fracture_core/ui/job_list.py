"""The queue as a table, and what a run has come to."""

import time
from collections.abc import Sequence

import streamlit as st

from fracture_core.jobs import Job, State
from fracture_core.runs import RunFolder
from fracture_core.ui.curve_chart import Curve, Panel

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
_HIGHER = ("ap50", "mask_ap50", "f1", "any_hit_f1", "balanced_accuracy", "weighted_f1")
Line = dict[str, object]


def show_jobs(jobs: Sequence[Job]) -> None:
    """A page of the table; a thousand finished runs must not make it slow."""
    pages = -(-len(jobs) // _A_PAGE)
    page = 1
    if pages > 1:
        page = int(st.number_input(f"Page of {pages:,}", 1, pages, 1, key="jobs-page", width=140))
    rows = [_row(job) for job in jobs[(page - 1) * _A_PAGE : page * _A_PAGE]]
    progress = st.column_config.ProgressColumn(
        "Epochs", min_value=0.0, max_value=1.0, format="percent"
    )
    st.dataframe(rows, hide_index=True, width="stretch", column_config={"Epochs": progress})


def _row(job: Job) -> Line:
    epoch = last_line(job.run, "epoch") if not job.settled else {}
    done = 1.0 if job.state is State.SUCCEEDED else _share_done(job.run)
    return {
        "Run": job.name,
        "State": str(job.state),
        "Epochs": done,
        "Time left": time_left(job.run) if job.state is State.RUNNING else "",
        "Loss": epoch.get("val_loss"),
        "Submitted": time.strftime("%Y-%m-%d %H:%M", time.localtime(job.submitted)),
        "Word": job.detail,
    }


def _share_done(run: RunFolder) -> float:
    line = last_line(run, "epoch")
    return number(line, "epoch") / max(1.0, number(line, "of")) if line else 0.0


def last_line(run: RunFolder, kind: str) -> Line:
    """The newest line of a kind in metrics.jsonl; empty where there is none."""
    return next((each for each in reversed(lines_of(run)) if each.get("kind") == kind), {})


def lines_of(run: RunFolder) -> list[Line]:
    """All lines, read again only when the file has changed."""
    try:
        stamp = run.metrics.stat().st_mtime_ns
    except OSError:
        return []
    return _lines(str(run.path), stamp)


@st.cache_data(max_entries=64, show_spinner=False)
def _lines(path: str, stamp: int) -> list[Line]:
    from pathlib import Path

    return RunFolder(path=Path(path)).read_metrics()


def time_left(run: RunFolder) -> str:
    """By the epochs of this phase so far."""
    epochs = [each for each in lines_of(run) if each.get("kind") == "epoch"]
    if not epochs:
        return "unknown"
    newest = epochs[-1]
    alike = [each for each in epochs if each.get("phase") == newest.get("phase")]
    seconds = [number(each, "seconds") + number(each, "validation_seconds") for each in alike]
    left = (number(newest, "of") - number(newest, "epoch")) * sum(seconds) / len(seconds)
    return (
        f"{left / 3600:.1f} h"
        if left > 5400
        else f"{left / 60:.0f} min"
        if left > 90
        else f"{left:.0f} s"
    )


def number(line: Line, name: str) -> float:
    """A figure of a line; 0 where it has none of that name."""
    value = line.get(name)
    return float(value) if isinstance(value, int | float) else 0.0


def panels_of(runs: Sequence[RunFolder]) -> list[Panel]:
    """The loss of each step and epoch, and the figures of validation, of several runs overlaid."""
    of_runs = [(number_, run.name, _epochs(run)) for number_, run in enumerate(runs)]
    loss = []
    for place, name, epochs in of_runs:
        loss += [
            _curve(f"{name}, training", place, epochs, "loss", "solid"),
            _curve(f"{name}, validation", place, epochs, "val_loss", "dot"),
        ]
    loss += [_steps(run, place) for place, run in enumerate(runs) if not _epochs(run)]
    panels = [Panel(title="loss", x="epoch", curves=[each for each in loss if each.x])]
    for figure in _HIGHER:
        curves = [
            _curve(f"{name}, validation", place, epochs, f"val_{figure}", "dot")
            for place, name, epochs in of_runs
        ]
        if curves := [each for each in curves if each.x]:
            panels.append(Panel(title=figure, x="epoch", curves=curves))
    return panels[:4]


def _epochs(run: RunFolder) -> list[Line]:
    return [each for each in lines_of(run) if each.get("kind") == "epoch"]


def _curve(name: str, place: int, epochs: Sequence[Line], figure: str, dash: str) -> Curve:
    """Epochs of a second phase are counted on."""
    points = [
        (count + 1, number(each, figure)) for count, each in enumerate(epochs) if figure in each
    ]
    return Curve(
        name=name,
        run=place,
        x=[x for x, _ in points],
        y=[y for _, y in points],
        dash="dot" if dash == "dot" else "solid",
    )


def _steps(run: RunFolder, place: int) -> Curve:
    """Before the first epoch ends there are only steps."""
    steps = [each for each in lines_of(run) if each.get("kind") == "step" and "loss" in each]
    return Curve(
        name=f"{run.name}, training",
        run=place,
        x=[number(each, "step") / max(1.0, number(each, "steps")) for each in steps],
        y=[number(each, "loss") for each in steps],
    )
