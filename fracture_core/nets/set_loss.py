"""The loss of a detector that answers with a set (Carion et al. 2020, section 3.1).

The ground truth of a batch is padded to one shape; each query is assigned to one object at the
least total cost, by class, distance and generalised IoU; then the assigned pairs and the queries
without an object are compared with the ground truth. Boxes are normalised centres and sizes.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn
from torch.nn import functional

from fracture_core.nets.detr import DetrOutput
from fracture_core.nets.limits import check_weights, check_whole

# ---- the ground truth of a batch ----------------------------------------------------------------

NO_OBJECT = -1


class Targets(NamedTuple):
    """The ground truth of B images with up to M objects each, M at least 1."""

    labels: Tensor
    """(B, M) int64 classes 0 … K−1; −1 fills up and means no object."""
    boxes_cxcywh: Tensor
    """(B, M, 4) float32 centre and size as shares of the unpadded image."""

    def to(self, device: torch.device) -> "Targets":
        """Return the same targets on a device."""
        return Targets(
            self.labels.to(device, non_blocking=True),
            self.boxes_cxcywh.to(device, non_blocking=True),
        )


# ---- boxes as tensors ---------------------------------------------------------------------------

# Smaller than any box that an image can hold; it keeps boxes without area from dividing by zero.
_SMALLEST_AREA = 1e-12


def cxcywh_to_xyxy(cxcywh: Tensor) -> Tensor:
    """Turn (…, 4) centres and sizes into (…, 4) corners."""
    centre, half = cxcywh[..., :2], cxcywh[..., 2:] / 2
    return torch.cat([centre - half, centre + half], dim=-1)


def generalised_iou(first_xyxy: Tensor, second_xyxy: Tensor) -> Tensor:
    """Return the generalised IoU in [−1, 1] of (…, 4) and (…, 4) boxes, broadcast to (…).

    It is the IoU less the share of the enclosing box that neither covers (Rezatofighi et al. 2019).
    Boxes (N, 1, 4) and (1, M, 4) give a table of all pairs.
    """
    shared = _area(
        torch.maximum(first_xyxy[..., :2], second_xyxy[..., :2]),
        torch.minimum(first_xyxy[..., 2:], second_xyxy[..., 2:]),
    )
    enclosing = _area(
        torch.minimum(first_xyxy[..., :2], second_xyxy[..., :2]),
        torch.maximum(first_xyxy[..., 2:], second_xyxy[..., 2:]),
    ).clamp(min=_SMALLEST_AREA)
    areas = _area(first_xyxy[..., :2], first_xyxy[..., 2:]) + _area(
        second_xyxy[..., :2], second_xyxy[..., 2:]
    )
    union = areas - shared
    iou = shared / union.clamp(min=_SMALLEST_AREA)
    return iou - (enclosing - union) / enclosing


def _area(low: Tensor, high: Tensor) -> Tensor:
    sides = (high - low).clamp(min=0)
    return sides[..., 0] * sides[..., 1]


# ---- which query stands for which object --------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class HungarianMatcher:
    """Assigns queries to objects one to one at the least total cost (Carion et al. 2020).

    A pair costs −`class_cost` · probability of the object's class + `l1_cost` · L1 distance of
    the normalised boxes − `giou_cost` · generalised IoU. Raises ConfigError for negative weights,
    or where all are 0.
    """

    class_cost: float = 1.0
    l1_cost: float = 5.0
    giou_cost: float = 2.0

    def __post_init__(self) -> None:
        check_weights(class_cost=self.class_cost, l1_cost=self.l1_cost, giou_cost=self.giou_cost)

    def costs(self, logits: Tensor, boxes_cxcywh: Tensor, targets: Targets) -> Tensor:
        """Return the costs of all pairs, (layers, B, Q, M) float32.

        They come from logits (layers, B, Q, K+1) and boxes (layers, B, Q, 4).
        """
        layers, _, queries, _ = logits.shape
        labels = targets.labels.clamp(min=0)[None, :, None, :].expand(layers, -1, queries, -1)
        probability = logits.float().softmax(dim=-1).gather(dim=-1, index=labels)
        boxes, ground_truth = boxes_cxcywh.float(), targets.boxes_cxcywh.float()
        distance = torch.cdist(boxes, ground_truth.expand(layers, -1, -1, -1), p=1)
        overlap = generalised_iou(
            cxcywh_to_xyxy(boxes)[..., :, None, :], cxcywh_to_xyxy(ground_truth)[:, None, :, :]
        )
        return self.l1_cost * distance - self.class_cost * probability - self.giou_cost * overlap

    @torch.no_grad()
    def assign(self, logits: Tensor, boxes_cxcywh: Tensor, targets: Targets) -> Tensor:
        """Return (layers, B, Q) int64, the object that each query stands for in each layer, or −1.

        Where there are more objects than queries, the most costly ones are left without. A pair
        whose cost is NaN is taken last. Costs of all layers leave the device in one transfer.
        """
        costs = self.costs(logits, boxes_cxcywh, targets)
        finite = torch.nan_to_num(costs, nan=torch.finfo(costs.dtype).max)
        present = (targets.labels != NO_OBJECT).cpu().numpy()
        target_of = _assign_each(finite.cpu().numpy(), present)
        return torch.from_numpy(target_of).to(logits.device, non_blocking=True)


def _assign_each(
    costs: npt.NDArray[np.float32], present: npt.NDArray[np.bool_]
) -> npt.NDArray[np.int64]:
    """(layers, B, Q, M) costs, (B, M) whether an object is there → (layers, B, Q)."""
    target_of = np.full(costs.shape[:3], NO_OBJECT, dtype=np.int64)
    for layer, image in np.ndindex(*costs.shape[:2]):
        objects = np.flatnonzero(present[image])
        queries, chosen = linear_sum_assignment(costs[layer, image][:, objects])
        target_of[layer, image, queries] = objects[chosen]
    return target_of


# ---- the loss -----------------------------------------------------------------------------------


class SetLoss(NamedTuple):
    """The weighted total and its parts for each decoder layer, unweighted, the last layer last."""

    total: Tensor
    """() the sum over all layers, to call backward on"""
    of_class: Tensor
    """(layers,) the cross-entropy of the classes"""
    l1: Tensor
    """(layers,) the L1 distance of the assigned boxes"""
    giou: Tensor
    """(layers,) 1 − the generalised IoU of the assigned boxes"""


class SetCriterion(nn.Module):
    """Cross-entropy over all queries; L1 and generalised IoU over the assigned ones.

    The queries of every layer are assigned anew. A query without an object belongs to the class
    "no object", which counts `no_object_weight` in the weighted mean of the cross-entropy. The
    box terms are divided by the number of objects in the batch, or where several processes train
    together by its mean over them. Raises ConfigError for counts or weights that cannot be.
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
        """Compare every layer of `output` with the ground truth, on the device of the output.

        What its cells propose is compared alike, and adds to the total alone.
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

    Shapes do not depend on how many objects there are, so the GPU never has to be waited for.
    """
    assigned = target_of != NO_OBJECT
    ground_truth = targets.boxes_cxcywh.float().expand(len(boxes_cxcywh), -1, -1, -1)
    index = target_of.clamp(min=0)[..., None].expand(-1, -1, -1, 4)
    # Queries without an object are compared with themselves: no loss and no gradient.
    wanted = torch.where(assigned[..., None], ground_truth.gather(dim=2, index=index), boxes_cxcywh)
    distance = (boxes_cxcywh - wanted).abs().sum(dim=-1)
    apart = 1 - generalised_iou(cxcywh_to_xyxy(boxes_cxcywh), cxcywh_to_xyxy(wanted))
    count = _object_count(targets)
    l1 = torch.where(assigned, distance, 0).sum(dim=(1, 2)) / count
    giou = torch.where(assigned, apart, 0).sum(dim=(1, 2)) / count
    return l1, giou


def _object_count(targets: Targets) -> Tensor:
    """() float32, the objects in this process's batch or their mean over processes, 1 at least."""
    count = (targets.labels != NO_OBJECT).sum().float()
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.all_reduce(count)
        count = count / torch.distributed.get_world_size()
    return count.clamp(min=1)
