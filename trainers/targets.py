"""What losses take: DETR's set loss (Carion et al. 2020) as a config asks for it, and the targets.

The ground truth of a batch comes in two forms: for all images at once (`set_targets`), and image by
image (`targets_by_image`).
"""

from typing import NamedTuple

import torch
from torch import Tensor

from fracture_core.nets.set_loss import NO_OBJECT, HungarianMatcher, SetCriterion, SetLoss, Targets
from trainers.family_configs import SetLossWeights
from trainers.training_module import NOTHING, Batch, Losses


def build_criterion(weights: SetLossWeights, class_count: int) -> SetCriterion:
    """Build the set loss; its weights are also the costs of the assignment, as in DETR."""
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
    """Return the weighted total of all layers as "loss", and the last layer's parts unweighted."""
    return {
        "loss": loss.total,
        "class": loss.of_class[-1].detach(),
        "l1": loss.l1[-1].detach(),
        "giou": loss.giou[-1].detach(),
    }


class Target(NamedTuple):
    """The n objects of one image of a batch, and the image's size in pixels."""

    labels: Tensor
    """(n,) int64 classes from 0."""
    boxes_xyxy: Tensor
    """(n, 4) float32 in pixels, each with an area above 0."""
    height: int
    width: int


def is_object(batch: Batch) -> Tensor:
    """Return (B, M) bool, True where there is an object whose box has an area."""
    has_area = (batch.boxes_xyxy[..., 2:] > batch.boxes_xyxy[..., :2]).all(dim=-1)
    return has_area & (batch.labels != NOTHING)


def set_targets(batch: Batch) -> Targets:
    """Return the targets of the set loss: labels, and boxes cxcywh as shares of their images."""
    low, high = batch.boxes_xyxy[..., :2], batch.boxes_xyxy[..., 2:]
    width_height = batch.sizes.flip(1)[:, None].float()
    cxcywh = torch.cat([(low + high) / 2 / width_height, (high - low) / width_height], dim=-1)
    return Targets(torch.where(is_object(batch), batch.labels, NO_OBJECT), cxcywh)


def targets_by_image(batch: Batch) -> list[Target]:
    """Return the objects of each image of a batch; the device is waited for once."""
    present = is_object(batch)
    order = present.int().argsort(dim=1, descending=True, stable=True)
    labels = batch.labels.gather(1, order)
    boxes = batch.boxes_xyxy.gather(1, order[..., None].expand(-1, -1, 4))
    facts = torch.cat([present.sum(dim=1, keepdim=True), batch.sizes], dim=1).tolist()
    return [
        Target(labels[row, :count], boxes[row, :count], height, width)
        for row, (count, height, width) in enumerate(facts)
    ]
