"""Starting a job again after a crash."""

import time

from fracture_core.jobs.job import Job, State
from fracture_core.jobs.reading import read_job
from fracture_core.jobs.records import Attempt, Record, read_record, write_record
from fracture_core.runs import RunFolder

BAD_INPUT = 2
"""The exit code for what only a person can put right."""


def is_crash(job: Job) -> bool:
    """Whether it may go better the next time: lost, killed by a signal, or a bug."""
    if job.state is State.FAILED:
        return job.exit_code not in (None, 0, BAD_INPUT)
    return job.state is State.LOST


def retry_if_due(run: RunFolder) -> bool:
    """Put a crashed job back to its place in the queue, as often as it may."""
    job = read_job(run)
    if job is None or not job.settled or not is_crash(job) or job.retries >= job.max_retries:
        return False
    record = read_record(run.job)
    again = requeued(record, job).model_copy(update={"retries": record.retries + 1})
    write_record(again, run.job)
    return True


def requeued(record: Record, job: Job) -> Record:
    """The record of a job that ended, as one that waits; how it ended is kept."""
    attempt = Attempt(
        started=job.started or job.submitted,
        ended=job.ended or time.time(),
        state=str(job.state),
        detail=job.detail,
    )
    return record.model_copy(
        update={"queued": True, "device": "", "attempts": (*record.attempts, attempt)}
    )
