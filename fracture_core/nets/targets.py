"""The truth of a batch in the form set losses want: padded to one shape."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

NO_OBJECT = -1
_PLACEHOLDER_CXCYWH = 0.5


class Targets(NamedTuple):
    """B pictures with up to M objects each, M at least 1."""

    labels: Tensor
    """(B, M) int64 classes 0 … K−1; −1 fills up and means no object."""
    boxes_cxcywh: Tensor
    """(B, M, 4) float32 centre and size as shares of the unpadded picture."""

    def to(self, device: torch.device) -> "Targets":
        return Targets(
            self.labels.to(device, non_blocking=True),
            self.boxes_cxcywh.to(device, non_blocking=True),
        )


def pad_targets(
    labels: Sequence[Tensor], boxes_cxcywh: Sequence[Tensor], *, class_count: int
) -> Targets:
    """Pad one (n,) tensor of labels and one (n, 4) of boxes a picture, n from 0, to a batch.

    Raises ValueError where shapes disagree, a label is not a class or a box has no area.
    """
    if len(labels) != len(boxes_cxcywh) or not labels:
        found = f"{len(labels)} and {len(boxes_cxcywh)}"
        raise ValueError(f"expected labels and boxes of the same images, found {found}")
    for picture, (classes, boxes) in enumerate(zip(labels, boxes_cxcywh, strict=True)):
        _check(picture, classes, boxes, class_count)
    # A batch without objects gets one empty column: nothing indexes into an empty dimension.
    most = max(1, *(len(classes) for classes in labels))
    batch = Targets(
        torch.full((len(labels), most), NO_OBJECT, dtype=torch.int64),
        torch.full((len(labels), most, 4), _PLACEHOLDER_CXCYWH, dtype=torch.float32),
    )
    for picture, (classes, boxes) in enumerate(zip(labels, boxes_cxcywh, strict=True)):
        batch.labels[picture, : len(classes)] = classes
        batch.boxes_cxcywh[picture, : len(classes)] = boxes
    return batch


def _check(picture: int, labels: Tensor, boxes_cxcywh: Tensor, class_count: int) -> None:
    if labels.dim() != 1 or boxes_cxcywh.shape != (len(labels), 4):
        shapes = f"{tuple(labels.shape)} and {tuple(boxes_cxcywh.shape)}"
        raise ValueError(f"image {picture}: expected shapes (n,) and (n, 4), found {shapes}")
    if ((labels < 0) | (labels >= class_count)).any():
        found = labels.tolist()
        raise ValueError(f"image {picture}: expected labels 0…{class_count - 1}, found {found}")
    if not (boxes_cxcywh.isfinite().all() and (boxes_cxcywh[:, 2:] > 0).all()):
        raise ValueError(f"image {picture}: expected finite boxes with an area, found others")
