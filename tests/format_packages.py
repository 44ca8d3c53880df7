"""Tiny packages that bring a data set format, as an installer would lay them down."""

from pathlib import Path

READER = '''
"""One text file: a line a picture, its file name and then its boxes as x1 y1 x2 y2."""

from pathlib import Path

import numpy as np

from fracture_core.datasets.findings import Finding, keep_usable
from fracture_core.datasets.formats import DatasetFormat
from fracture_core.datasets.pictures import PictureRecord, size_of
from fracture_core.datasets.records import RecordedDataset
from fracture_core.datasets.tally import Tally


def looks_like(path: Path) -> bool:
    return (path / "boxes.txt").is_file()


def open_boxes(path: Path) -> RecordedDataset:
    tally, records = Tally(), {}
    for line in (path / "boxes.txt").read_text().splitlines():
        name, *numbers = line.split()
        corners = np.array(numbers, dtype=np.float64).reshape(-1, 4)
        size = size_of(path / name, name)
        found = [Finding(label=0, xyxy=each, place=name) for each in corners]
        records[name] = PictureRecord(
            sample_id=name,
            group_id=name,
            split="",
            path=path / name,
            size=size,
            findings=keep_usable(found, *size, tally, name),
        )
    return RecordedDataset(
        name=path.name,
        path=path,
        format="boxes",
        classes=("fracture",),
        records=records,
        found=f"A list of boxes: {len(records)} pictures.",
        warnings=tally.sentences(),
    )


BOXES = DatasetFormat(
    name="boxes",
    title="Lists of boxes",
    example="a folder with boxes.txt",
    looks_like=looks_like,
    open=open_boxes,
)
'''


def install(site: Path, name: str, entry: str, code: str) -> None:
    """A module and the metadata with its entry point, below a folder of `sys.path`."""
    info = site / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (site / f"{name}.py").write_text(code)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[fracture_core.formats]\n{name} = {entry}\n")
