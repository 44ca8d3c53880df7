"""The truth of a batch in the forms that losses want."""

from typing import NamedTuple

import torch
from torch import Tensor

from fracture_core.nets.set_loss import NO_OBJECT, Targets
from trainers.batches import NOTHING, Batch


class Truth(NamedTuple):
    """One picture of a batch with its n objects."""

    labels: Tensor
    """(n,) int64 classes from 0."""
    boxes_xyxy: Tensor
    """(n, 4) pixels, each with an area."""
    height: int
    width: int


def is_object(batch: Batch) -> Tensor:
    """(B, M) bool: whether there is an object whose box has an area."""
    has_area = (batch.boxes_xyxy[..., 2:] > batch.boxes_xyxy[..., :2]).all(dim=-1)
    return has_area & (batch.labels != NOTHING)


def set_targets(batch: Batch) -> Targets:
    """For set losses: boxes as shares of their pictures."""
    low, high = batch.boxes_xyxy[..., :2], batch.boxes_xyxy[..., 2:]
    width_height = batch.sizes.flip(1)[:, None].float()
    cxcywh = torch.cat([(low + high) / 2 / width_height, (high - low) / width_height], dim=-1)
    return Targets(torch.where(is_object(batch), batch.labels, NO_OBJECT), cxcywh)


def truth_a_picture(batch: Batch) -> list[Truth]:
    """For losses that take pictures one by one; the device is waited for once."""
    present = is_object(batch)
    order = present.int().argsort(dim=1, descending=True, stable=True)
    labels = batch.labels.gather(1, order)
    boxes = batch.boxes_xyxy.gather(1, order[..., None].expand(-1, -1, 4))
    facts = torch.cat([present.sum(dim=1, keepdim=True), batch.sizes], dim=1).tolist()
    return [
        Truth(labels[row, :count], boxes[row, :count], height, width)
        for row, (count, height, width) in enumerate(facts)
    ]
