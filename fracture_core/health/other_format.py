"""Truths that were emptied while another format in the same folder still has their boxes."""

from collections.abc import Iterator
from pathlib import Path

from fracture_core.datasets.coco import find_coco_files, open_coco
from fracture_core.datasets.records import RecordedDataset
from fracture_core.datasets.tally import counted
from fracture_core.datasets.yolo import looks_like_yolo, open_yolo
from fracture_core.errors import DatasetError
from fracture_core.health.report import Fault, Place, Severity
from fracture_core.health.subject import Subject


def check_other_format(subject: Subject) -> Iterator[Fault]:
    """YOLO label files against COCO annotations of the same folder, either way round."""
    other = _other(subject.dataset)
    if other is None:
        return
    emptied = tuple(_emptied(subject, subject.dataset, other, "none here"))
    if emptied:
        yield Fault(
            check="labels-emptied",
            severity=Severity.ERROR,
            title=f"Emptied, but {other.format.upper()} has boxes",
            meaning="They say that nothing is there while the same picture has boxes in another "
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
            meaning="The truth read here has their boxes, but a tool that reads the other format "
            "sees pictures without findings.",
            advice="Restore their boxes there, or delete that format.",
            places=backwards,
        )


def _other(dataset: RecordedDataset) -> RecordedDataset | None:
    folder = dataset.path if dataset.path.is_dir() else dataset.path.parent
    try:
        if dataset.format == "coco":
            folder = folder.parent if folder.name == "annotations" else folder
            return open_yolo(folder) if looks_like_yolo(folder) else None
        if dataset.format == "yolo":
            return _open_coco(folder)
    except DatasetError:
        # It cannot be opened as that format, so it has nothing to say about this one.
        return None
    return None


def _open_coco(folder: Path) -> RecordedDataset | None:
    return open_coco(folder) if find_coco_files(folder) else None


def _emptied(
    subject: Subject, empty: RecordedDataset, full: RecordedDataset, words: str
) -> Iterator[Place]:
    for sample_id, record in empty.records.items():
        there = full.records.get(sample_id)
        if record.findings == () and there is not None and there.findings:
            boxes = counted(len(there.findings), "box", "boxes")
            yield subject.place(sample_id, f"{boxes} in {full.format.upper()}, {words}")
