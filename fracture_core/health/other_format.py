"""Truths that were emptied while another format in the same folder still has their boxes."""

from collections.abc import Iterator

from fracture_core.datasets.formats import installed
from fracture_core.datasets.recognition import formats_beside
from fracture_core.datasets.records import RecordedDataset
from fracture_core.datasets.tally import counted
from fracture_core.errors import DatasetError
from fracture_core.health.report import Fault, Place, Severity
from fracture_core.health.subject import Subject


def check_other_format(subject: Subject) -> Iterator[Fault]:
    """Against what the same folder holds in another format, either way round."""
    other = _other(subject.dataset)
    if other is None:
        return
    emptied = tuple(_emptied(subject, subject.dataset, other, "none here"))
    if emptied:
        yield Fault(
            check="labels-emptied",
            severity=Severity.ERROR,
            title=f"Emptied, but {other.format.upper()} has boxes",
            meaning="They say that nothing is there while the same image has boxes in another "
            "format of this folder: a model learns to miss them, and right findings count as "
            "spurious.",
            advice=f"Restore their boxes, or open {other.path.name} in place of this format.",
            places=emptied,
        )
    backwards = tuple(_emptied(subject, other, subject.dataset, f"none in {other.format.upper()}"))
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
    """The data set that the same folder holds in another format, if it can be opened as that."""
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
    subject: Subject, empty: RecordedDataset, full: RecordedDataset, words: str
) -> Iterator[Place]:
    for sample_id, record in empty.records.items():
        there = full.records.get(sample_id)
        if record.findings == () and there is not None and there.findings:
            boxes = counted(len(there.findings), "box", "boxes")
            yield subject.place(sample_id, f"{boxes} in {full.format.upper()}, {words}")
