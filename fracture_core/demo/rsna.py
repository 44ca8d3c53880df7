"""The RSNA layout: CT slices of one size with boxes, labels and splits in one HDF5 file.

`images` float32 in [0, 1], least to greatest of each slice · `bboxes` (N, 10, 4) · `labels`,
`split` int8 · `StudyInstanceUID`, `SliceNumber` texts.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from fracture_core import boxes
from fracture_core.boxes import Floats
from fracture_core.demo.coco import SPLITS
from fracture_core.types import Detections, Sample

MOST_BOXES = 10
_CHUNK = 32


def write(samples: Iterable[Sample], path: Path, *, corners: bool) -> None:
    """Boxes as xywh padded with −1, or where `corners` as xyxy padded with 0."""
    import h5py

    text = h5py.string_dtype()
    with h5py.File(path, "w") as file:
        columns: dict[str, list[object]] = {
            key: [] for key in ("labels", "split", "StudyInstanceUID", "SliceNumber")
        }
        rows: list[Floats] = []
        images = None
        for number, sample in enumerate(samples):
            shape = (sample.height, sample.width)
            if images is None:
                images = file.create_dataset(
                    "images",
                    (0, *shape),
                    "float32",
                    maxshape=(None, *shape),
                    chunks=(_CHUNK, *shape),
                )
            if number == len(images):
                images.resize(number + _CHUNK, axis=0)
            images[number] = _normed(sample)
            truth = sample.truth or Detections.empty()
            rows.append(_box_rows(truth, corners))
            columns["labels"].append(int(len(truth) > 0))
            columns["split"].append(SPLITS.index(sample.split))
            columns["StudyInstanceUID"].append(sample.group_id)
            columns["SliceNumber"].append(sample.sample_id.rpartition("/")[2])
        if images is not None:
            images.resize(len(rows), axis=0)
        file["bboxes"] = np.stack(rows).astype(np.float32)
        for key, values in columns.items():
            dtype = "int8" if key in ("labels", "split") else text
            file.create_dataset(key, data=values, dtype=dtype)


def _normed(sample: Sample) -> Floats:
    pixels = sample.pixels.astype(np.float32)
    low, high = pixels.min(), pixels.max()
    return np.asarray((pixels - low) / max(high - low, np.float32(1)), dtype=np.float32)


def _box_rows(truth: Detections, corners: bool) -> Floats:
    if len(truth) > MOST_BOXES:
        raise ValueError(f"truth: expected at most {MOST_BOXES} boxes, got {len(truth)}")
    rows = np.full((MOST_BOXES, 4), 0.0 if corners else -1.0)
    rows[: len(truth)] = truth.xyxy if corners else boxes.xyxy_to_xywh(truth.xyxy)
    return rows
