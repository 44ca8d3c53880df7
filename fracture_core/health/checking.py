"""The health check: every check on one data set, in one report."""

import time
from collections.abc import Iterator

from fracture_core.datasets import Dataset
from fracture_core.datasets.records import RecordedDataset
from fracture_core.health.box_flaws import check_boxes
from fracture_core.health.classes import check_classes
from fracture_core.health.duplicates import check_duplicates
from fracture_core.health.looking import Progress, look_through
from fracture_core.health.other_format import check_other_format
from fracture_core.health.reading import check_reading
from fracture_core.health.report import Fault, HealthReport, worst_first
from fracture_core.health.small_objects import check_small_objects
from fracture_core.health.sources import check_sources
from fracture_core.health.subject import Limits, Subject
from fracture_core.health.truths import check_truths
from fracture_core.health.twins import find_alike, find_equal
from fracture_core.health.unreadable import check_unreadable

_READING_SHARE = 0.6


def check_health(
    dataset: Dataset,
    limits: Limits | None = None,
    *,
    progress: Progress = lambda share, words: None,
) -> HealthReport:
    """Look at every picture, label and name of a data set; nothing is changed.

    `progress` gets the share done and what is being done; what it raises ends the check.
    """
    if not isinstance(dataset, RecordedDataset):
        raise TypeError(f"dataset: expected records, got {type(dataset).__name__}")
    started = time.monotonic()
    looks = look_through(dataset, lambda share, words: progress(_READING_SHARE * share, words))
    subject = Subject(dataset=dataset, looks=looks, limits=limits or Limits())
    faults = [*_checks(subject), *_copies(subject, progress)]
    progress(1.0, "Done")
    return HealthReport(
        name=dataset.name,
        path=str(dataset.path),
        format=dataset.format,
        pictures=len(dataset),
        splits={split: len(ids) for split, ids in dataset.splits.items()},
        input_size=subject.limits.input_size,
        faults=worst_first(faults),
        seconds=time.monotonic() - started,
    )


def _checks(subject: Subject) -> Iterator[Fault]:
    yield from check_unreadable(subject)
    yield from check_boxes(subject)
    yield from check_truths(subject)
    yield from check_other_format(subject)
    yield from check_sources(subject)
    yield from check_classes(subject)
    yield from check_small_objects(subject)
    yield from check_reading(subject)


def _copies(subject: Subject, progress: Progress) -> Iterator[Fault]:
    records, seen = subject.dataset.records, subject.looks.seen
    # Slices of one study are neighbours, not copies.
    is_stack = subject.dataset.stacked
    left = 1 - _READING_SHARE
    alike = find_alike(
        seen,
        {each: records[each].split for each in seen},
        {each: records[each].group_id for each in seen} if is_stack else None,
        progress=lambda share: progress(
            _READING_SHARE + left * share, "Comparing images with each other"
        ),
    )
    yield from check_duplicates(subject, find_equal(seen), alike)
