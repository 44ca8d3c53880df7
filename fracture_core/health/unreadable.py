"""Pictures that cannot be opened: cut short, damaged, of no known format or of another version."""

from collections.abc import Iterator

from fracture_core.datasets import doubts
from fracture_core.health.report import Fault, Severity
from fracture_core.health.subject import Subject


def check_unreadable(subject: Subject) -> Iterator[Fault]:
    """One fault with the reason of each picture."""
    unread = [
        subject.place(sample_id, reason.removeprefix(f"{sample_id}: "))
        for sample_id, reason in subject.looks.unreadable.items()
    ]
    left_out = subject.places(subject.doubts(doubts.UNREADABLE_PICTURE))
    if unread or left_out:
        yield Fault(
            check="unreadable",
            severity=Severity.ERROR,
            title="Images that cannot be read",
            meaning="A training stops at them, or counts fewer images than there are.",
            advice="Fetch the files anew; a repaired copy leaves them out.",
            places=(*unread, *left_out),
        )
