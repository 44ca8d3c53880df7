"""Trainings and evaluations in the background: queued, run, stopped and resumed outside the app."""

from fracture_core.jobs.job import Attempt, Job, State
from fracture_core.jobs.progress import ImageProgress, Progress, read_progress
from fracture_core.jobs.reading import ahead_of, list_jobs, read_job
from fracture_core.jobs.verbs import (
    delete,
    find_job,
    logs,
    move,
    pause,
    resume,
    stop,
    submit,
    tend,
    wait_for_end,
)

__all__ = [
    "Attempt",
    "ImageProgress",
    "Job",
    "Progress",
    "State",
    "ahead_of",
    "delete",
    "find_job",
    "list_jobs",
    "logs",
    "move",
    "pause",
    "read_job",
    "read_progress",
    "resume",
    "stop",
    "submit",
    "tend",
    "wait_for_end",
]
