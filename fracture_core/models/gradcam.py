"""Grad-CAM (Selvaraju et al. 2017): feature maps weighted by how much each bears on a score.

Captum finds layers by hooks, and hooks on a network would see the passes of other threads too.
So the network is cut instead: its first part runs without gradients, and the hook sits on a layer
that lives for one call, between the features and the rest. Nothing is left behind.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

METHOD = "Grad-CAM"


def grad_cam(score: Callable[..., Tensor], features: Sequence[Tensor]) -> list[Tensor]:
    """One (h, w) map ≥ 0 for each of the (1, C, h, w) `features`, in the unit of the score.

    `score` computes a tensor of one element from the features; those it does not depend on get
    a map of zeros.
    """
    from captum.attr import LayerGradCam

    cut = _Cut()

    def score_of(*inputs: Tensor) -> Tensor:
        return score(*cut(*inputs)).reshape(1)

    with torch.enable_grad():
        leaves = tuple(level.detach().requires_grad_() for level in features)
        maps = LayerGradCam(score_of, cut).attribute(
            leaves,
            relu_attributions=True,
            grad_kwargs={"allow_unused": True, "materialize_grads": True},
        )
    return [one[0, 0].detach() for one in (maps if isinstance(maps, tuple) else (maps,))]


def over_input(cells: Sequence[Tensor], height: int, width: int) -> Tensor:
    """Sum of (h, w) maps that each tile an input of `height` × `width` pixels → that size."""
    spread = [_stretched(one, height, width) for one in cells]
    return torch.stack(spread).sum(dim=0)


def over_picture(cells: Tensor, height: int, width: int) -> npt.NDArray[np.float32]:
    """(h, w) map that tiles the picture → (height, width), linear between the cells' centres."""
    values: npt.NDArray[np.float32] = _stretched(cells, height, width).cpu().numpy()
    return values


def _stretched(cells: Tensor, height: int, width: int) -> Tensor:
    size = (height, width)
    stretched = functional.interpolate(
        cells[None, None].float(), size=size, mode="bilinear", align_corners=False
    )
    return stretched[0, 0]


class _Cut(nn.Module):
    def forward(self, *features: Tensor) -> tuple[Tensor, ...]:
        return features
