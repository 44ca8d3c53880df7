"""The three formats as targets: pictures are written one by one in any process, the rest once."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from fracture_core.attributes import common
from fracture_core.conversion import coco_files, yolo_files
from fracture_core.conversion.items import Findings, Item
from fracture_core.conversion.png import write_png
from fracture_core.conversion.rsna_file import Slice, normed, write_rsna
from fracture_core.types import Sample

Row = dict[str, Any]
Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """`result` becomes the destination; `spare` is for what only the finish needs."""

    result: Path
    spare: Path


class Target(Protocol):
    """`write` gives a row that JSON can hold; `finish` gets all rows in the order of the items."""

    def pixels(self, sample: Sample) -> Array:
        """(H, W) what is to be resized and written."""
        ...

    def write(
        self, item: Item, pixels: Array, findings: Findings | None, places: Places
    ) -> Row: ...

    def finish(self, rows: Iterable[Row], classes: Sequence[str], places: Places) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Coco:
    """`<split>/…png` at full depth and `annotations/<split>.json`.

    Pictures of unknown truth stand in `annotations/<split>-unannotated.json`, a file that has no
    `annotations`, as COCO's own lists of test pictures.
    """

    def pixels(self, sample: Sample) -> Array:
        return sample.pixels

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
        objects = None if findings is None else coco_files.as_objects(findings)
        return {"split": item.split, "image": entry, "objects": objects}

    def finish(self, rows: Iterable[Row], classes: Sequence[str], places: Places) -> None:
        files: dict[str, coco_files.CocoFile] = {}
        for number, row in enumerate(rows, start=1):
            is_known = row["objects"] is not None
            name = (row["split"] or "all") + ("" if is_known else "-unannotated")
            file = files.setdefault(name, coco_files.empty_file(classes))
            coco_files.add_picture(file, {"id": number, **row["image"]}, row["objects"] or ())
        folder = places.result / "annotations"
        folder.mkdir(exist_ok=True)
        for name, file in files.items():
            kept: dict[str, object] = dict(file)
            if name.endswith("-unannotated"):
                del kept["annotations"]
            text = json.dumps(kept, ensure_ascii=False)
            (folder / f"{name}.json").write_text(text, encoding="utf-8")


@dataclass(frozen=True, slots=True, kw_only=True)
class Yolo:
    """`{train,valid,test}/{images,labels}`, 8 bits as shown; no label file = unknown truth."""

    def pixels(self, sample: Sample) -> Array:
        return sample.shown()

    def write(self, item: Item, pixels: Array, findings: Findings | None, places: Places) -> Row:
        picture = places.result / yolo_files.picture_folder(item.split) / f"{item.name}.png"
        label = places.result / yolo_files.label_folder(item.split) / f"{item.name}.txt"
        for path in (picture, label):
            path.parent.mkdir(parents=True, exist_ok=True)
        write_png(pixels, picture)
        if findings is not None:
            label.write_text(yolo_files.label_text(findings, *pixels.shape), encoding="utf-8")
        return {"split": item.split}

    def finish(self, rows: Iterable[Row], classes: Sequence[str], places: Places) -> None:
        splits = {row["split"] for row in rows}
        yolo_files.write_data_file(places.result, classes, splits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hdf5:
    """One file in the RSNA layout, `side_px` square: what a picture does not fill is 0."""

    file_name: str
    side_px: int

    def pixels(self, sample: Sample) -> Array:
        return normed(sample.pixels)

    def write(self, item: Item, pixels: Array, findings: Findings | None, places: Places) -> Row:
        height, width = pixels.shape
        square = np.zeros((self.side_px, self.side_px), dtype=np.float32)
        square[:height, :width] = np.clip(pixels, 0, 1)
        xyxy = np.array([each.xyxy for each in findings or ()]).reshape(-1, 4)
        row: Row = {
            "study": item.group_id,
            "number": item.name,
            "split": item.split,
            "attributes": dict(item.attributes),
        }
        spare = spare_file(item, places)
        np.save(spare, square)
        # Unknown is only left where the slice is known to be fractured.
        return {**row, "fractured": findings != (), "xyxy": xyxy.tolist(), "file": spare.name}

    def finish(self, rows: Iterable[Row], classes: Sequence[str], places: Places) -> None:
        listed = list(rows)
        told = common(row["attributes"] for row in listed)
        path = places.result / self.file_name
        write_rsna(self._slices(listed, places), path, attributes=told)

    def _slices(self, rows: Iterable[Row], places: Places) -> Iterator[Slice]:
        for row in rows:
            yield Slice(
                image=np.load(places.spare / row["file"], allow_pickle=False),
                xyxy=np.array(row["xyxy"], dtype=np.float64).reshape(-1, 4),
                fractured=row["fractured"],
                split=row["split"],
                study=row["study"],
                number=row["number"],
            )


def spare_file(item: Item, places: Places) -> Path:
    """Where the pixels of one slice wait for the finish."""
    import hashlib

    name = hashlib.blake2b(item.sample_id.encode(), digest_size=16).hexdigest()
    return places.spare / f"{name}.npy"
