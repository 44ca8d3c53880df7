"""Truth that is unknown, against pictures that were annotated and have nothing."""

from collections.abc import Iterator

from fracture_core.datasets import doubts
from fracture_core.datasets.base import SplitCounts
from fracture_core.health.report import Fault, Place, Severity
from fracture_core.health.subject import Subject

_UNREADABLE = (doubts.UNREADABLE_LABELS, doubts.UNREADABLE_OBJECTS)


def check_truths(subject: Subject) -> Iterator[Fault]:
    """Labels that are missing, unreadable or contradict themselves; splits that show nothing."""
    if found := subject.doubts(*_UNREADABLE):
        yield Fault(
            check="labels-unreadable",
            severity=Severity.ERROR,
            title="Labels that cannot be read",
            meaning="The ground truth of their images is unknown: they neither train nor count.",
            advice="Put the lines right that are named.",
            places=subject.places(found),
        )
    yield from _missing(subject)
    if found := subject.doubts(doubts.HEALTHY_WITH_BOX, doubts.FRACTURE_WITHOUT_BOX):
        yield Fault(
            check="labels-contradict",
            severity=Severity.WARNING,
            title="Labels that contradict their boxes",
            meaning="A slice is called healthy but has a box, or fractured without one; boxes are "
            "kept, and without one the ground truth is unknown.",
            advice="Look at the slices and decide.",
            places=subject.places(found),
        )
    yield from _bare_splits(subject)


def _missing(subject: Subject) -> Iterator[Fault]:
    spoken_of = {doubt.sample_id for doubt in subject.doubts(*_UNREADABLE, doubts.NO_BOX_LEFT)}
    contradicting = {doubt.sample_id for doubt in subject.doubts(doubts.FRACTURE_WITHOUT_BOX)}
    missing = [
        subject.place(record.sample_id)
        for record in subject.dataset.records.values()
        if record.findings is None and record.sample_id not in spoken_of | contradicting
    ]
    if missing:
        empty = sum(each.empty for each in subject.dataset.summary().values())
        yield Fault(
            check="labels-missing",
            severity=Severity.WARNING,
            title="Images without labels",
            meaning="Without a label the ground truth is unknown, not empty: such images neither "
            f"train nor count. Annotated, and nothing there: {empty:,} others.",
            advice="Annotate them; where nothing is there, write an empty label file.",
            places=tuple(missing),
        )


def _bare_splits(subject: Subject) -> Iterator[Fault]:
    bare = [
        Place(split=split, detail=_words(split, counts))
        for split, counts in subject.dataset.summary().items()
        if counts.with_findings == 0
    ]
    if bare:
        yield Fault(
            check="splits-bare",
            severity=Severity.ERROR,
            title="Splits without any finding",
            meaning="Sensitivity is undefined where nothing is to be found.",
            advice="Cut the splits anew by group, or look where their labels have gone.",
            places=tuple(bare),
        )


def _words(split: str, counts: SplitCounts) -> str:
    name = split or "no split"
    return f"{name}: {counts.pictures:,} images, {counts.unknown:,} of unknown ground truth"
