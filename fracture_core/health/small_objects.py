"""Objects that vanish when their picture is brought to the size of a model's input."""

from collections.abc import Iterator

import numpy as np

from fracture_core.datasets.findings import Corners
from fracture_core.datasets.pictures import PictureRecord
from fracture_core.health.report import Fault, Severity
from fracture_core.health.subject import Subject


def check_small_objects(subject: Subject) -> Iterator[Fault]:
    """The longer side of each picture is taken to be resized to the input size."""
    limits = subject.limits
    places = []
    for sample_id, look in subject.looks.seen.items():
        record = subject.dataset.records[sample_id]
        in_shares = isinstance(record, PictureRecord) and record.size is None
        side = np.array([look.width, look.height]) if in_shares else np.ones(2)
        scale = limits.input_size / max(look.height, look.width)
        for finding in record.findings or ():
            width, height = _size(finding.xyxy) * side * scale
            if min(width, height) < limits.least_px:
                words = f"{finding.place}: {width:.1f} × {height:.1f} px"
                places.append(subject.place(sample_id, words))
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
