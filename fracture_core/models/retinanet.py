"""The RetinaNet family of torchvision (Lin et al., ICCV 2017), raw.

A candidate is an anchor's score for one class, with the anchor's box; none is suppressed. An anchor
may be several candidates, as it has a score of its own for each class.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import clip_boxes_to_image

from fracture_core.models import gradcam, retinanet_networks
from fracture_core.models.base import Family
from fracture_core.models.retinanet_networks import RetinaNetArchitecture
from fracture_core.models.torchvision_detector import (
    Networks,
    Scaled,
    TorchvisionDetector,
    scaled_pixels,
)
from fracture_core.types import MAX_CANDIDATES, SCORE_FLOOR


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """What the backbone makes of B images scaled to `size` (h, w) and padded to `padded`, in px.

    `levels` are the maps of the feature pyramid, (B, C, h, w), the finest first; `anchors` (A, 4),
    in pixels of the input, are the same for every image.
    """

    levels: list[Tensor]
    anchors: Tensor
    size: tuple[int, int]
    padded: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """One image's best candidates.

    They are `xyxy` (N, 4) in pixels of the input, `scores` (N,), `labels` (N,) from 0, and the
    `anchors` (N,) from which they come, counted through all levels.
    """

    xyxy: Tensor
    scores: Tensor
    labels: Tensor
    anchors: Tensor

    def __getitem__(self, rows: Tensor) -> "Candidates":
        return Candidates(
            xyxy=self.xyxy[rows],
            scores=self.scores[rows],
            labels=self.labels[rows],
            anchors=self.anchors[rows],
        )


class RetinaNetModel(TorchvisionDetector[Features, Candidates]):
    """A RetinaNet with its card.

    Every anchor has a score for every class, which takes memory: with COCO's classes 70 MB for an
    image of the usual size, and that several times over.
    """

    _networks: ClassVar[Networks] = retinanet_networks
    _architecture: RetinaNetArchitecture
    _pixels_a_pass: ClassVar = {"cpu": 2 * 800 * 1333, "cuda": 16 * 800 * 1333}

    def _extract(self, batch: Sequence[Scaled]) -> Features:
        pixels, size = scaled_pixels(self._network, batch), batch[0].size
        levels = list(self._network.backbone(pixels).values())
        anchors = self._network.anchor_generator(ImageList(pixels[:1], [size]), levels)[0]
        height, width = pixels.shape[-2:]
        return Features(levels=levels, anchors=anchors, size=size, padded=(height, width))

    def _candidates(self, features: Features) -> list[Candidates]:
        predictions = self._network.head(features.levels)
        pairs = zip(predictions["cls_logits"], predictions["bbox_regression"], strict=True)
        return [self._picked(logits, deltas, features) for logits, deltas in pairs]

    def _picked(self, logits: Tensor, deltas: Tensor, features: Features) -> Candidates:
        """Picks from (A, columns) logits and (A, 4) deltas those that can be among the best.

        They have an area, too. Of equal scores at the limit all are kept, so that `Detections.raw`
        decides and not the sorting.
        """
        decoded = self._network.box_coder.decode_single(deltas, features.anchors)
        xyxy = clip_boxes_to_image(decoded, features.size)
        has_area = (xyxy[:, 2:] > xyxy[:, :2]).all(dim=1, keepdim=True)
        scores = logits[:, self._first_class :].sigmoid() * has_area
        most = min(MAX_CANDIDATES, scores.numel())
        least = scores.flatten().topk(most).values[-1].clamp(min=SCORE_FLOOR)
        anchors, labels = torch.where(scores >= least)
        return Candidates(
            xyxy=xyxy[anchors], scores=scores[anchors, labels], labels=labels, anchors=anchors
        )

    def _evidence(self, features: Features, picked: Candidates) -> Tensor:
        """Returns the HiResCAM of exactly the anchors' logits that gave the findings.

        Each logit is weighted by its finding's share of all scores.
        """
        head = self._network.head.classification_head
        weights = picked.scores / picked.scores.sum()

        def score(*levels: Tensor) -> Tensor:
            logits: Tensor = head(list(levels))[0, :, self._first_class :]
            return (logits[picked.anchors, picked.labels] * weights).sum()

        cells = gradcam.hires_cam(score, features.levels)
        height, width = features.size
        return gradcam.over_input(cells, *features.padded)[:height, :width]

    @property
    def _first_class(self) -> int:
        return int(self._architecture.background)


ADAPTER: Family = RetinaNetModel
