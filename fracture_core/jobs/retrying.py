"""Starting a job again after a crash."""

import time

from fracture_core.jobs.job import Job, State
from fracture_core.jobs.records import Attempt, Record, read_record

BAD_INPUT = 2
"""The exit code for what only a person can put right."""


def is_crash(job: Job) -> bool:
    """Whether it may go better the next time: lost, killed by a signal, or a bug."""
    if job.state is State.FAILED:
        return job.exit_code not in (None, 0, BAD_INPUT)
    return job.state is State.LOST


def may_retry(job: Job) -> bool:
    """Whether it crashed and has not been tried again too often."""
    return job.settled and is_crash(job) and job.retries < job.max_retries


def retried(job: Job) -> Record | None:
    """The record to start a crashed job with again; None = it may not, or needs it not."""
    if not may_retry(job):
        return None
    again = requeued(read_record(job.run.job), job)
    return again.model_copy(update={"retries": job.retries + 1})


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
