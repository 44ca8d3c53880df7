"""Classes: too few objects, out of balance, unused, or not what the name says."""

from collections import Counter
from collections.abc import Iterator

from fracture_core.datasets import doubts
from fracture_core.datasets.tally import counted
from fracture_core.health.report import Fault, Place, Severity
from fracture_core.health.subject import Subject

# In a small set every class has few objects; rare is who has few and a small share of them.
_RARE_SHARE = 0.05
_IMBALANCE = 20


def check_classes(subject: Subject) -> Iterator[Fault]:
    """Every fault names classes, as its places have no picture."""
    yield from _unused(subject)
    yield from _balance(subject)
    if found := subject.doubts(doubts.HEALTHY_CLASS):
        yield Fault(
            check="class-healthy",
            severity=Severity.WARNING,
            title="A class that marks healthy images with a box",
            meaning="A detector learns to find healthy bone: its boxes count as findings, and a "
            "image without a fracture is not empty.",
            advice="Leave the class out for detection; keep it for a classifier of whole images.",
            places=subject.places(found),
        )
    if found := subject.doubts(doubts.SAME_NAME):
        yield Fault(
            check="class-names",
            severity=Severity.ERROR,
            title="One name for several classes",
            meaning="They are told apart by number only: counts and pages mix them up.",
            advice="Give each class a name of its own, or make them one.",
            places=subject.places(found),
        )


def _unused(subject: Subject) -> Iterator[Fault]:
    unused = subject.places(subject.doubts(doubts.ONLY_HEADING, doubts.UNUSED_CLASS))
    told = {place.detail.partition(" ")[2].strip("'") for place in unused}
    counts = _counts(subject)
    bare = [
        Place(detail=f"{label} '{name}'")
        for label, name in enumerate(subject.dataset.classes)
        if counts[label] == 0 and name not in told
    ]
    if unused or bare:
        yield Fault(
            check="class-unused",
            severity=Severity.NOTE,
            title="Categories that no object uses",
            meaning="A model spends an output on a class it never sees; one that only heads the "
            "others is left out here, but other tools count it and shift the numbers by one.",
            advice="Delete the category from the annotation file.",
            places=(*unused, *bare),
        )


def _balance(subject: Subject) -> Iterator[Fault]:
    counts, names = _counts(subject), subject.dataset.classes
    total = sum(counts.values())
    rare = [
        label
        for label, count in counts.items()
        if 0 < count < subject.limits.least_objects and count < _RARE_SHARE * total
    ]
    if rare:
        yield Fault(
            check="class-rare",
            severity=Severity.WARNING,
            title=f"Classes with fewer than {subject.limits.least_objects} objects",
            meaning="They cannot be learnt, and their figures have no meaning.",
            advice="Collect more of them, join them with another class, or leave them out.",
            places=tuple(Place(detail=_words(names[each], counts[each])) for each in rare),
        )
    common = {label: count for label, count in counts.items() if count and label not in rare}
    if common and max(common.values()) >= _IMBALANCE * min(common.values()):
        yield Fault(
            check="class-balance",
            severity=Severity.NOTE,
            title="Classes far out of balance",
            meaning=f"The commonest class has {_IMBALANCE} times the objects of the rarest, or "
            "more: a mean over all objects says little about the rare ones.",
            advice="Look at the figures of each class; weight the loss, or draw rare ones oftener.",
            places=tuple(
                Place(detail=_words(names[label], count))
                for label, count in sorted(common.items(), key=lambda each: each[1])
            ),
        )


def _counts(subject: Subject) -> Counter[int]:
    records = subject.dataset.records.values()
    found = Counter(finding.label for record in records for finding in record.findings or ())
    return Counter({label: found[label] for label in range(len(subject.dataset.classes))})


def _words(name: str, count: int) -> str:
    return f"{name}: {counted(count, 'object')}"
