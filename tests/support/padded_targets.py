"""The targets of a set loss from lists, an image each."""

from collections.abc import Sequence

import torch
from torch import Tensor

from fracture_core.nets.set_loss import NO_OBJECT, Targets

_PLACEHOLDER_CXCYWH = 0.5


def pad_targets(
    labels: Sequence[Tensor], boxes_cxcywh: Sequence[Tensor], *, class_count: int
) -> Targets:
    """Pad labels (n,) and boxes (n, 4) of each image, n from 0, to a batch.

    Raises ValueError where shapes disagree, a label is not a class or a box has no area.
    """
    if len(labels) != len(boxes_cxcywh) or not labels:
        found = f"{len(labels)} and {len(boxes_cxcywh)}"
        raise ValueError(f"expected labels and boxes of the same images, found {found}")
    for image, (classes, boxes) in enumerate(zip(labels, boxes_cxcywh, strict=True)):
        _check(image, classes, boxes, class_count)
    # A batch without objects gets one empty column: nothing indexes into an empty dimension.
    most = max(1, *(len(classes) for classes in labels))
    batch = Targets(
        torch.full((len(labels), most), NO_OBJECT, dtype=torch.int64),
        torch.full((len(labels), most, 4), _PLACEHOLDER_CXCYWH, dtype=torch.float32),
    )
    for image, (classes, boxes) in enumerate(zip(labels, boxes_cxcywh, strict=True)):
        batch.labels[image, : len(classes)] = classes
        batch.boxes_cxcywh[image, : len(classes)] = boxes
    return batch


def _check(image: int, labels: Tensor, boxes_cxcywh: Tensor, class_count: int) -> None:
    if labels.dim() != 1 or boxes_cxcywh.shape != (len(labels), 4):
        shapes = f"{tuple(labels.shape)} and {tuple(boxes_cxcywh.shape)}"
        raise ValueError(f"image {image}: expected shapes (n,) and (n, 4), found {shapes}")
    if ((labels < 0) | (labels >= class_count)).any():
        found = labels.tolist()
        raise ValueError(f"image {image}: expected labels 0…{class_count - 1}, found {found}")
    if not (boxes_cxcywh.isfinite().all() and (boxes_cxcywh[:, 2:] > 0).all()):
        raise ValueError(f"image {image}: expected finite boxes with an area, found others")
