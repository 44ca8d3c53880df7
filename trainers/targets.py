"""The set loss as a config asks for it.

The ground truth of a batch in the forms that losses want.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from fracture_core.nets.set_loss import NO_OBJECT, HungarianMatcher, SetCriterion, SetLoss, Targets
from trainers.family_configs import SetLossWeights
from trainers.training_module import NOTHING, Batch, Losses


def build_criterion(weights: SetLossWeights, class_count: int) -> SetCriterion:
    """The weights of the loss are those of the assignment's costs, too, as in DETR."""
    matcher = HungarianMatcher(
        class_cost=weights.class_weight, l1_cost=weights.l1_weight, giou_cost=weights.giou_weight
    )
    return SetCriterion(
        class_count=class_count,
        matcher=matcher,
        no_object_weight=weights.no_object_weight,
        class_weight=weights.class_weight,
        l1_weight=weights.l1_weight,
        giou_weight=weights.giou_weight,
    )


def set_losses(loss: SetLoss) -> Losses:
    """The weighted total of all layers, and the last layer's parts unweighted."""
    return {
        "loss": loss.total,
        "class": loss.of_class[-1].detach(),
        "l1": loss.l1[-1].detach(),
        "giou": loss.giou[-1].detach(),
    }


class Target(NamedTuple):
    """One image of a batch with its n objects."""

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
    """For set losses: boxes as shares of their images."""
    low, high = batch.boxes_xyxy[..., :2], batch.boxes_xyxy[..., 2:]
    width_height = batch.sizes.flip(1)[:, None].float()
    cxcywh = torch.cat([(low + high) / 2 / width_height, (high - low) / width_height], dim=-1)
    return Targets(torch.where(is_object(batch), batch.labels, NO_OBJECT), cxcywh)


def gt_of_an_image(batch: Batch) -> list[Target]:
    """For losses that take images one by one; the device is waited for once."""
    present = is_object(batch)
    order = present.int().argsort(dim=1, descending=True, stable=True)
    labels = batch.labels.gather(1, order)
    boxes = batch.boxes_xyxy.gather(1, order[..., None].expand(-1, -1, 4))
    facts = torch.cat([present.sum(dim=1, keepdim=True), batch.sizes], dim=1).tolist()
    return [
        Target(labels[row, :count], boxes[row, :count], height, width)
        for row, (count, height, width) in enumerate(facts)
    ]
