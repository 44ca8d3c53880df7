"""YOLO: `{train,valid,test}/{images,labels}` of 8-bit PNG files and a `data.yaml`.

A picture is named `<group>.rf.<hash>.png`, the only way the layout has to tell pictures that belong
together. A picture without a finding has an empty label file.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from fracture_core.datasets.writers.items import findings_of
from fracture_core.datasets.writers.png import write_png
from fracture_core.datasets.writers.yolo import FOLDERS, label_text, write_data_file
from fracture_core.types import Detections, Sample

__all__ = ["FOLDERS", "name_of", "write"]


def write(
    samples: Iterable[Sample], classes: Sequence[str], folder: Path, *, outlines: bool
) -> None:
    """One line a finding: a polygon where `outlines`, else a box; in shares of the sides."""
    for name in FOLDERS.values():
        (folder / name / "images").mkdir(parents=True)
        (folder / name / "labels").mkdir()
    for sample in samples:
        place = folder / FOLDERS[sample.split]
        stem = name_of(sample)
        write_png(sample.shown(), place / "images" / f"{stem}.png")
        found = findings_of(sample.truth or Detections.empty())
        if not outlines:
            found = tuple(replace(finding, outline=None) for finding in found)
        text = label_text(found, sample.height, sample.width)
        (place / "labels" / f"{stem}.txt").write_text(text, encoding="utf-8")
    write_data_file(folder, classes, FOLDERS)


def name_of(sample: Sample) -> str:
    """The stem of a sample's files."""
    digest = hashlib.blake2b(sample.sample_id.encode(), digest_size=8).hexdigest()
    return f"{sample.group_id}.rf.{digest}"
