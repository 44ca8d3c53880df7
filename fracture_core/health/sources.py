"""What names and groups tell: pictures of one original, patient or study in two splits."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath

from fracture_core.datasets import doubts
from fracture_core.datasets.layout import group_of
from fracture_core.datasets.records import Record, RecordedDataset
from fracture_core.health.report import Fault, Place, Severity
from fracture_core.health.subject import Subject

_AUGMENTED = re.compile(r"[-_. ]aug(?:mented)?[-_]?\d*$", re.IGNORECASE)


def stem_of(sample_id: str) -> str:
    """The original a file name tells: "a/FOO" of "train/a/FOO.rf.0a1b.jpg" or "a/FOO-aug2.jpg"."""
    return _AUGMENTED.sub("", group_of(sample_id))


def stems_of(dataset: RecordedDataset) -> Mapping[str, Sequence[str]]:
    """Sample ids by stem; none where pictures are rows of a file and have no names of their own."""
    stems: dict[str, list[str]] = {}
    if not dataset.stacked:
        for sample_id in dataset.records:
            stems.setdefault(stem_of(sample_id), []).append(sample_id)
    return stems


def groups_of(dataset: RecordedDataset) -> Mapping[str, Sequence[str]]:
    """Sample ids by the patient or study that the annotation names, where it names one."""
    groups: dict[str, list[str]] = {}
    for record in dataset.records.values():
        if _is_told(record, dataset):
            groups.setdefault(record.group_id, []).append(record.sample_id)
    return groups


def _is_told(record: Record, dataset: RecordedDataset) -> bool:
    return dataset.stacked or record.group_id != group_of(record.sample_id)


def check_sources(subject: Subject) -> Iterator[Fault]:
    """Stems, groups, and pictures that are listed in two splits."""
    if places := _shared(subject, groups_of(subject.dataset)):
        yield Fault(
            check="groups-across",
            severity=Severity.ERROR,
            title="Patients or studies in two splits",
            meaning="A model may know the patient: what is measured on one split was learnt on the "
            "other, and its figures are too good.",
            advice="Cut the splits anew by group.",
            places=places,
        )
    if places := _shared(subject, stems_of(subject.dataset)):
        yield Fault(
            check="stems-across",
            severity=Severity.ERROR,
            title="File names of one source in two splits",
            meaning="Their names say that they come of one original, cut or augmented before the "
            "split; what is measured on one split was learnt on the other.",
            advice="Cut the splits anew by group; where names are mere numbers, compare by eye.",
            places=places,
        )
    if found := subject.doubts(doubts.IN_TWO_SPLITS, doubts.IN_TWO_FILES):
        yield Fault(
            check="listed-twice",
            severity=Severity.ERROR,
            title="Images listed twice",
            meaning="One file is named by two splits or annotation files; here it counts for the "
            "first, but other tools train and measure on the same image.",
            advice="Take it out of one of them.",
            places=subject.places(found),
        )


def _shared(subject: Subject, sets: Mapping[str, Sequence[str]]) -> tuple[Place, ...]:
    """One place a picture of a smaller split, with one of the split that has most of its set."""
    places = []
    for name, ids in sets.items():
        by_split: dict[str, list[str]] = {}
        for sample_id in ids:
            by_split.setdefault(subject.split_of(sample_id), []).append(sample_id)
        home = "train" if "train" in by_split else max(by_split, key=lambda key: len(by_split[key]))
        partner = by_split.pop(home)[0]
        for others in by_split.values():
            places += [subject.place(each, PurePosixPath(name).name, partner) for each in others]
    return tuple(places)
