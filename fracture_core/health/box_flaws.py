"""Boxes as the annotation writes them: outside the picture, without an area, or no numbers."""

from collections.abc import Iterator

from fracture_core.datasets import doubts
from fracture_core.health.report import Fault, Severity
from fracture_core.health.subject import Subject


def check_boxes(subject: Subject) -> Iterator[Fault]:
    """What the readers left out is an error, what they cut a warning."""
    if found := subject.doubts(doubts.NO_NUMBERS, doubts.NO_AREA):
        yield Fault(
            check="boxes-degenerate",
            severity=Severity.ERROR,
            title="Boxes without an area",
            meaning="They have no width or height above 0, or are no numbers; they are left out, "
            "and an image with nothing else has an unknown ground truth.",
            advice="Draw them again, or delete their lines if nothing is there.",
            places=subject.places(found),
        )
    if found := subject.doubts(doubts.OUTSIDE):
        yield Fault(
            check="boxes-outside",
            severity=Severity.ERROR,
            title="Boxes outside their image",
            meaning="Nothing can be learnt or found there; they are left out.",
            advice="Look whether the annotation is of another size or version of the image.",
            places=subject.places(found),
        )
    if found := subject.doubts(doubts.CUT):
        yield Fault(
            check="boxes-cut",
            severity=Severity.WARNING,
            title="Boxes beyond the edge of their image",
            meaning="They are cut at the edge, so that the box is another than the one drawn.",
            advice="A few at the edge are harmless; many tell of a wrong size or scale.",
            places=subject.places(found),
        )
