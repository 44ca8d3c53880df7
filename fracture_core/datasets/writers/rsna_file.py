"""The RSNA layout as it is written: slices of one size, boxes, labels and splits in one file.

`images` (N, H, W) float32 in [0, 1], least to greatest of each slice, uncompressed, one chunk a
slice · `bboxes` (N, 10, 4) float32 · `labels`, `split` (N,) int8 · `StudyInstanceUID`,
`SliceNumber` (N,) texts. Every value is under a Fletcher-32 checksum, which takes texts of fixed
length, and every header under one of the format's own, which takes HDF5 1.10 or newer to read.
The file's attribute `attributes`, JSON, tells what its images are.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fracture_core import boxes, importing
from fracture_core.boxes import Floats
from fracture_core.datasets.splits import NAMES
from fracture_core.types import Pixels

MOST_BOXES = 10
_ROWS_AHEAD = 32


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Slice:
    """One row: `image` (H, W) float32 in [0, 1], `xyxy` (K, 4) in its pixels, K ≤ 10."""

    image: Floats
    xyxy: Floats
    fractured: bool
    split: str
    study: str
    number: str


def write_rsna(
    slices: Iterable[Slice],
    path: Path,
    *,
    attributes: Mapping[str, str] | None = None,
    corners: bool = False,
) -> None:
    """Boxes as xywh padded with −1, or where `corners` as xyxy padded with 0; `attributes` are what
    is known of all slices alike, None = what they are in the challenge.
    """
    with importing.LOCK:
        import h5py

    rows: list[Slice] = []
    with h5py.File(path, "w", libver=("v110", "v110")) as file:
        for each in slices:
            images = _images(file, each.image.shape, len(rows))
            images[len(rows)] = each.image
            # Pixels are written; kept is what the columns need.
            rows.append(_without_image(each))
        if attributes is not None:
            # As bytes it lies in a header under a checksum; as text it would not.
            file.attrs["attributes"] = np.bytes_(json.dumps(dict(attributes)))
        file["images"].resize(len(rows), axis=0)
        columns = {
            "bboxes": np.stack([_box_rows(row.xyxy, corners) for row in rows]),
            "labels": np.array([row.fractured for row in rows], dtype=np.int8),
            "split": np.array([NAMES.index(row.split) for row in rows], dtype=np.int8),
            "StudyInstanceUID": _texts([row.study for row in rows]),
            "SliceNumber": _texts([row.number for row in rows]),
        }
        for key, values in columns.items():
            file.create_dataset(key, data=values, fletcher32=True)


def normed(pixels: Pixels) -> Floats:
    """(H, W) float32 in [0, 1], the least of the slice 0 and its greatest 1."""
    values = pixels.astype(np.float32)
    low, high = values.min(), values.max()
    return np.asarray((values - low) / max(high - low, np.float32(1)), dtype=np.float32)


def _images(file: Any, shape: tuple[int, ...], row: int) -> Any:
    if row == 0:
        file.create_dataset(
            "images",
            (0, *shape),
            "float32",
            maxshape=(None, *shape),
            # A checksum is of a whole chunk: one slice must not cost the reading of others.
            chunks=(1, *shape),
            fletcher32=True,
        )
    images = file["images"]
    if row == len(images):
        images.resize(row + _ROWS_AHEAD, axis=0)
    return images


def _texts(texts: list[str]) -> Any:
    """An array in HDF5's type of UTF-8 texts as long as the longest."""
    with importing.LOCK:
        import h5py

    coded = [text.encode() for text in texts]
    return np.array(coded, dtype=h5py.string_dtype("utf-8", max(map(len, coded))))


def _without_image(row: Slice) -> Slice:
    return Slice(
        image=np.empty((0, 0), np.float32),
        xyxy=row.xyxy,
        fractured=row.fractured,
        split=row.split,
        study=row.study,
        number=row.number,
    )


def _box_rows(xyxy: Floats, corners: bool) -> Floats:
    if len(xyxy) > MOST_BOXES:
        raise ValueError(f"xyxy: expected at most {MOST_BOXES} boxes, got {len(xyxy)}")
    rows = np.full((MOST_BOXES, 4), 0.0 if corners else -1.0, dtype=np.float32)
    rows[: len(xyxy)] = xyxy if corners else boxes.xyxy_to_xywh(xyxy)
    return rows
