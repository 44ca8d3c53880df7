"""Boxes as tensors: normalised centre and size, and their generalised overlap."""

import torch
from torch import Tensor

# Below any box a picture can hold; keeps two boxes without area from dividing zero by zero.
_SMALLEST_AREA = 1e-12


def cxcywh_to_xyxy(cxcywh: Tensor) -> Tensor:
    """(…, 4) centre and size → (…, 4) corners."""
    centre, half = cxcywh[..., :2], cxcywh[..., 2:] / 2
    return torch.cat([centre - half, centre + half], dim=-1)


def generalised_iou(first_xyxy: Tensor, second_xyxy: Tensor) -> Tensor:
    """(…, 4) against (…, 4), broadcast → (…) in [−1, 1].

    IoU less the share of the enclosing box that neither covers (Rezatofighi et al. 2019). A
    pairwise table comes from (N, 1, 4) against (1, M, 4).
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
