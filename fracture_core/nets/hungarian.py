"""Which query stands for which object: the cheapest assignment one to one."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from fracture_core.nets.giou import cxcywh_to_xyxy, generalised_iou
from fracture_core.nets.limits import check_weights
from fracture_core.nets.targets import NO_OBJECT, Targets


@dataclass(frozen=True, slots=True, kw_only=True)
class HungarianMatcher:
    """Assigns queries to objects at the least total cost (Carion et al. 2020).

    A pair costs −`class_cost` · probability of the object's class + `l1_cost` · L1 distance of
    the normalised boxes − `giou_cost` · generalised IoU.
    """

    class_cost: float = 1.0
    l1_cost: float = 5.0
    giou_cost: float = 2.0

    def __post_init__(self) -> None:
        check_weights(class_cost=self.class_cost, l1_cost=self.l1_cost, giou_cost=self.giou_cost)

    def costs(self, logits: Tensor, boxes_cxcywh: Tensor, targets: Targets) -> Tensor:
        """(layers, B, Q, K+1) logits and (layers, B, Q, 4) boxes → (layers, B, Q, M) float32."""
        layers, _, queries, _ = logits.shape
        labels = targets.labels.clamp(min=0)[None, :, None, :].expand(layers, -1, queries, -1)
        probability = logits.float().softmax(dim=-1).gather(dim=-1, index=labels)
        boxes, truth = boxes_cxcywh.float(), targets.boxes_cxcywh.float()
        distance = torch.cdist(boxes, truth.expand(layers, -1, -1, -1), p=1)
        overlap = generalised_iou(
            cxcywh_to_xyxy(boxes)[..., :, None, :], cxcywh_to_xyxy(truth)[:, None, :, :]
        )
        return self.l1_cost * distance - self.class_cost * probability - self.giou_cost * overlap

    @torch.no_grad()
    def assign(self, logits: Tensor, boxes_cxcywh: Tensor, targets: Targets) -> Tensor:
        """(layers, B, Q) int64: the object each query stands for in each layer, or −1.

        With more objects than queries the dearest objects go without. A pair whose cost is not
        finite is taken last. Costs of all layers leave the device in one transfer.
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
    for layer, picture in np.ndindex(*costs.shape[:2]):
        objects = np.flatnonzero(present[picture])
        queries, chosen = linear_sum_assignment(costs[layer, picture][:, objects])
        target_of[layer, picture, queries] = objects[chosen]
    return target_of
