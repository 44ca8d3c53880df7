"""YOLO's label files and `data.yaml` as they are written: one polygon in place of box and mask."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import yaml

from fracture_core import boxes, masks
from fracture_core.datasets.coco_outlines import bounds_of
from fracture_core.datasets.findings import Finding
from fracture_core.datasets.tally import counted
from fracture_core.datasets.writers.base import (
    Array,
    Limit,
    Places,
    Row,
    Writer,
    lost_image_classes,
    note,
    require_splits,
    without_outlines,
)
from fracture_core.datasets.writers.items import Findings, Item
from fracture_core.datasets.writers.names import another_name_by_group, name_by_group
from fracture_core.datasets.writers.outlines import ring_of
from fracture_core.datasets.writers.png import write_png
from fracture_core.types import Sample

# How far a box may be from the bounds of its mask, in pixels and in shares of a side: annotation
# tools round. The first is no change, the second is said, and what is beyond must be allowed.
_SAME = (0.01, 1e-5)
_NEAR = (1.0, 0.002)
FOLDERS = {"train": "train", "val": "valid", "test": "test"}
_Points = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class YoloWriter(Writer):
    """`{train,valid,test}/{images,labels}`, 8 bits as shown; no label file = unknown truth."""

    def limits(
        self, items: Sequence[Item], classes: Sequence[str], drop: frozenset[str]
    ) -> list[Limit]:
        if any(item.split for item in items):
            require_splits(items, "yolo")
        outlined = [(f, item) for item in items for f in item.findings or () if f.outline]
        if "masks" in drop:
            lost = note(f"{counted(len(outlined), 'mask')} left out, as asked for.")
            return [lost, *lost_image_classes(items)]
        return [
            *_polygon_limits([finding for finding, _ in outlined]),
            *_box_limits(outlined),
            *lost_image_classes(items),
        ]

    def within(
        self, items: Sequence[Item], classes: Sequence[str], drop: frozenset[str]
    ) -> tuple[list[Item], tuple[str, ...]]:
        kept = without_outlines(items) if "masks" in drop else list(items)
        return kept, tuple(classes)

    def named(self, item: Item) -> Item:
        return name_by_group(item)

    def renamed(self, item: Item) -> Item:
        return another_name_by_group(item)

    def pixels(self, sample: Sample) -> Array:
        return sample.shown()

    def write(self, item: Item, pixels: Array, findings: Findings | None, places: Places) -> Row:
        picture = places.result / picture_folder(item.split) / f"{item.name}.png"
        label = places.result / label_folder(item.split) / f"{item.name}.txt"
        for path in (picture, label):
            path.parent.mkdir(parents=True, exist_ok=True)
        write_png(pixels, picture)
        if findings is not None:
            label.write_text(label_text(findings, *pixels.shape), encoding="utf-8")
        return {"split": item.split}

    def finish(self, rows: Iterable[Row], classes: Sequence[str], places: Places) -> None:
        write_data_file(places.result, classes, {row["split"] for row in rows})


def picture_folder(split: str) -> str:
    """Where pictures of a split lie."""
    return f"{FOLDERS[split]}/images" if split else "images"


def label_folder(split: str) -> str:
    """Where label files of a split lie."""
    return picture_folder(split).removesuffix("images") + "labels"


def label_text(findings: Findings, height: int, width: int) -> str:
    """Findings in pixels, a line each: a box, or a polygon where any finding of the picture has
    an outline, as Ultralytics reads a file of both kinds wrongly.
    """
    outlined = any(finding.outline is not None for finding in findings)
    return "".join(_lines(findings, outlined, np.array([width, height], dtype=np.float64)))


def write_data_file(folder: Path, classes: Sequence[str], splits: Collection[str]) -> None:
    """`data.yaml` with the folders of these splits; "" has no key in the format."""
    data = {split: picture_folder(split) for split in FOLDERS if split in splits}
    content = {**data, "nc": len(classes), "names": list(classes)}
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    (folder / "data.yaml").write_text(text, encoding="utf-8")


def ring_within(finding: Finding, height: int, width: int) -> _Points:
    """(P, 2) the one polygon the format has for a finding in pixels, cut to the picture."""
    outline = finding.outline
    if outline is None:
        x1, y1, x2, y2 = finding.xyxy
        return np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]])
    if isinstance(outline, tuple) and len(outline) == 1:
        # Ultralytics refuses the labels of a picture with a point outside it.
        return np.clip(outline[0], 0, [width, height])
    code = outline
    if isinstance(code, tuple):
        code = masks.from_polygons(code, height, width)
    return ring_of(masks.decode(code))


def _lines(findings: Findings, outlined: bool, side: _Points) -> Iterator[str]:
    width, height = (int(value) for value in side)
    for finding in findings:
        points = boxes.xyxy_to_cxcywh(finding.xyxy[None]).reshape(2, 2)
        if outlined:
            points = ring_within(finding, height, width)
        shares = (points / side).reshape(-1)
        yield f"{finding.label} " + " ".join(f"{share:.8f}" for share in shares) + "\n"


def _polygon_limits(outlined: Sequence[Finding]) -> list[Limit]:
    coded = sum(isinstance(finding.outline, masks.Rle) for finding in outlined)
    parts = sum(isinstance(f.outline, tuple) and len(f.outline) > 1 for f in outlined)
    what = f"{counted(coded + parts, 'mask')} of run lengths or several parts"
    sentence = f"{what} become one polygon each along the pixels, without holes."
    return [note(sentence)] if coded or parts else []


def _box_limits(outlined: Sequence[tuple[Finding, Item]]) -> list[Limit]:
    moved = [_distance(finding, item) for finding, item in outlined]
    limits = [(_SAME[item.in_shares], _NEAR[item.in_shares]) for _, item in outlined]
    pairs = list(zip(moved, limits, strict=True))
    found = []
    if near := sum(same < distance <= near for distance, (same, near) in pairs):
        what = f"{counted(near, 'box', 'boxes')} moved to the bounds of their masks"
        found.append(note(f"{what}, less than a pixel away, as YOLO has one line for both."))
    if far := sum(distance > near for distance, (_, near) in pairs):
        what = f"Boxes that are not the bounds of their mask, which YOLO takes: {far:,}"
        how = "allow it with --drop boxes, or keep the boxes alone with --drop masks."
        found.append(Limit(drop="boxes", sentence=f"{what}; {how}"))
    return found


def _distance(finding: Finding, item: Item) -> float:
    """The most that an edge of the box is from that of its mask, in the unit of the finding."""
    if finding.outline is None:
        return 0.0
    # What of an outline lies outside the picture is cut, as the box was.
    height, width = item.extent or (np.inf, np.inf)
    bounds = np.clip(bounds_of(finding.outline), 0, [width, height, width, height])
    return float(np.abs(bounds - finding.xyxy).max())
