"""COCO: `train/ val/ test/` of 16-bit PNG files and a JSON file a split in `annotations/`."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from fracture_core import boxes, masks
from fracture_core.demo.png import write_sixteen
from fracture_core.types import Sample

SPLITS = ("train", "val", "test")


def write(samples: Iterable[Sample], classes: Sequence[str], folder: Path) -> None:
    """Masks as run-length codes; `patient_id` of a picture is its group."""
    files = {split: _empty(classes) for split in SPLITS}
    for split in SPLITS:
        (folder / split).mkdir(parents=True)
    for number, sample in enumerate(samples, start=1):
        name = f"{sample.sample_id.replace('/', '-')}.png"
        write_sixteen(sample, folder / sample.split / name)
        _add(files[sample.split], sample, number, name)
    (folder / "annotations").mkdir()
    for split, content in files.items():
        path = folder / "annotations" / f"{split}.json"
        path.write_text(json.dumps(content), encoding="utf-8")


_File = dict[str, list[dict[str, object]]]


def _empty(classes: Sequence[str]) -> _File:
    categories: list[dict[str, object]] = [
        {"id": number, "name": name, "supercategory": "fracture"}
        for number, name in enumerate(classes)
    ]
    return {"images": [], "annotations": [], "categories": categories}


def _add(file: _File, sample: Sample, number: int, name: str) -> None:
    file["images"].append(
        {
            "id": number,
            "file_name": name,
            "height": sample.height,
            "width": sample.width,
            "patient_id": sample.group_id,
        }
    )
    if sample.truth is None:
        return
    xywh = boxes.xyxy_to_xywh(sample.truth.xyxy)
    for label, box, code in zip(sample.truth.labels, xywh, sample.truth.masks, strict=True):
        file["annotations"].append(
            {
                # No two pictures have the same thousand.
                "id": number * 1000 + len(file["annotations"]) % 1000,
                "image_id": number,
                "category_id": int(label),
                "bbox": [float(side) for side in box],
                "area": masks.pixels(code),
                "iscrowd": 0,
                "segmentation": code.as_coco(),
            }
        )
