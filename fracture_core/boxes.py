"""Boxes as arrays: xyxy in pixels of the original image, right and bottom edges exclusive.

Areas, overlaps and suppression are computed in float64, whatever comes in: the viewer's JavaScript
has no other numbers, and so gives the same results bit for bit.
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Float64s = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


def cxcywh_to_xyxy(cxcywh: Floats) -> Floats:
    """Turn (N, 4) centres and sizes into (N, 4) corners of the same unit.

    Example:
        >>> cxcywh_to_xyxy(np.array([[5.0, 5.0, 4.0, 2.0]])).tolist()
        [[3.0, 4.0, 7.0, 6.0]]
    """
    centre, half = cxcywh[:, :2], cxcywh[:, 2:] / 2
    return np.concatenate([centre - half, centre + half], axis=1)


def xyxy_to_cxcywh(xyxy: Floats) -> Floats:
    """Turn (N, 4) corners into (N, 4) centres and sizes of the same unit."""
    low, high = xyxy[:, :2], xyxy[:, 2:]
    return np.concatenate([(low + high) / 2, high - low], axis=1)


def xywh_to_xyxy(xywh: Floats) -> Floats:
    """Turn COCO's boxes, (N, 4) top left corners and sizes, into (N, 4) corners.

    Example:
        >>> xywh_to_xyxy(np.array([[10.0, 20.0, 5.0, 8.0]])).tolist()
        [[10.0, 20.0, 15.0, 28.0]]
    """
    return np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)


def xyxy_to_xywh(xyxy: Floats) -> Floats:
    """Turn (N, 4) corners into COCO's boxes, (N, 4) top left corners and sizes."""
    return np.concatenate([xyxy[:, :2], xyxy[:, 2:] - xyxy[:, :2]], axis=1)


def clip(xyxy: Floats, height: int, width: int) -> Floats:
    """Cut (N, 4) boxes to an image of `height` × `width` px; one outside it is left without area.

    Example:
        >>> clip(np.array([[-5.0, 10.0, 50.0, 90.0]]), height=60, width=40).tolist()
        [[0.0, 10.0, 40.0, 60.0]]
    """
    limits = np.array([width, height, width, height], dtype=xyxy.dtype)
    return np.clip(xyxy, 0, limits)


def has_area(xyxy: Floats) -> Bools:
    """Return (N,) bool, whether x1 < x2 and y1 < y2."""
    return (xyxy[:, 0] < xyxy[:, 2]) & (xyxy[:, 1] < xyxy[:, 3])


def area(xyxy: Floats) -> Float64s:
    """Return the (N,) float64 areas in square pixels.

    Example:
        >>> area(np.array([[0, 0, 2, 3]], dtype=np.float32)).tolist()
        [6.0]
    """
    corners: Float64s = xyxy.astype(np.float64)
    areas: Float64s = (corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1])
    return areas


def iou(first: Floats, second: Floats) -> Float64s:
    """Return the (N, M) float64 intersection over union, in [0, 1], of (N, 4) and (M, 4) boxes.

    Two boxes without area have an IoU of 0.

    Example:
        >>> iou(np.array([[0, 0, 4, 4]]), np.array([[0, 0, 4, 2], [9, 9, 10, 10]])).tolist()
        [[0.5, 0.0]]
    """
    a, b = first.astype(np.float64), second.astype(np.float64)
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    sides = np.maximum(high - low, 0.0)
    inter = sides[..., 0] * sides[..., 1]
    union = area(a)[:, None] + area(b)[None, :] - inter
    shares: Float64s = np.divide(inter, union, out=np.zeros_like(inter), where=union > 0)
    return shares


def centre_inside(first: Floats, second: Floats) -> Bools:
    """Return (N, M) bool, whether the centres of the first boxes lie in the second boxes.

    A centre on an edge lies inside.
    """
    corners = first.astype(np.float64)
    centre = (corners[:, None, :2] + corners[:, None, 2:]) / 2
    inside = (centre >= second[None, :, :2]) & (centre <= second[None, :, 2:])
    return np.asarray(inside.all(axis=2))


def nms(xyxy: Floats, labels: Int64s, nms_iou: float) -> Int64s:
    """Non-maximum suppression (NMS), greedy and class-wise, of boxes in falling order of score.

    A box is dropped when its IoU with a kept one of its class is above `nms_iou`; 1 keeps all.
    Returns the positions that are kept, int64, rising.

    Example:
        >>> xyxy = np.array([[0, 0, 4, 4], [0, 0, 4, 3], [8, 8, 9, 9]])
        >>> nms(xyxy, labels=np.array([0, 0, 0]), nms_iou=0.5).tolist()
        [0, 2]
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
