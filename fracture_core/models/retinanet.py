"""The RetinaNet family (Lin et al., ICCV 2017) of torchvision, raw.

A candidate is an anchor's score for one class, with the anchor's box; none is suppressed. An
anchor may be several candidates: each of its classes has a score of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import clip_boxes_to_image

from fracture_core.models import gradcam
from fracture_core.models.base import Family
from fracture_core.models.cards import ModelCard
from fracture_core.models.retinanet_networks import (
    INPUT_SIZES,
    RetinaNetArchitecture,
    build_network,
    describe_weights,
    from_library,
    load_network,
)
from fracture_core.models.torchvision_detector import (
    Scaled,
    TorchvisionDetector,
    origin_of,
    scaled_pixels,
)
from fracture_core.types import MAX_CANDIDATES, SCORE_FLOOR


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """Of B pictures scaled to `size` and padded to `padded`: the pyramid's maps (B, C, h, w), the
    finest first, and the `anchors` (A, 4) that every picture has, in pixels of the input.
    """

    levels: list[Tensor]
    anchors: Tensor
    size: tuple[int, int]
    padded: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """One picture's best candidates: `xyxy` (N, 4) in pixels of the input, `scores` (N,), `labels`
    (N,) from 0, and the `anchors` (N,) they come from, counted through all levels.
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

    Every anchor has a score for every class, which takes memory: of COCO's 70 MB an image of the
    usual size, and that several times over.
    """

    _pixels_a_pass: ClassVar = {"cpu": 2 * 800 * 1333, "cuda": 16 * 800 * 1333}

    def __init__(self, card: ModelCard, network: Any) -> None:
        super().__init__(card, network)
        self._architecture: RetinaNetArchitecture = RetinaNetArchitecture.of(card)

    @classmethod
    def load(cls, card: ModelCard, folder: Path) -> Self:
        architecture = RetinaNetArchitecture.of(card)
        count, min_size = len(card.classes), card.input_size
        if not card.weights_file:
            network = build_network(architecture, class_count=count, min_size=min_size)
        else:
            weights = folder / card.weights_file
            network = load_network(architecture, weights, class_count=count, min_size=min_size)
        return cls(card, network)

    @classmethod
    def describe(
        cls, weights: Path, *, model_id: str, title: str, classes: tuple[str, ...] | None
    ) -> ModelCard:
        """The card of a state dict; the size of the input is the library's, as no tensor tells it.

        torchvision counts a background: with a name for every class but one, the first is that.
        """
        architecture, classes, note = describe_weights(weights, classes)
        return _card(architecture, classes, model_id=model_id, title=title, note=note)

    @classmethod
    def from_name(cls, name: str) -> Self:
        """A network of torchvision by its name, random, or "NAME:COCO_V1" with its weights.

        Those are read from torch's cache or fetched. Raises ConfigError for an unknown name and
        WeightsError, which says what to fetch, where there is neither cache nor network.
        """
        plain, _, weights = name.partition(":")
        architecture, classes = from_library(plain, weights)
        model_id = name.replace(":", "-")
        card = _card(architecture, classes, model_id=model_id, title=name, note="")
        return cls.load(card.model_copy(update=origin_of(name, weights)), Path())

    def _extract(self, batch: Sequence[Scaled]) -> Features:
        pixels, size = scaled_pixels(self._network, batch), batch[0].size
        levels = list(self._network.backbone(pixels).values())
        anchors = self._network.anchor_generator(ImageList(pixels[:1], [size]), levels)[0]
        height, width = pixels.shape[-2:]
        return Features(levels=levels, anchors=anchors, size=size, padded=(height, width))

    def _candidates(self, features: Features) -> list[Candidates]:
        answers = self._network.head(features.levels)
        pairs = zip(answers["cls_logits"], answers["bbox_regression"], strict=True)
        return [self._picked(logits, deltas, features) for logits, deltas in pairs]

    def _picked(self, logits: Tensor, deltas: Tensor, features: Features) -> Candidates:
        """Those of (A, columns) logits and (A, 4) deltas with an area that can be among the best.

        Of equal scores at the limit all are kept, so that their order decides and not the sorting.
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
        """The scores are the logits of exactly the anchors that gave the findings, each weighted by
        its share of all scores.
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


def _card(
    architecture: RetinaNetArchitecture,
    classes: tuple[str, ...],
    *,
    model_id: str,
    title: str,
    note: str,
) -> ModelCard:
    return ModelCard(
        model_id=model_id,
        title=title,
        family="retinanet",
        task="detect",
        classes=classes,
        input_size=INPUT_SIZES[architecture.name][0],
        needs_nms=True,
        architecture=architecture.model_dump(mode="json"),
        note=note,
    )


ADAPTER: Family = RetinaNetModel
