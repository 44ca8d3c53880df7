"""A part of an image in place of the whole, with the boxes and outlines that lie in it.

The folder as Ultralytics' trainer takes its images from it, without caches.

What it gives depends on the index and on the random numbers drawn, never on what was read before.
"""

import math
import random
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from fracture_core.errors import DatasetError
from fracture_core.models import quiet_ultralytics
from trainers.augmentation import LEAST_SHARE_LEFT, UNCHANGED
from trainers.config import Augment
from trainers.packed import rows_of_epoch

_instance = quiet_ultralytics.part("ultralytics.utils.instance")
Array = npt.NDArray[Any]


def cut(found: dict[str, Any], image: Array, augment: Augment, side_px: int) -> dict[str, Any]:
    """Ultralytics' record of an image, replaced by that of a random part of it.

    `image` is (H, W) or (H, W, C) at the size it is stored at; the part's longer side becomes
    `side_px`. Objects of which less than LEAST_SHARE_LEFT of the area is left are dropped.
    """
    height, width = image.shape[:2]
    instances = found["instances"]
    instances.convert_bbox("xyxy")
    instances.denormalize(width, height)
    left, top, right, bottom = _place(instances.bboxes, height, width, augment)
    boxes, outlines, kept = _moved(instances, (left, top, right, bottom))
    part = _resized(image[top:bottom, left:right], side_px)
    size = (bottom - top, right - left)
    new = _instance.Instances(boxes, outlines, bbox_format="xyxy", normalized=False)
    new.normalize(size[1], size[0])
    new.convert_bbox("xywh")
    ratio = (part.shape[0] / size[0], part.shape[1] / size[1])
    shapes = {"ori_shape": size, "resized_shape": part.shape[:2], "ratio_pad": ratio}
    return {**found, **shapes, "img": part, "instances": new, "cls": found["cls"][kept]}


def _place(
    boxes_xyxy: Array, height: int, width: int, augment: Augment
) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the part, in pixels."""
    shares = [augment.crop_least + (1 - augment.crop_least) * random.random() for _ in range(2)]
    wide, high = max(1, round(width * shares[0])), max(1, round(height * shares[1]))
    around = len(boxes_xyxy) > 0 and random.random() < augment.around
    box = random.choice(list(boxes_xyxy)) if around else np.array([width, height, 0, 0])
    left = _start(box[0], box[2], wide, width)
    top = _start(box[1], box[3], high, height)
    return left, top, left + wide, top + high


def _start(low: float, high: float, length: int, side: int) -> int:
    """Where a part of `length` begins that holds [low, high], or its middle where it is longer.

    low beyond high asks for nothing to be held.
    """
    least, most = max(0.0, high - length), min(low, side - length)
    start = random.uniform(least, most) if least <= most else (low + high - length) / 2
    return min(max(0, round(start)), side - length)


def _moved(instances: Any, part: tuple[int, int, int, int]) -> tuple[Array, Array, Array]:
    """Boxes and outlines in pixels of the part, and which objects are left."""
    low, high = np.array(part[:2]), np.array(part[2:])
    corners = instances.bboxes.reshape(-1, 2, 2)
    areas = (corners[:, 1] - corners[:, 0]).prod(axis=1)
    corners = corners.clip(low, high) - low
    outlines = instances.segments
    if len(outlines):
        outlines = outlines.clip(low, high) - low
        corners = np.stack([outlines.min(axis=1), outlines.max(axis=1)], axis=1)
    sides = corners[:, 1] - corners[:, 0]
    kept = (sides > 0).all(axis=1) & (sides.prod(axis=1) >= LEAST_SHARE_LEFT * areas)
    boxes = corners.reshape(-1, 4)[kept].astype(np.float32)
    return boxes, (outlines[kept] if len(outlines) else outlines).astype(np.float32), kept


def _resized(part: Array, side_px: int) -> Array:
    height, width = part.shape[:2]
    ratio = side_px / max(height, width)
    size = [max(1, min(round(side * ratio), side_px)) for side in (width, height)]
    resized: Array = cv2.resize(part, size, interpolation=cv2.INTER_LINEAR)
    return resized[..., None] if resized.ndim == 2 else resized


_dataset = quiet_ultralytics.part("ultralytics.data.dataset")


class Images(_dataset.YOLODataset):  # type: ignore[misc,name-defined]
    """One split; see `trainers.yolo.folder`. With `draw` an epoch goes through a part of it.

    `crops` says how often a part of an image is given in place of the whole.
    """

    crops: Augment = UNCHANGED
    _rows: list[int] | None = None

    def draw(self, normals: float, generator: torch.Generator) -> None:
        """Of the images without an object take `normals` for each image with one, at random."""
        found = torch.tensor([len(label["cls"]) > 0 for label in self.labels])
        self._rows = rows_of_epoch(found, normals, generator).tolist()

    def __len__(self) -> int:
        return len(self.labels) if self._rows is None else len(self._rows)

    def get_image_and_label(self, index: int) -> dict[str, Any]:
        row = index if self._rows is None else self._rows[index]
        found: dict[str, Any] = super().get_image_and_label(row)
        # No number is drawn where there are no crops: trainings go on as they went before.
        if not self.crops.crop or random.random() >= self.crops.crop:
            return found
        return cut(found, self._read(row), self.crops, self.imgsz)

    def get_img_files(self, img_path: str) -> list[str]:
        return sorted(str(path) for path in Path(img_path).glob("*.png"))

    def get_labels(self) -> list[dict[str, Any]]:
        return [_read_label(Path(file), outlines=self.use_segments) for file in self.im_files]

    def load_image(
        self, i: int, rect_mode: bool = True, resize_short: bool = False
    ) -> tuple[Array, tuple[int, int], tuple[int, int]]:
        """The image with its longer side as long as the input's; its size before and after."""
        image = self._read(i)
        height, width = image.shape[:2]
        ratio = self.imgsz / max(height, width)
        if ratio != 1:
            size = [min(math.ceil(side * ratio), self.imgsz) for side in (width, height)]
            image = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
        if image.ndim == 2:
            image = image[..., None]
        return image, (height, width), (image.shape[0], image.shape[1])

    def _read(self, row: int) -> Array:
        """(H, W) or (H, W, C) as stored."""
        image: Array | None = cv2.imread(self.im_files[row], self.cv2_flag)
        if image is None:
            raise DatasetError(Path(self.im_files[row]), expected="an image", found="a broken file")
        return image

    def build_transforms(self, hyp: Any) -> Any:
        # Mosaics then draw from all images, not from those read last: a resumed training has
        # read others.
        self.cache = "ram"
        composed = super().build_transforms(hyp)
        # Applied, where that library happens to be installed, without being asked for.
        composed.transforms = [
            each for each in composed.transforms if type(each).__name__ != "Albumentations"
        ]
        return composed


def _read_label(image: Path, *, outlines: bool) -> dict[str, Any]:
    label = image.parent.parent / "labels" / f"{image.stem}.txt"
    rows = [
        np.array(line.split(), dtype=np.float32)
        for line in label.read_text(encoding="utf-8").splitlines()
    ]
    rings = [row[1:].reshape(-1, 2) for row in rows]
    found = [_around(ring) if outlines else ring.reshape(-1) for ring in rings]
    with Image.open(image) as opened:
        width, height = opened.size
    return {
        "im_file": str(image),
        "shape": (height, width),
        "cls": np.array([row[0] for row in rows], dtype=np.float32).reshape(-1, 1),
        "bboxes": np.array(found, dtype=np.float32).reshape(-1, 4),
        "segments": rings if outlines else [],
        "keypoints": None,
        "normalized": True,
        "bbox_format": "xywh",
    }


def _around(ring: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(P, 2) → centre and size of the box around it."""
    low, high = ring.min(axis=0), ring.max(axis=0)
    return np.concatenate([(low + high) / 2, high - low])
