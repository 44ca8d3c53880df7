"""The checks of boxes, classes, labels and files, each a function from a context to its faults.

They look for boxes that are outside the image or have no area; classes that are rare, unused, out
of balance or mark healthy images; labels emptied while another format in the same folder still has
the boxes; objects that vanish at a model's input size; missing, unreadable and contradicting
labels; images that cannot be opened; and, so that nothing is lost, all else that readers logged.
"""

from collections import Counter
from collections.abc import Iterator

import numpy as np

from fracture_core.datasets import issues
from fracture_core.datasets.findings import Corners
from fracture_core.datasets.formats import installed
from fracture_core.datasets.issues import counted
from fracture_core.datasets.recognition import formats_beside
from fracture_core.datasets.records import RecordedDataset, SplitCounts
from fracture_core.errors import DatasetError
from fracture_core.health.report import CheckContext, Fault, Place, Severity

# ---- boxes ---------------------------------------------------------------------------------------


def check_boxes(context: CheckContext) -> Iterator[Fault]:
    """Yields errors for boxes that the reader left out, and a warning for those it cut."""
    if found := context.issues(issues.NO_NUMBERS, issues.NO_AREA):
        yield Fault(
            check="boxes-degenerate",
            severity=Severity.ERROR,
            title="Boxes without an area",
            meaning="They have no width or height above 0, or are no numbers; they are left out, "
            "and an image with nothing else has an unknown ground truth.",
            advice="Draw them again, or delete their lines if nothing is there.",
            places=context.places(found),
        )
    if found := context.issues(issues.OUTSIDE):
        yield Fault(
            check="boxes-outside",
            severity=Severity.ERROR,
            title="Boxes outside their image",
            meaning="Nothing can be learnt or found there; they are left out.",
            advice="Look whether the annotation is of another size or version of the image.",
            places=context.places(found),
        )
    if found := context.issues(issues.CUT):
        yield Fault(
            check="boxes-cut",
            severity=Severity.WARNING,
            title="Boxes beyond the edge of their image",
            meaning="They are cut at the edge, so that the box is another than the one drawn.",
            advice="A few at the edge are harmless; many tell of a wrong size or scale.",
            places=context.places(found),
        )


# ---- classes -------------------------------------------------------------------------------------


# In a small set every class has few objects: a rare one also has a small share of all.
_RARE_SHARE = 0.05
_IMBALANCE = 20


def check_classes(context: CheckContext) -> Iterator[Fault]:
    """Yields faults of classes; their places name classes, not images."""
    yield from _unused(context)
    yield from _balance(context)
    if found := context.issues(issues.HEALTHY_CLASS):
        yield Fault(
            check="class-healthy",
            severity=Severity.WARNING,
            title="A class that marks healthy images with a box",
            meaning="A detector learns to find healthy bone: its boxes count as findings, and an "
            "image without a fracture is not empty.",
            advice="Leave the class out for detection; keep it for a classifier of whole images.",
            places=context.places(found),
        )
    if found := context.issues(issues.SAME_NAME):
        yield Fault(
            check="class-names",
            severity=Severity.ERROR,
            title="One name for several classes",
            meaning="They are told apart by number only: counts and pages mix them up.",
            advice="Give each class a name of its own, or make them one.",
            places=context.places(found),
        )


def _unused(context: CheckContext) -> Iterator[Fault]:
    unused = context.places(context.issues(issues.ONLY_HEADING, issues.UNUSED_CLASS))
    told = {place.detail.partition(" ")[2].strip("'") for place in unused}
    counts = _counts(context)
    bare = [
        Place(detail=f"{label} '{name}'")
        for label, name in enumerate(context.dataset.classes)
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


def _balance(context: CheckContext) -> Iterator[Fault]:
    counts, names = _counts(context), context.dataset.classes
    total = sum(counts.values())
    rare = [
        label
        for label, count in counts.items()
        if 0 < count < context.limits.least_objects and count < _RARE_SHARE * total
    ]
    if rare:
        yield Fault(
            check="class-rare",
            severity=Severity.WARNING,
            title=f"Classes with fewer than {context.limits.least_objects} objects",
            meaning="They cannot be learnt, and their metrics have no meaning.",
            advice="Collect more of them, join them with another class, or leave them out.",
            places=tuple(Place(detail=_count_of(names[each], counts[each])) for each in rare),
        )
    common = {label: count for label, count in counts.items() if count and label not in rare}
    if common and max(common.values()) >= _IMBALANCE * min(common.values()):
        yield Fault(
            check="class-balance",
            severity=Severity.NOTE,
            title="Classes far out of balance",
            meaning=f"The commonest class has {_IMBALANCE} times the objects of the rarest, or "
            "more: a mean over all objects says little about the rare ones.",
            advice="Look at the metrics of each class; weight the loss, or draw rare ones oftener.",
            places=tuple(
                Place(detail=_count_of(names[label], count))
                for label, count in sorted(common.items(), key=lambda each: each[1])
            ),
        )


def _counts(context: CheckContext) -> Counter[int]:
    records = context.dataset.records.values()
    found = Counter(finding.label for record in records for finding in record.findings or ())
    return Counter({label: found[label] for label in range(len(context.dataset.classes))})


def _count_of(name: str, count: int) -> str:
    return f"{name}: {counted(count, 'object')}"


# ---- labels emptied in one of two formats --------------------------------------------------------


def check_other_format(context: CheckContext) -> Iterator[Fault]:
    """Yields faults where images are empty in one format but have boxes in another.

    Both formats lie in the same folder; the data set may be either.
    """
    other = _other(context.dataset)
    if other is None:
        return
    emptied = tuple(_emptied(context, context.dataset, other, "none here"))
    if emptied:
        yield Fault(
            check="labels-emptied",
            severity=Severity.ERROR,
            title=f"Emptied, but {other.format.upper()} has boxes",
            meaning="They say that nothing is there while the same image has boxes in another "
            "format of this folder: a model learns to miss them, and right findings count as "
            "false positives.",
            advice=f"Restore their boxes, or open {other.path.name} in place of this format.",
            places=emptied,
        )
    backwards = tuple(_emptied(context, other, context.dataset, f"none in {other.format.upper()}"))
    if backwards:
        yield Fault(
            check="labels-emptied-beside",
            severity=Severity.NOTE,
            title=f"Emptied in {other.format.upper()}, which lies beside",
            meaning="The ground truth read here has their boxes, but a tool that reads the other "
            "format sees images without findings.",
            advice="Restore their boxes there, or delete that format.",
            places=backwards,
        )


def _other(dataset: RecordedDataset) -> RecordedDataset | None:
    """Returns the data set of another format in the same folder, or None if none can be opened."""
    if dataset.stacked:
        # Slices of one file have no names by which another format could know them.
        return None
    folder = installed().formats[dataset.format].root(dataset.path)
    for other in formats_beside(folder, dataset.format):
        try:
            return other.open(folder)
        except DatasetError:
            # It cannot be opened as that format, so it has nothing to say about this one.
            continue
    return None


def _emptied(
    context: CheckContext, empty: RecordedDataset, full: RecordedDataset, words: str
) -> Iterator[Place]:
    for sample_id, record in empty.records.items():
        there = full.records.get(sample_id)
        if record.findings == () and there is not None and there.findings:
            boxes = counted(len(there.findings), "box", "boxes")
            yield context.place(sample_id, f"{boxes} in {full.format.upper()}, {words}")


# ---- small objects -------------------------------------------------------------------------------


def check_small_objects(context: CheckContext) -> Iterator[Fault]:
    """Yields a warning for objects that are too small at the model's input size.

    The longer side of each image is taken to be resized to the input size.
    """
    limits = context.limits
    places = []
    for sample_id, thumbnail in context.thumbnails.seen.items():
        record = context.dataset.records[sample_id]
        height, width = record.findings_size
        side = np.array([thumbnail.width / width, thumbnail.height / height])
        scale = limits.input_size / max(thumbnail.height, thumbnail.width)
        for finding in record.findings or ():
            wide, high = _size(finding.xyxy) * side * scale
            if min(wide, high) < limits.least_px:
                words = f"{finding.place}: {wide:.1f} × {high:.1f} px"
                places.append(context.place(sample_id, words))
    if places:
        yield Fault(
            check="objects-small",
            severity=Severity.WARNING,
            title=f"Objects under {limits.least_px:g} px at an input of {limits.input_size:,} px",
            meaning="At this size the model hardly gets a pixel of them: they will be missed, and "
            "train it on nothing.",
            advice="Choose a larger input size, or cut the images to the region in question.",
            places=tuple(places),
        )


def _size(xyxy: Corners) -> Corners:
    return xyxy[2:] - xyxy[:2]


# ---- labels --------------------------------------------------------------------------------------


_UNREADABLE = (issues.UNREADABLE_LABELS, issues.UNREADABLE_OBJECTS)


def check_ground_truths(context: CheckContext) -> Iterator[Fault]:
    """Yields faults of labels that are missing, unreadable or contradictory, and of splits without
    a finding.
    """
    if found := context.issues(*_UNREADABLE):
        yield Fault(
            check="labels-unreadable",
            severity=Severity.ERROR,
            title="Labels that cannot be read",
            meaning="The ground truth of their images is unknown: they neither train nor count.",
            advice="Put the lines right that are named.",
            places=context.places(found),
        )
    yield from _missing(context)
    if found := context.issues(issues.HEALTHY_WITH_BOX, issues.FRACTURE_WITHOUT_BOX):
        yield Fault(
            check="labels-contradict",
            severity=Severity.WARNING,
            title="Labels that contradict their boxes",
            meaning="A slice is called healthy but has a box, or fractured without one; boxes are "
            "kept, and without one the ground truth is unknown.",
            advice="Look at the slices and decide.",
            places=context.places(found),
        )
    yield from _bare_splits(context)


def _missing(context: CheckContext) -> Iterator[Fault]:
    spoken_of = {issue.sample_id for issue in context.issues(*_UNREADABLE, issues.NO_BOX_LEFT)}
    contradicting = {issue.sample_id for issue in context.issues(issues.FRACTURE_WITHOUT_BOX)}
    missing = [
        context.place(record.sample_id)
        for record in context.dataset.records.values()
        if record.findings is None and record.sample_id not in spoken_of | contradicting
    ]
    if missing:
        empty = sum(each.empty for each in context.dataset.summary().values())
        yield Fault(
            check="labels-missing",
            severity=Severity.WARNING,
            title="Images without labels",
            meaning="Without a label the ground truth is unknown, not empty: such images neither "
            f"train nor count. Annotated, and nothing there: {empty:,} others.",
            advice="Annotate them; where nothing is there, write an empty label file.",
            places=tuple(missing),
        )


def _bare_splits(context: CheckContext) -> Iterator[Fault]:
    bare = [
        Place(split=split, detail=_split_words(split, counts))
        for split, counts in context.dataset.summary().items()
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


def _split_words(split: str, counts: SplitCounts) -> str:
    name = split or "no split"
    return f"{name}: {counts.images:,} images, {counts.unknown:,} of unknown ground truth"


# ---- images and other issues ---------------------------------------------------------------------


def check_unreadable(context: CheckContext) -> Iterator[Fault]:
    """Yields one error that gives the reason for each image that cannot be read."""
    unread = [
        context.place(sample_id, reason.removeprefix(f"{sample_id}: "))
        for sample_id, reason in context.thumbnails.unreadable.items()
    ]
    left_out = context.places(context.issues(issues.UNREADABLE_IMAGE))
    if unread or left_out:
        yield Fault(
            check="unreadable",
            severity=Severity.ERROR,
            title="Images that cannot be read",
            meaning="A training stops at them, or counts fewer images than there are.",
            advice="Fetch the files anew; a repaired copy leaves them out.",
            places=(*unread, *left_out),
        )


_BLANK_SHARE = 0.995


def check_blank(context: CheckContext) -> Iterator[Fault]:
    """Yields a warning for images that are nothing but one grey, or hardly anything else."""
    blank = [
        context.place(sample_id, f"{thumbnail.commonest_share:.1%} of its pixels have one grey")
        for sample_id, thumbnail in context.thumbnails.seen.items()
        if thumbnail.commonest_share >= _BLANK_SHARE
    ]
    if blank:
        yield Fault(
            check="blank",
            severity=Severity.WARNING,
            title="Blank images",
            meaning="As they are shown, nearly all their pixels have one grey: there is nothing to "
            "learn from them, and as images without findings they make a specificity too good.",
            advice="Look at them: a wrong window, a lost exposure, or an empty slice to leave out.",
            places=tuple(blank),
        )


_SPOKEN_OF = frozenset(value for name, value in vars(issues).items() if name.isupper())


def check_reading(context: CheckContext) -> Iterator[Fault]:
    """Yields a warning for each kind of issue that no other check covers.

    It is in the reader's own words.
    """
    kinds = dict.fromkeys(issue.kind for issue in context.dataset.issues)
    for number, kind in enumerate(each for each in kinds if each not in _SPOKEN_OF):
        yield Fault(
            check=f"reading-{number + 1}",
            severity=Severity.WARNING,
            title=kind,
            meaning="The files do not say what they were meant to.",
            advice="Put right what is named, or make sure that it is meant so.",
            places=context.places(context.issues(kind)),
        )
