"""What readers warned of and no other check speaks about, so that nothing is lost on the way."""

from collections.abc import Iterator

from fracture_core.datasets import doubts
from fracture_core.health.report import Fault, Severity
from fracture_core.health.subject import Subject

_SPOKEN_OF = frozenset(value for name, value in vars(doubts).items() if name.isupper())


def check_reading(subject: Subject) -> Iterator[Fault]:
    """A warning for each kind, in the reader's own words."""
    kinds = dict.fromkeys(doubt.kind for doubt in subject.dataset.doubts)
    for number, kind in enumerate(each for each in kinds if each not in _SPOKEN_OF):
        yield Fault(
            check=f"reading-{number + 1}",
            severity=Severity.WARNING,
            title=kind,
            meaning="The files do not say what they were meant to.",
            advice="Put right what is named, or make sure that it is meant so.",
            places=subject.places(subject.doubts(kind)),
        )
