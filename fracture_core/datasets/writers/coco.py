"""COCO JSON as it is written: one file a split, classes 0…K−1, objects with box and outline.

It holds everything that a data set here can tell but the class of a picture of unknown truth.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fracture_core import boxes, masks
from fracture_core.datasets.findings import Finding, Outline
from fracture_core.datasets.writers.base import Array, Places, Row, Writer
from fracture_core.datasets.writers.items import Findings, Item
from fracture_core.datasets.writers.png import write_png

CocoFile = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class CocoWriter(Writer):
    """`<split>/…png` at full depth and `annotations/<split>.json`.

    Pictures of unknown truth stand in `annotations/<split>-unannotated.json`, a file that has no
    `annotations`, as COCO's own lists of test pictures.
    """

    def write(self, item: Item, pixels: Array, findings: Findings | None, places: Places) -> Row:
        path = places.result / (item.split or "images") / f"{item.name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_png(pixels, path)
        height, width = pixels.shape
        entry = {
            "file_name": f"{item.name}.png",
            "height": height,
            "width": width,
            "patient_id": item.group_id,
        }
        if item.attributes:
            entry["attributes"] = dict(item.attributes)
        objects = None if findings is None else as_objects(findings)
        return {"split": item.split, "image": entry, "objects": objects}

    def finish(self, rows: Iterable[Row], classes: Sequence[str], places: Places) -> None:
        files: dict[str, CocoFile] = {}
        for number, row in enumerate(rows, start=1):
            is_known = row["objects"] is not None
            name = (row["split"] or "all") + ("" if is_known else "-unannotated")
            file = files.setdefault(name, empty_file(classes))
            add_picture(file, {"id": number, **row["image"]}, row["objects"] or ())
        folder = places.result / "annotations"
        folder.mkdir(exist_ok=True)
        for name, file in files.items():
            kept: dict[str, object] = dict(file)
            if name.endswith("-unannotated"):
                del kept["annotations"]
            text = json.dumps(kept, ensure_ascii=False)
            (folder / f"{name}.json").write_text(text, encoding="utf-8")


def empty_file(classes: Sequence[str]) -> CocoFile:
    """A file of no pictures. Every category heads itself: none is a heading of others."""
    categories = [
        {"id": number, "name": name, "supercategory": name} for number, name in enumerate(classes)
    ]
    return {"images": [], "annotations": [], "categories": categories}


def as_objects(findings: Findings) -> list[dict[str, Any]]:
    """Findings in pixels as COCO's objects, still without ids."""
    return [_as_object(finding) for finding in findings]


def add_picture(
    file: CocoFile, entry: Mapping[str, Any], objects: Iterable[Mapping[str, Any]] = ()
) -> None:
    """`entry` is an image of COCO with its own `id`; objects get theirs, counted in the file."""
    file["images"].append(dict(entry))
    for each in objects:
        place = {"id": len(file["annotations"]) + 1, "image_id": entry["id"]}
        file["annotations"].append({**place, **each})


def _as_object(finding: Finding) -> dict[str, Any]:
    xywh = boxes.xyxy_to_xywh(finding.xyxy[None])[0]
    return {
        "category_id": finding.label,
        "bbox": [float(side) for side in xywh],
        "area": _area(finding),
        "iscrowd": 0,
        "segmentation": _as_segmentation(finding.outline),
    }


def _as_segmentation(outline: Outline | None) -> object:
    if outline is None:
        return []
    if isinstance(outline, masks.Rle):
        return outline.as_coco()
    return [ring.reshape(-1).tolist() for ring in outline]


def _area(finding: Finding) -> float:
    if finding.outline is None:
        return float(boxes.area(finding.xyxy[None])[0])
    if isinstance(finding.outline, masks.Rle):
        return float(masks.pixels(finding.outline))
    return float(sum(_area_within(ring[:, 0], ring[:, 1]) for ring in finding.outline))


def _area_within(x: Any, y: Any) -> float:
    """The shoelace formula."""
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2
