"""Maps over an image from what a network's cells say, for detectors with object queries.

There are two methods. *Attention* is how much of its look a query spent on each cell, as the
network itself computes it. *Evidence* is gradient times activation, summed over channels, cell by
cell: the first-order share of each cell in a number, taken for the class score and for the box
(after HiResCAM, Draelos & Carin 2020, and ODAM, Zhao & Chan 2022). Unlike in Grad-CAM, weights are
not averaged over the image, so two findings of one image get two maps.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

Values = npt.NDArray[np.float32]


def over_image(cells: Tensor, height: int, width: int) -> Values:
    """Spreads (h, w) cells that tile the image to (height, width) float32, linear between centres.

    The network's input is the whole image, stretched, so that undoing the stretch is all there is.
    """
    size = (height, width)
    spread = functional.interpolate(
        cells[None, None].float(), size=size, mode="bilinear", antialias=True
    )
    values: Values = spread[0, 0].cpu().numpy()
    return values


def class_and_box_evidence(class_score: Tensor, box: Tensor, features: Sequence[Tensor]) -> Tensor:
    """Returns the (h, w) evidence for a class score () where it also bears on the box (4,).

    `features` are (1, C, h, w) maps of one network pass, the finest first, on which both depend.
    The shares of each level are spread to the finest one and added. The result is the part that
    speaks for the class, in the unit of `class_score`, each cell weighted by its influence on the
    box relative to the most influential cell.
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
