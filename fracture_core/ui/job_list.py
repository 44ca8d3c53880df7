"""The queue as a table."""

import time
from collections.abc import Sequence

import streamlit as st

from fracture_core.jobs import Job, State, read_progress

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
