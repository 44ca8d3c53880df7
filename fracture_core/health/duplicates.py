"""Pictures that are in the data set more than once, equal to the pixel or as an altered copy."""

from collections.abc import Iterator, Sequence

from fracture_core.health.report import Fault, Place, Severity
from fracture_core.health.subject import Subject
from fracture_core.health.twins import Twins

_LEAK = "What is measured on one split was learnt on the other: its figures are too good."
_RECUT = "Cut the splits anew by group, so that all copies of an image are in one."


def check_duplicates(
    subject: Subject, equal: Sequence[Twins], alike: Sequence[Twins]
) -> Iterator[Fault]:
    """Across splits an error; within one, equal pictures are a warning and altered ones a note."""
    across = [each for each in equal if _is_across(subject, each)]
    within = [each for each in equal if not _is_across(subject, each)]
    if across:
        yield _fault(
            subject,
            "duplicates-across",
            Severity.ERROR,
            "The same image in two splits",
            _LEAK,
            _RECUT,
            across,
        )
    if within:
        yield _fault(
            subject,
            "duplicates-within",
            Severity.WARNING,
            "The same image twice in a split",
            "It counts twice, and two labels of one image may contradict each other.",
            "Keep one of them.",
            within,
        )
    yield from _alike(subject, alike)


def _alike(subject: Subject, alike: Sequence[Twins]) -> Iterator[Fault]:
    across = [each for each in alike if _is_across(subject, each)]
    within = [each for each in alike if not _is_across(subject, each)]
    if across:
        yield _fault(
            subject,
            "look-alikes-across",
            Severity.ERROR,
            "Near-duplicates in two splits",
            f"Flipped, turned or relit, they are one image. {_LEAK}",
            _RECUT,
            across,
        )
    if within:
        yield _fault(
            subject,
            "look-alikes-within",
            Severity.NOTE,
            "Near-duplicates within a split",
            "Augmented before it was split: fewer images than it seems, and intervals that count "
            "each copy are too narrow.",
            "In train they do no harm; in validation and test keep one of each.",
            within,
        )


def _is_across(subject: Subject, twins: Twins) -> bool:
    return subject.split_of(twins.one) != subject.split_of(twins.other)


def _fault(
    subject: Subject,
    check: str,
    severity: Severity,
    title: str,
    meaning: str,
    advice: str,
    twins: Sequence[Twins],
) -> Fault:
    return Fault(
        check=check,
        severity=severity,
        title=title,
        meaning=meaning,
        advice=advice,
        places=tuple(_place(subject, each) for each in twins),
    )


def _place(subject: Subject, twins: Twins) -> Place:
    """A picture of validation or test comes before the one of train."""
    ids = (twins.one, twins.other)
    is_train_first = subject.split_of(ids[0]) == "train" != subject.split_of(ids[1])
    one, other = ids[::-1] if is_train_first else ids
    return subject.place(one, f"sameness {twins.sameness:.2f}", other)
