"""From what a network's cells say to a map over the image.

Two methods. *Attention*: how much of its look a query spent on each cell, from the network itself.
*Evidence*: gradient times activation, summed over channels, cell by cell: the first-order share of
each cell in a number, taken for the class score and for the box (after HiResCAM, Draelos & Carin
2020, and ODAM, Zhao & Chan 2022; unlike Grad-CAM, weights are not averaged over the image, so
two findings of one image get two maps).
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

Values = npt.NDArray[np.float32]


def over_image(cells: Tensor, height: int, width: int) -> Values:
    """(h, w) cells that tile the image → (height, width), linear between their centres.

    The network's input is the whole image, stretched, so undoing the stretch is all there is.
    """
    size = (height, width)
    spread = functional.interpolate(
        cells[None, None].float(), size=size, mode="bilinear", antialias=True
    )
    values: Values = spread[0, 0].cpu().numpy()
    return values


def class_and_box_evidence(class_score: Tensor, box: Tensor, features: Sequence[Tensor]) -> Tensor:
    """(h, w) evidence for a class score () where it also bears on the box (4,).

    `features` are (1, C, h, w) maps of one network pass, the finest first, that both depend on.
    Each level's shares are spread to the finest and added. The result is the part that speaks for
    the class, in the unit of `class_score`, each cell weighted by its influence on the box
    relative to the most influential one.
    """
    of_class = _share(class_score, features).clamp(min=0)
    influence = torch.stack([_share(side, features).abs() for side in box]).sum(0)
    strongest = influence.max()
    return of_class * (influence / strongest) if strongest > 0 else of_class


def _share(number: Tensor, features: Sequence[Tensor]) -> Tensor:
    gradients = torch.autograd.grad(
        number, list(features), retain_graph=True, allow_unused=True, materialize_grads=True
    )
    finest = features[0].shape[-2:]
    levels = [
        functional.interpolate(
            (gradient * feature).sum(1, keepdim=True), size=finest, mode="bilinear"
        )[0, 0]
        for gradient, feature in zip(gradients, features, strict=True)
    ]
    return torch.stack(levels).sum(0).detach()
