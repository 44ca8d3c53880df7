"""The Faster R-CNN family (Ren et al. 2015) of torchvision, raw.

A candidate is what the second stage makes of a proposal of the first: one box and one score for
every class, none suppressed. The proposal network keeps its own non-maximum suppression and its
limit of 1,000 proposals (150 in the 320 variant, 300 in the light one): they are part of the
network.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch

from fracture_core.boxes import Int64s
from fracture_core.models import faster_rcnn_stages, gradcam
from fracture_core.models.adapter import RANDOM_FACTS, RANDOM_NOTE, Detector
from fracture_core.models.base import Family
from fracture_core.models.cards import ModelCard
from fracture_core.models.faster_rcnn_networks import (
    INPUT_SIZES,
    FasterRcnnArchitecture,
    build_network,
    describe_weights,
    from_library,
    load_network,
)
from fracture_core.models.faster_rcnn_stages import Candidates
from fracture_core.types import Detections, Heatmap, Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prepared:
    """One sample as shown, (H, W) uint8, and the `size` (h, w) it is scaled to."""

    sample_id: str
    shown: npt.NDArray[np.uint8]
    size: tuple[int, int]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.size


class FasterRcnnModel(Detector[_Prepared, list[Candidates]]):
    """A Faster R-CNN with its card."""

    def __init__(self, card: ModelCard, network: Any) -> None:
        super().__init__(card, network)
        self._architecture = FasterRcnnArchitecture.of(card)

    @classmethod
    def load(cls, card: ModelCard, folder: Path) -> Self:
        architecture = FasterRcnnArchitecture.of(card)
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
        """The card of a state dict; size and classes are read from its tensors.

        The size of the input is the library's, as it does not stand in the tensors.
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
        facts: dict[str, object] = {
            "title": f"{name} (random weights)",
            "note": RANDOM_NOTE,
            "training_data": "none",
            "training_licence": "none",
        }
        if weights:
            licence = "annotations CC BY 4.0, images under Flickr's terms"
            facts = {"training_data": "COCO train2017", "training_licence": licence}
        return cls.load(card.model_copy(update=facts), Path())

    def randomised(self, seed: int) -> "FasterRcnnModel":
        """The same architecture with weights drawn anew."""
        drawn = self._architecture.model_copy(update={"weights": "", "seed": seed})
        facts = {"architecture": drawn.model_dump(mode="json"), **RANDOM_FACTS}
        return FasterRcnnModel.load(self._card.model_copy(update=facts), Path())

    def explain(self, sample: Sample, index: int | None) -> Heatmap:
        """HiResCAM on the class score of one finding, before softmax, at the pyramid's levels.

        A map lies within the finding's proposal, all that the second stage reads. None explains
        the picture: its best findings, each by its score.
        """
        prepared = self._prepare(sample)
        with torch.no_grad():
            shown = [prepared.shown]
            features = faster_rcnn_stages.extract(self._network, shown, prepared.size)
            candidates = faster_rcnn_stages.classify(self._network, features)[0]
        found, kept = self._ordered(candidates, prepared)
        chosen = kept[self._explained(found, index)]
        picked = candidates[torch.from_numpy(chosen).to(self._device)]
        evidence = faster_rcnn_stages.explain(self._network, features, picked)
        values = gradcam.over_picture(evidence, sample.height, sample.width)
        return Heatmap.of(values, gradcam.HIRES_CAM, self._target(found, index))

    def _prepare(self, sample: Sample) -> _Prepared:
        sides = sample.height, sample.width
        scale = min(self._card.input_size / min(sides), self._architecture.max_size / max(sides))
        # torchvision rounds down, to nothing where a picture is a thin strip.
        height, width = (max(1, int(side * scale)) for side in sides)
        return _Prepared(sample_id=sample.sample_id, shown=sample.shown(), size=(height, width))

    @torch.inference_mode()
    def _forward(self, batch: Sequence[_Prepared]) -> list[Candidates]:
        """All candidates of pictures that are scaled to one size."""
        shown = [one.shown for one in batch]
        features = faster_rcnn_stages.extract(self._network, shown, batch[0].size)
        return faster_rcnn_stages.classify(self._network, features)

    def _to_detections(
        self, raw: list[Candidates], batch: Sequence[_Prepared]
    ) -> list[tuple[Detections, Int64s]]:
        return [self._ordered(one, prepared) for one, prepared in zip(raw, batch, strict=True)]

    def _ordered(self, raw: Candidates, prepared: _Prepared) -> tuple[Detections, Int64s]:
        """One picture's findings, and the candidate that gave each."""
        (height, width), (scaled_height, scaled_width) = prepared.shown.shape, prepared.size
        across, down = width / scaled_width, height / scaled_height
        gain = torch.tensor([across, down, across, down], device=raw.xyxy.device)
        return Detections.raw(
            (raw.xyxy * gain).cpu().numpy(),
            raw.scores.cpu().numpy(),
            raw.labels.cpu().numpy(),
            height=height,
            width=width,
        )


def _card(
    architecture: FasterRcnnArchitecture,
    classes: tuple[str, ...],
    *,
    model_id: str,
    title: str,
    note: str,
) -> ModelCard:
    return ModelCard(
        model_id=model_id,
        title=title,
        family="faster_rcnn",
        task="detect",
        classes=classes,
        input_size=INPUT_SIZES[architecture.name][0],
        needs_nms=True,
        architecture=architecture.model_dump(mode="json"),
        note=note,
    )


ADAPTER: Family = FasterRcnnModel
