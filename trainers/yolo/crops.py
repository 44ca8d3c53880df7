"""A part of a picture in place of the whole, with the boxes and outlines that lie in it."""

import random
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from fracture_core.models import quiet_ultralytics
from trainers.config import Augment
from trainers.geometry import LEAST_SHARE_LEFT

_instance = quiet_ultralytics.part("ultralytics.utils.instance")
Array = npt.NDArray[Any]


def cut(found: dict[str, Any], picture: Array, augment: Augment, side_px: int) -> dict[str, Any]:
    """Ultralytics' record of a picture, replaced by that of a random part of it.

    `picture` is (H, W) or (H, W, C) at the size it is stored at; the part's longer side becomes
    `side_px`. Objects of which less than LEAST_SHARE_LEFT of the area is left are dropped.
    """
    height, width = picture.shape[:2]
    instances = found["instances"]
    instances.convert_bbox("xyxy")
    instances.denormalize(width, height)
    left, top, right, bottom = _place(instances.bboxes, height, width, augment)
    boxes, outlines, kept = _moved(instances, (left, top, right, bottom))
    part = _resized(picture[top:bottom, left:right], side_px)
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
