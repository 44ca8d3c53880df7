"""A data set made by hand: two images with findings, one without, one unknown."""

from pathlib import Path

import numpy as np
import pytest

from fracture_core.datasets.findings import Finding
from fracture_core.datasets.images import ImageRecord
from fracture_core.datasets.records import RecordedDataset


def finding(label: int, *xyxy: float) -> Finding:
    return Finding(label=label, xyxy=np.array(xyxy, dtype=np.float64), place="here")


def record(
    name: str, split: str, *findings: Finding, size: tuple[int, int] | None = None
) -> ImageRecord:
    return ImageRecord(
        sample_id=name,
        group_id=name,
        split=split,
        path=Path(name),
        findings=findings,
        size=size,
    )


@pytest.fixture
def dataset() -> RecordedDataset:
    """Of the findings one image has them in shares, one in pixels of 100 × 200."""
    unknown = ImageRecord(sample_id="d", group_id="d", split="val", path=Path("d"), findings=None)
    records = (
        record("a", "train", finding(0, 0.1, 0.2, 0.3, 0.6), finding(0, 0.5, 0.5, 1, 1)),
        record("b", "train", finding(1, 20, 10, 60, 30), size=(100, 200)),
        record("c", "val"),
        unknown,
    )
    return RecordedDataset(
        name="made",
        path=Path("made"),
        format="yolo",
        classes=("wrist", "elbow", "hip"),
        records={each.sample_id: each for each in records},
        found="",
    )
