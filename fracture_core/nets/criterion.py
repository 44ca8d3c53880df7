"""The loss of a detector that answers with a set (Carion et al. 2020, section 3.1)."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from fracture_core.nets.detr import DetrOutput
from fracture_core.nets.giou import cxcywh_to_xyxy, generalised_iou
from fracture_core.nets.hungarian import HungarianMatcher
from fracture_core.nets.limits import check_weights, check_whole
from fracture_core.nets.targets import NO_OBJECT, Targets


class SetLoss(NamedTuple):
    """The weighted total and its parts for each decoder layer, unweighted, the last layer last."""

    total: Tensor
    """() to call backward on"""
    of_class: Tensor
    """(layers,)"""
    l1: Tensor
    """(layers,)"""
    giou: Tensor
    """(layers,)"""


class SetCriterion(nn.Module):
    """Cross-entropy over all queries; L1 and generalised IoU over the assigned ones.

    Every layer is assigned and judged on its own. A query without an object belongs to the class
    "no object", which counts `no_object_weight` in the weighted mean of the cross-entropy. The
    box terms are divided by the number of objects in the batch, the mean over all processes where
    several train together.
    """

    class_weights: Tensor

    def __init__(
        self,
        *,
        class_count: int,
        matcher: HungarianMatcher,
        no_object_weight: float = 0.1,
        class_weight: float = 1.0,
        l1_weight: float = 5.0,
        giou_weight: float = 2.0,
    ) -> None:
        super().__init__()
        check_whole("class_count", class_count, 1, 10_000)
        check_weights(no_object_weight=no_object_weight)
        check_weights(class_weight=class_weight, l1_weight=l1_weight, giou_weight=giou_weight)
        self.matcher = matcher
        self.class_weight = class_weight
        self.l1_weight = l1_weight
        self.giou_weight = giou_weight
        class_weights = torch.ones(class_count + 1)
        class_weights[-1] = no_object_weight
        self.register_buffer("class_weights", class_weights, persistent=False)

    def forward(self, output: DetrOutput, targets: Targets) -> SetLoss:
        """Judge every layer of `output` against the truth; targets on the output's device.

        What its cells propose is judged alike, in the total alone.
        """
        logits = output.every_layers_logits().float()
        boxes_cxcywh = output.every_layers_boxes_cxcywh().float()
        target_of = self.matcher.assign(logits, boxes_cxcywh, targets)
        of_class = self._class_terms(logits, targets, target_of)
        l1, giou = _box_terms(boxes_cxcywh, targets, target_of)
        total = self.class_weight * of_class + self.l1_weight * l1 + self.giou_weight * giou
        summed = total.sum()
        if output.proposals is not None:
            summed = summed + self.forward(output.proposals, targets).total
        return SetLoss(summed, of_class, l1, giou)

    def _class_terms(self, logits: Tensor, targets: Targets, target_of: Tensor) -> Tensor:
        """(layers, B, Q, K+1) logits → (layers,) weighted mean cross-entropies."""
        labels = targets.labels.expand(len(logits), -1, -1)
        wanted = labels.gather(dim=-1, index=target_of.clamp(min=0))
        wanted = torch.where(target_of == NO_OBJECT, logits.shape[-1] - 1, wanted)
        losses = functional.cross_entropy(
            logits.movedim(-1, 1), wanted, self.class_weights, reduction="none"
        )
        return losses.sum(dim=(1, 2)) / self.class_weights[wanted].sum(dim=(1, 2))


def _box_terms(boxes_cxcywh: Tensor, targets: Targets, target_of: Tensor) -> tuple[Tensor, Tensor]:
    """(layers, B, Q, 4) boxes → L1 and GIoU terms, (layers,) each.

    Shapes never depend on how many objects there are, so a GPU is not waited for.
    """
    assigned = target_of != NO_OBJECT
    truth = targets.boxes_cxcywh.float().expand(len(boxes_cxcywh), -1, -1, -1)
    index = target_of.clamp(min=0)[..., None].expand(-1, -1, -1, 4)
    # Unassigned queries are held against themselves: nothing lost and nothing learnt.
    wanted = torch.where(assigned[..., None], truth.gather(dim=2, index=index), boxes_cxcywh)
    distance = (boxes_cxcywh - wanted).abs().sum(dim=-1)
    apart = 1 - generalised_iou(cxcywh_to_xyxy(boxes_cxcywh), cxcywh_to_xyxy(wanted))
    count = _object_count(targets)
    l1 = torch.where(assigned, distance, 0).sum(dim=(1, 2)) / count
    giou = torch.where(assigned, apart, 0).sum(dim=(1, 2)) / count
    return l1, giou


def _object_count(targets: Targets) -> Tensor:
    """() float32: objects in this process's batch, or the mean over all processes; at least 1."""
    count = (targets.labels != NO_OBJECT).sum().float()
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.all_reduce(count)
        count = count / torch.distributed.get_world_size()
    return count.clamp(min=1)
