"""The Faster R-CNN family of torchvision (Ren et al. 2015), raw.

The two stages are run one at a time and without torchvision's final filter. A candidate is what the
second stage makes of a proposal of the first: one box and one score for every class, none
suppressed. The proposal network keeps its own non-maximum suppression and its limit of 1,000
proposals (150 in the 320 variant, 300 in the light one): they are part of the network.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import clip_boxes_to_image

from fracture_core.models import faster_rcnn_networks, gradcam
from fracture_core.models.base import Family
from fracture_core.models.torchvision_detector import (
    Networks,
    Scaled,
    TorchvisionDetector,
    scaled_pixels,
)
from fracture_core.types import SCORE_FLOOR

# As torchvision does, candidates thinner than this are dropped; in pixels of the input.
_LEAST_SIDE_PX = 1e-2


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """What the first stage makes of B images scaled to `size` (h, w) and padded to `padded`, in px.

    `levels` are the maps of the feature pyramid, (B, C, h, w), by name; `proposals` are B arrays
    (P, 4) in pixels of the input.
    """

    levels: "OrderedDict[str, Tensor]"
    proposals: list[Tensor]
    size: tuple[int, int]
    padded: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """One image's candidates, scored `SCORE_FLOOR` or more.

    They are `xyxy` (N, 4) in pixels of the input, `scores` (N,), `labels` (N,) from 0, and the
    `proposals` (N, 4) from which they come.
    """

    xyxy: Tensor
    scores: Tensor
    labels: Tensor
    proposals: Tensor

    def __getitem__(self, rows: Tensor) -> "Candidates":
        return Candidates(
            xyxy=self.xyxy[rows],
            scores=self.scores[rows],
            labels=self.labels[rows],
            proposals=self.proposals[rows],
        )


def extract(network: Any, batch: Sequence[Scaled]) -> Features:
    """Runs the first stage on images that are all scaled to one size."""
    pixels, size = scaled_pixels(network, batch), batch[0].size
    levels = network.backbone(pixels)
    proposals, _ = network.rpn(ImageList(pixels, [size] * len(batch)), levels)
    height, width = pixels.shape[-2:]
    return Features(levels=levels, proposals=proposals, size=size, padded=(height, width))


def classify(network: Any, features: Features) -> list[Candidates]:
    """Runs the second stage on all proposals; returns each image's candidates, none suppressed."""
    heads = network.roi_heads
    sizes = [features.size] * len(features.proposals)
    pooled = heads.box_roi_pool(features.levels, features.proposals, sizes)
    logits, deltas = heads.box_predictor(heads.box_head(pooled))
    # The library's decoder gives another shape where there is no proposal at all.
    xyxy = heads.box_coder.decode(deltas, features.proposals).reshape(*logits.shape, 4)
    counts = [len(proposals) for proposals in features.proposals]
    parts = zip(xyxy.split(counts), logits.softmax(-1).split(counts), strict=True)
    return [
        _candidates(clip_boxes_to_image(boxes, features.size), scores, proposals)
        for (boxes, scores), proposals in zip(parts, features.proposals, strict=True)
    ]


def explain(network: Any, features: Features, candidates: Candidates) -> Tensor:
    """Returns the (h, w) HiResCAM of candidates of one image, over its input without the padding.

    What is explained is each candidate's logit, before softmax, weighted by its share of all
    scores; the layers are the levels of the pyramid that the second stage reads. Grad-CAM proper
    misleads here: it spreads the weights found in one proposal over the whole image. On 131
    findings of a small ResNet-18-FPN trained on discs and rings its maximum lay in the finding in
    31 %, that of HiResCAM in 91 %; Grad-CAM at the backbone's stages reached at most 56 %.
    """
    heads = network.roi_heads
    names = [name for name in features.levels if name in heads.box_roi_pool.featmap_names]
    weights = candidates.scores / candidates.scores.sum()

    def score(*maps: Tensor) -> Tensor:
        levels = OrderedDict(zip(names, maps, strict=True))
        pooled = heads.box_roi_pool(levels, [candidates.proposals], [features.size])
        logits, _ = heads.box_predictor(heads.box_head(pooled))
        chosen: Tensor = logits.gather(1, candidates.labels[:, None] + 1)[:, 0]
        return (chosen * weights).sum()

    cells = gradcam.hires_cam(score, [features.levels[name] for name in names])
    height, width = features.size
    return gradcam.over_input(cells, *features.padded)[:height, :width]


def _candidates(xyxy: Tensor, scores: Tensor, proposals: Tensor) -> Candidates:
    """Picks candidates from (P, K+1, 4) boxes and (P, K+1) scores, with the background first."""
    xyxy, scores = xyxy[:, 1:], scores[:, 1:]
    wide = ((xyxy[..., 2:] - xyxy[..., :2]) >= _LEAST_SIDE_PX).all(dim=-1)
    rows, labels = torch.where(wide & (scores >= SCORE_FLOOR))
    return Candidates(
        xyxy=xyxy[rows, labels],
        scores=scores[rows, labels],
        labels=labels,
        proposals=proposals[rows],
    )


class FasterRcnnModel(TorchvisionDetector[Features, Candidates]):
    """A Faster R-CNN with its card.

    The map of a finding lies within its proposal, which is all that the second stage reads.
    """

    _networks: ClassVar[Networks] = faster_rcnn_networks

    def _extract(self, batch: Sequence[Scaled]) -> Features:
        return extract(self._network, batch)

    def _candidates(self, features: Features) -> list[Candidates]:
        return classify(self._network, features)

    def _evidence(self, features: Features, picked: Candidates) -> Tensor:
        return explain(self._network, features, picked)


ADAPTER: Family = FasterRcnnModel
