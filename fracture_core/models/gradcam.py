"""Grad-CAM (Selvaraju et al. 2017) and HiResCAM (Draelos & Carin 2020) on cut networks.

Both weigh feature maps by how much they bear on a score. Captum finds layers by hooks, and hooks on
a network would see the passes of other threads too. So the network is cut instead: its first part
runs without gradients, and the hook sits on a layer that lives for one call, between the features
and the rest. Nothing is left behind.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from fracture_core import importing

GRAD_CAM = "Grad-CAM"
HIRES_CAM = "HiResCAM (Grad-CAM without averaging)"
_UNUSED_IS_ZERO = {"allow_unused": True, "materialize_grads": True}


def grad_cam(score: Callable[..., Tensor], features: Tensor) -> Tensor:
    """Returns a (h, w) map ≥ 0 of (1, C, h, w) features, each channel by its mean gradient.

    `score` computes a tensor of one element from the features; the map is in its unit.
    """
    with importing.LOCK:
        from captum.attr import LayerGradCam

    cut, score_of, leaves = _cut_at(score, [features])
    maps = LayerGradCam(score_of, cut).attribute(
        leaves, relu_attributions=True, grad_kwargs=_UNUSED_IS_ZERO
    )
    return _tuple(maps)[0][0, 0].detach()


def hires_cam(score: Callable[..., Tensor], features: Sequence[Tensor]) -> list[Tensor]:
    """Returns one (h, w) map ≥ 0 for each of the (1, C, h, w) `features`.

    It is the gradient times the activation in every cell (Draelos & Carin 2020), so that a gradient
    counts only where it arose. `score` is as for `grad_cam`; features on which it does not depend
    get a map of zeros.
    """
    with importing.LOCK:
        from captum.attr import LayerGradientXActivation

    cut, score_of, leaves = _cut_at(score, features)
    maps = LayerGradientXActivation(score_of, cut).attribute(leaves, grad_kwargs=_UNUSED_IS_ZERO)
    return [one.detach().sum(dim=1)[0].clamp(min=0) for one in _tuple(maps)]


def over_input(cells: Sequence[Tensor], height: int, width: int) -> Tensor:
    """Spreads (h, w) maps that each tile the input to `height` × `width` pixels, and adds them."""
    spread = [_stretched(one, height, width) for one in cells]
    return torch.stack(spread).sum(dim=0)


def over_image(cells: Tensor, height: int, width: int) -> npt.NDArray[np.float32]:
    """Spreads a (h, w) map that tiles the image to (height, width) float32.

    Values are linear between the centres of the cells.
    """
    values: npt.NDArray[np.float32] = _stretched(cells, height, width).cpu().numpy()
    return values


def _stretched(cells: Tensor, height: int, width: int) -> Tensor:
    size = (height, width)
    stretched = functional.interpolate(
        cells[None, None].float(), size=size, mode="bilinear", align_corners=False
    )
    return stretched[0, 0]


def _cut_at(
    score: Callable[..., Tensor], features: Sequence[Tensor]
) -> tuple[nn.Module, Callable[..., Tensor], tuple[Tensor, ...]]:
    """Returns a layer that stands for the features, the score through it, and its inputs."""
    cut = _Cut()
    leaves = tuple(level.detach().requires_grad_() for level in features)
    return cut, lambda *inputs: score(*cut(*inputs)).reshape(1), leaves


def _tuple(maps: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return maps if isinstance(maps, tuple) else (maps,)


class _Cut(nn.Module):
    def forward(self, *features: Tensor) -> tuple[Tensor, ...]:
        return features
