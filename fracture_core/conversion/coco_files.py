"""COCO JSON as it is written: one file a split, classes 0…K−1, objects with box and outline."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from fracture_core import boxes, masks
from fracture_core.conversion.items import Findings
from fracture_core.datasets.findings import Finding, Outline

CocoFile = dict[str, list[dict[str, Any]]]


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
