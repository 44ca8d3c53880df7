"""Where a YOLO network looked for its candidates: gradient times activation, class and box.

A candidate is the answer of one cell of the head on one of its levels. Its class logit and its
box are followed back to the maps that the backbone hands to the neck: gradient × activation,
summed over channels, is each cell's share in a number, to first order (HiResCAM, Draelos & Carin
2020). The share in the class counts where it also bears on the box (after ODAM, Zhao & Chan
2022), so that two candidates of one picture get two maps.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from fracture_core.models.attention_maps import class_and_box_evidence
from fracture_core.models.letterbox import Letterbox

METHOD = "Gradient × activation, class and box"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """What to explain: `anchors` (n,), cells of the head counted through its levels, the `labels`
    (n,) they were given, and `weights` (n,).
    """

    anchors: Tensor
    labels: Tensor
    weights: Tensor


def evidence(network: Any, pixels: Tensor, candidates: Candidates) -> Tensor:
    """(h, w) evidence for candidates found in (1, C, H, W) pixels, in the unit of a logit.

    Leaves no gradient behind. The network must not run elsewhere meanwhile.
    """
    if not len(candidates.anchors):
        return torch.zeros(1, 1)
    with torch.enable_grad():
        features, levels = _trace(network, pixels)
        logits, distances = _answers(network.model[-1], levels, candidates)
        box = (distances * candidates.weights[:, None]).sum(dim=0)
        return class_and_box_evidence((logits * candidates.weights).sum(), box, features)


def over_picture(cells: Tensor, box: Letterbox) -> npt.NDArray[np.float32]:
    """(h, w) cells that tile the input → (height, width) of the picture that lies in it."""
    spread = _resized(cells, box.input_height, box.input_width)
    rows = slice(box.top, box.top + box.scaled_height)
    placed = spread[rows, box.left : box.left + box.scaled_width]
    values: npt.NDArray[np.float32] = _resized(placed, box.height, box.width).cpu().numpy()
    return values


def _trace(network: Any, pixels: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """The backbone's maps that the neck takes, the finest first, and what the neck makes of them
    for the head. Gradients go from these to those and no further.
    """
    *layers, head = network.model
    first = len(network.yaml["backbone"])
    taken = {source for layer in network.model[first:] for source in _sources(layer)}
    outputs: list[Tensor] = []
    features: list[Tensor] = []
    for position, layer in enumerate(layers):
        with torch.set_grad_enabled(position >= first):
            output = layer(_inputs(layer, outputs) if outputs else pixels)
        if position < first and position in taken:
            output = output.detach().requires_grad_()
            features.append(output)
        outputs.append(output)
    return features, [outputs[source] for source in head.f]


def _sources(layer: Any) -> list[int]:
    """Positions of the layers whose outputs a layer takes."""
    given = layer.f if isinstance(layer.f, list) else [layer.f]
    return [source if source >= 0 else layer.i + source for source in given]


def _inputs(layer: Any, outputs: Sequence[Tensor]) -> Tensor | list[Tensor]:
    inputs = [outputs[source] for source in _sources(layer)]
    return inputs if isinstance(layer.f, list) else inputs[0]


def _answers(head: Any, levels: Sequence[Tensor], candidates: Candidates) -> tuple[Tensor, Tensor]:
    """Class logits (n,) of n candidates, and distances (n, 4) from their cells to their sides."""
    branch = head.one2one if head.end2end else head.one2many
    logits = candidates.weights.new_zeros(len(candidates.anchors))
    distances = logits.new_zeros(len(logits), 4)
    start = 0
    for place, level in enumerate(levels):
        cells = candidates.anchors - start
        start += level.shape[-2] * level.shape[-1]
        here = torch.nonzero((cells >= 0) & (candidates.anchors < start))[:, 0]
        if len(here):
            classes = branch["cls_head"][place](level)[0].flatten(1)
            sides = branch["box_head"][place](level).flatten(2)[..., cells[here]]
            logits = logits.index_put((here,), classes[candidates.labels[here], cells[here]])
            distances = distances.index_put((here,), head.dfl(sides)[0].T)
    return logits, distances


def _resized(cells: Tensor, height: int, width: int) -> Tensor:
    """Linear between the centres of cells."""
    return functional.interpolate(cells[None, None].float(), size=(height, width), mode="bilinear")[
        0, 0
    ]
