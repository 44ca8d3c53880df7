"""Boxes as arrays: xyxy in pixels of the original image, right and bottom edges exclusive.

All arithmetic is in float64 so that the viewer's JavaScript, which has no other numbers, gives
the same answers bit for bit.
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Float64s = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


def cxcywh_to_xyxy(cxcywh: Floats) -> Floats:
    """(N, 4) centre and size → (N, 4) corners, same unit."""
    centre, half = cxcywh[:, :2], cxcywh[:, 2:] / 2
    return np.concatenate([centre - half, centre + half], axis=1)


def xyxy_to_cxcywh(xyxy: Floats) -> Floats:
    """(N, 4) corners → (N, 4) centre and size, same unit."""
    low, high = xyxy[:, :2], xyxy[:, 2:]
    return np.concatenate([(low + high) / 2, high - low], axis=1)


def xywh_to_xyxy(xywh: Floats) -> Floats:
    """(N, 4) top left corner and size (COCO) → (N, 4) corners."""
    return np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)


def xyxy_to_xywh(xyxy: Floats) -> Floats:
    """(N, 4) corners → (N, 4) top left corner and size (COCO)."""
    return np.concatenate([xyxy[:, :2], xyxy[:, 2:] - xyxy[:, :2]], axis=1)


def clip(xyxy: Floats, height: int, width: int) -> Floats:
    """(N, 4) boxes cut to the image; a box outside it comes back with no area."""
    limits = np.array([width, height, width, height], dtype=xyxy.dtype)
    return np.clip(xyxy, 0, limits)


def has_area(xyxy: Floats) -> Bools:
    """(N,) whether x1 < x2 and y1 < y2."""
    return (xyxy[:, 0] < xyxy[:, 2]) & (xyxy[:, 1] < xyxy[:, 3])


def area(xyxy: Floats) -> Float64s:
    """(N,) areas in square pixels."""
    corners: Float64s = xyxy.astype(np.float64)
    areas: Float64s = (corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1])
    return areas


def iou(first: Floats, second: Floats) -> Float64s:
    """(N, 4) against (M, 4) → (N, M) intersection over union in [0, 1]."""
    a, b = first.astype(np.float64), second.astype(np.float64)
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    sides = np.maximum(high - low, 0.0)
    inter = sides[..., 0] * sides[..., 1]
    union = area(a)[:, None] + area(b)[None, :] - inter
    shares: Float64s = np.divide(inter, union, out=np.zeros_like(inter), where=union > 0)
    return shares


def centre_inside(first: Floats, second: Floats) -> Bools:
    """(N, 4) against (M, 4) → (N, M) whether the centre of the first lies in the second, edges
    included.
    """
    corners = first.astype(np.float64)
    centre = (corners[:, None, :2] + corners[:, None, 2:]) / 2
    inside = (centre >= second[None, :, :2]) & (centre <= second[None, :, 2:])
    return np.asarray(inside.all(axis=2))


def nms(xyxy: Floats, labels: Int64s, nms_iou: float) -> Int64s:
    """Greedy class-wise non-maximum suppression of boxes already in falling order of score.

    A box falls when its IoU with a kept one of its class is above `nms_iou`; 1 keeps everything.
    Returns the kept positions, rising.
    """
    if nms_iou >= 1:
        return np.arange(len(labels), dtype=np.int64)
    kept = [
        where[_nms_one_class(xyxy[where], nms_iou)]
        for where in (np.flatnonzero(labels == label) for label in np.unique(labels))
    ]
    return np.sort(np.concatenate(kept)).astype(np.int64) if kept else np.empty(0, dtype=np.int64)


def _nms_one_class(xyxy: Floats, nms_iou: float) -> Int64s:
    overlaps = np.triu(iou(xyxy, xyxy) > nms_iou, k=1)
    alive = np.ones(len(xyxy), dtype=np.bool_)
    for i in np.flatnonzero(overlaps.any(axis=1)):
        if alive[i]:
            alive &= ~overlaps[i]
    return np.flatnonzero(alive)
