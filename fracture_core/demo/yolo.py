"""YOLO: `{train,valid,test}/{images,labels}` of 8-bit PNG files and a `data.yaml`.

A picture is named `<group>.rf.<hash>.png`, the only way the layout has to tell pictures that belong
together. A picture without a finding has an empty label file.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import yaml

from fracture_core import boxes, masks
from fracture_core.demo.outlines import ring_of
from fracture_core.demo.png import write_eight
from fracture_core.types import Detections, Sample

FOLDERS = {"train": "train", "val": "valid", "test": "test"}


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
        write_eight(sample, place / "images" / f"{stem}.png")
        lines = _lines(sample.truth or Detections.empty(), sample, outlines)
        (place / "labels" / f"{stem}.txt").write_text("".join(lines), encoding="utf-8")
    data = {
        "train": "train/images",
        "val": "valid/images",
        "test": "test/images",
        "nc": len(classes),
        "names": list(classes),
    }
    (folder / "data.yaml").write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")


def name_of(sample: Sample) -> str:
    """The stem of a sample's files."""
    digest = hashlib.blake2b(sample.sample_id.encode(), digest_size=8).hexdigest()
    return f"{sample.group_id}.rf.{digest}"


def _lines(truth: Detections, sample: Sample, outlines: bool) -> Iterator[str]:
    side = (sample.width, sample.height)
    cxcywh = boxes.xyxy_to_cxcywh(truth.xyxy.astype("float64"))
    for number, label in enumerate(truth.labels):
        points = cxcywh[number].reshape(2, 2)
        if outlines and truth.masks:
            points = ring_of(masks.decode(truth.masks[number]))
        shares = (points / side).reshape(-1)
        yield f"{label} " + " ".join(f"{share:.8f}" for share in shares) + "\n"
