"""The images of a folder as Ultralytics' trainer takes them, and random crops of them.

What an index gives depends on it and on the random numbers drawn, never on what was read before:
there are no caches, so that a resumed training sees the same images.
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
from trainers.augmentation import UNCHANGED
from trainers.config import Augment
from trainers.packed import rows_of_epoch

_instance = quiet_ultralytics.part("ultralytics.utils.instance")
Array = npt.NDArray[Any]


# ---- crops --------------------------------------------------------------------------------------


def cut(found: dict[str, Any], image: Array, augment: Augment, side_px: int) -> dict[str, Any]:
    """Return Ultralytics' record of a random crop in place of that of the image, `found`.

    `image` is (H, W) or (H, W, C) at its stored size; the crop is scaled to a longer side of
    `side_px`. Objects of which less than `augment.least_left` of the area is left are dropped.
    """
    height, width = image.shape[:2]
    instances = found["instances"]
    instances.convert_bbox("xyxy")
    instances.denormalize(width, height)
    left, top, right, bottom = _place(instances.bboxes, height, width, augment)
    place = (left, top, right, bottom)
    boxes, outlines, kept = _moved(instances, place, augment.least_left)
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
    """Left, top, right and bottom of a random crop, in pixels."""
    shares = [augment.crop_least + (1 - augment.crop_least) * random.random() for _ in range(2)]
    wide, high = max(1, round(width * shares[0])), max(1, round(height * shares[1]))
    around = len(boxes_xyxy) > 0 and random.random() < augment.around
    box = random.choice(list(boxes_xyxy)) if around else np.array([width, height, 0, 0])
    left = _start(box[0], box[2], wide, width)
    top = _start(box[1], box[3], high, height)
    return left, top, left + wide, top + high


def _start(low: float, high: float, length: int, side: int) -> int:
    """Where a crop of `length` begins on a side so that it contains [low, high].

    Where that interval is longer than the crop, the crop is centred on it. With low beyond high,
    as for a crop anywhere, nothing has to be contained.
    """
    least, most = max(0.0, high - length), min(low, side - length)
    start = random.uniform(least, most) if least <= most else (low + high - length) / 2
    return min(max(0, round(start)), side - length)


def _moved(
    instances: Any, part: tuple[int, int, int, int], least_left: float
) -> tuple[Array, Array, Array]:
    """Boxes and outlines in pixels of the crop, and which objects are kept."""
    low, high = np.array(part[:2]), np.array(part[2:])
    corners = instances.bboxes.reshape(-1, 2, 2)
    areas = (corners[:, 1] - corners[:, 0]).prod(axis=1)
    corners = corners.clip(low, high) - low
    outlines = instances.segments
    if len(outlines):
        outlines = outlines.clip(low, high) - low
        corners = np.stack([outlines.min(axis=1), outlines.max(axis=1)], axis=1)
    sides = corners[:, 1] - corners[:, 0]
    kept = (sides > 0).all(axis=1) & (sides.prod(axis=1) >= least_left * areas)
    boxes = corners.reshape(-1, 4)[kept].astype(np.float32)
    return boxes, (outlines[kept] if len(outlines) else outlines).astype(np.float32), kept


def _resized(part: Array, side_px: int) -> Array:
    height, width = part.shape[:2]
    ratio = side_px / max(height, width)
    size = [max(1, min(round(side * ratio), side_px)) for side in (width, height)]
    resized: Array = cv2.resize(part, size, interpolation=cv2.INTER_LINEAR)
    return resized[..., None] if resized.ndim == 2 else resized


# ---- images of a split --------------------------------------------------------------------------

_dataset = quiet_ultralytics.part("ultralytics.data.dataset")


class Images(_dataset.YOLODataset):  # type: ignore[misc,name-defined]
    """One split of a `trainers.yolo.folder`; after `draw` an epoch goes through a part of it.

    `crops` says how often a crop is given in place of the whole image.
    """

    crops: Augment = UNCHANGED
    _rows: list[int] | None = None

    def draw(self, normals: float, generator: torch.Generator) -> None:
        """Choose the images of an epoch: all with an object, and `normals` others for each of them.

        The others are drawn by `generator`.
        """
        found = torch.tensor([len(label["cls"]) > 0 for label in self.labels])
        self._rows = rows_of_epoch(found, normals, generator).tolist()

    def __len__(self) -> int:
        return len(self.labels) if self._rows is None else len(self._rows)

    def get_image_and_label(self, index: int) -> dict[str, Any]:
        """Return Ultralytics' record of the image at an index of the epoch, or of a crop of it."""
        row = index if self._rows is None else self._rows[index]
        found: dict[str, Any] = super().get_image_and_label(row)
        # Without crops no number is drawn, so that such trainings stay as they were before crops.
        if not self.crops.crop or random.random() >= self.crops.crop:
            return found
        return cut(found, self._read(row), self.crops, self.imgsz)

    def get_img_files(self, img_path: str) -> list[str]:
        """Return the paths of the split's images in the order of their names."""
        return sorted(str(path) for path in Path(img_path).glob("*.png"))

    def get_labels(self) -> list[dict[str, Any]]:
        """Return Ultralytics' label of each image, read without its cache file."""
        return [_read_label(Path(file), outlines=self.use_segments) for file in self.im_files]

    def load_image(
        self, i: int, rect_mode: bool = True, resize_short: bool = False
    ) -> tuple[Array, tuple[int, int], tuple[int, int]]:
        """Return an image with its longer side as long as the input's, (H, W, C) uint8.

        Its (height, width) before and after follow.
        """
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
        """The image as stored, (H, W) or (H, W, C)."""
        image: Array | None = cv2.imread(self.im_files[row], self.cv2_flag)
        if image is None:
            raise DatasetError(Path(self.im_files[row]), expected="an image", found="a broken file")
        return image

    def build_transforms(self, hyp: Any) -> Any:
        """Return Ultralytics' augmentation, without Albumentations."""
        # With "ram" mosaics draw from all images, otherwise from those read last, which are others
        # in a resumed training. Nothing is cached, as `load_image` is ours.
        self.cache = "ram"
        composed = super().build_transforms(hyp)
        # Ultralytics applies Albumentations wherever that library happens to be installed.
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
    """The box around the (P, 2) points of an outline: centre x and y, width, height."""
    low, high = ring.min(axis=0), ring.max(axis=0)
    return np.concatenate([(low + high) / 2, high - low])
