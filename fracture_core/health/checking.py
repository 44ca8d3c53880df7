"""The health check: every check on one data set, in one report.

This file also holds the checks of names and groups: images of one original, patient or study in two
splits, and images listed twice.
"""

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath

from fracture_core.datasets import Dataset, issues
from fracture_core.datasets.layout import group_of
from fracture_core.datasets.records import Record, RecordedDataset
from fracture_core.health.checks import (
    check_blank,
    check_boxes,
    check_classes,
    check_ground_truths,
    check_other_format,
    check_reading,
    check_small_objects,
    check_unreadable,
)
from fracture_core.health.near_duplicates import check_duplicates, find_alike, find_equal
from fracture_core.health.report import (
    CheckContext,
    Fault,
    HealthReport,
    Limits,
    Place,
    Progress,
    Severity,
    look_through,
    worst_first,
)

# ---- names and groups ----------------------------------------------------------------------------


_AUGMENTED = re.compile(r"[-_. ]aug(?:mented)?[-_]?\d*$", re.IGNORECASE)


def stem_of(sample_id: str) -> str:
    """Returns the original that a file name tells, without split folders and marks of augmentation.

    Example:
        >>> stem_of("train/a/FOO.rf.0a1b.jpg"), stem_of("a/FOO-aug2.jpg")
        ('a/FOO', 'a/FOO')
    """
    return _AUGMENTED.sub("", group_of(sample_id))


def stems_of(dataset: RecordedDataset) -> Mapping[str, Sequence[str]]:
    """Returns sample ids by stem; none for rows of a file, which have no names of their own."""
    stems: dict[str, list[str]] = {}
    if not dataset.stacked:
        for sample_id in dataset.records:
            stems.setdefault(stem_of(sample_id), []).append(sample_id)
    return stems


def groups_of(dataset: RecordedDataset) -> Mapping[str, Sequence[str]]:
    """Returns sample ids by the patient or study that the annotation names, where it names one."""
    groups: dict[str, list[str]] = {}
    for record in dataset.records.values():
        if _is_told(record, dataset):
            groups.setdefault(record.group_id, []).append(record.sample_id)
    return groups


def _is_told(record: Record, dataset: RecordedDataset) -> bool:
    return dataset.stacked or record.group_id != group_of(record.sample_id)


def check_sources(context: CheckContext) -> Iterator[Fault]:
    """Yields errors for patients, studies or originals in two splits and images listed twice."""
    if places := _shared(context, groups_of(context.dataset)):
        yield Fault(
            check="groups-across",
            severity=Severity.ERROR,
            title="Patients or studies in two splits",
            meaning="A model may know the patient: what is measured on one split was learnt on the "
            "other, and its metrics are too good.",
            advice="Cut the splits anew by group.",
            places=places,
        )
    if places := _shared(context, stems_of(context.dataset)):
        yield Fault(
            check="stems-across",
            severity=Severity.ERROR,
            title="File names of one source in two splits",
            meaning="Their names say that they come of one original, cut or augmented before the "
            "split; what is measured on one split was learnt on the other.",
            advice="Cut the splits anew by group; where names are mere numbers, compare by eye.",
            places=places,
        )
    if found := context.issues(issues.IN_TWO_SPLITS, issues.IN_TWO_FILES):
        yield Fault(
            check="listed-twice",
            severity=Severity.ERROR,
            title="Images listed twice",
            meaning="One file is named by two splits or annotation files; here it counts for the "
            "first, but other tools train and measure on the same image.",
            advice="Take it out of one of them.",
            places=context.places(found),
        )


def _shared(context: CheckContext, sets: Mapping[str, Sequence[str]]) -> tuple[Place, ...]:
    """Returns a place for each image outside its set's home split, paired with one inside it.

    The home split is train where the set has images in it, else the split with most of them.
    """
    places = []
    for name, ids in sets.items():
        by_split: dict[str, list[str]] = {}
        for sample_id in ids:
            by_split.setdefault(context.split_of(sample_id), []).append(sample_id)
        home = "train" if "train" in by_split else max(by_split, key=lambda key: len(by_split[key]))
        partner = by_split.pop(home)[0]
        for others in by_split.values():
            places += [context.place(each, PurePosixPath(name).name, partner) for each in others]
    return tuple(places)


# ---- the whole check -----------------------------------------------------------------------------


_READING_SHARE = 0.6


def check_health(
    dataset: Dataset,
    limits: Limits | None = None,
    *,
    progress: Progress = lambda share, words: None,
) -> HealthReport:
    """Returns a report on every image, label and name of a data set; nothing is changed.

    `progress` gets the share done and what is being done; an exception that it raises ends the
    check. Raises TypeError for a data set that holds no records.
    """
    if not isinstance(dataset, RecordedDataset):
        raise TypeError(f"dataset: expected records, got {type(dataset).__name__}")
    started = time.monotonic()
    thumbnails = look_through(dataset, lambda share, words: progress(_READING_SHARE * share, words))
    context = CheckContext(dataset=dataset, thumbnails=thumbnails, limits=limits or Limits())
    faults = [*_checks(context), *_copies(context, progress)]
    progress(1.0, "Done")
    return HealthReport(
        name=dataset.name,
        path=str(dataset.path),
        format=dataset.format,
        images=len(dataset),
        splits={split: len(ids) for split, ids in dataset.splits.items()},
        input_size=context.limits.input_size,
        faults=worst_first(faults),
        seconds=time.monotonic() - started,
    )


def _checks(context: CheckContext) -> Iterator[Fault]:
    yield from check_unreadable(context)
    yield from check_blank(context)
    yield from check_boxes(context)
    yield from check_ground_truths(context)
    yield from check_other_format(context)
    yield from check_sources(context)
    yield from check_classes(context)
    yield from check_small_objects(context)
    yield from check_reading(context)


def _copies(context: CheckContext, progress: Progress) -> Iterator[Fault]:
    records, seen = context.dataset.records, context.thumbnails.seen
    # Slices of one study look alike because they are neighbours; they are not copies.
    is_stack = context.dataset.stacked
    left = 1 - _READING_SHARE
    alike = find_alike(
        seen,
        {each: records[each].split for each in seen},
        {each: records[each].group_id for each in seen} if is_stack else None,
        progress=lambda share: progress(
            _READING_SHARE + left * share, "Comparing images with each other"
        ),
    )
    yield from check_duplicates(context, find_equal(seen), alike)
