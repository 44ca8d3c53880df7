"""What the classifiers share: images in, one score for each class out.

A network sees the image as shown, stretched to a square of the card's `input_size` (bilinear,
smoothed where it shrinks, as Pillow and torchvision do; the aspect ratio is not kept), with the
same grey in three channels, normalised as ImageNet is unless the architecture says otherwise.
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor
from torch.nn import functional

from fracture_core.errors import WeightsError
from fracture_core.models import gradcam
from fracture_core.models.adapter import RANDOM_FACTS, Adapter, Answer
from fracture_core.models.architectures import Architecture
from fracture_core.models.cards import ModelCard
from fracture_core.nets.pretrained import STANDARDS, Standard
from fracture_core.types import Detections, Heatmap, Sample

DEFAULT_INPUT_SIZE = 224


class ClassifierArchitecture(Architecture):
    """A classifier's architecture, and which of its classes stands for no finding.

    `healthy` is that class, "" = there is none. The image score is 1 − the score of that class, or
    without one the score of the best class. `standardise` names the input's mean and deviation.
    """

    healthy: str = ""
    standardise: Standard = "imagenet"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prepared:
    """One sample's input: `placed` (1, S, S) uint8."""

    sample_id: str
    placed: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.placed.shape)


class Classifier(Adapter[_Prepared, Tensor]):
    """A network with `features` and `classify`, and its card."""

    _pixels_a_pass: ClassVar = {"cpu": 32 * 224 * 224, "cuda": 256 * 224 * 224}

    def __init__(self, card: ModelCard, network: Any) -> None:
        super().__init__(card, network)
        standard = STANDARDS[self._architecture.standardise]
        mean, std = (torch.tensor(each, device=self._device).view(3, 1, 1) for each in standard)
        # (grey / 255 − mean) / std in one pass.
        self._scale, self._shift = 1 / (255 * std), -mean / std
        self._healthy = _healthy_label(card, self._architecture.healthy)

    @classmethod
    @abstractmethod
    def load(cls, card: ModelCard, folder: Path) -> Self:
        """See `Family.load`."""
        ...

    @property
    @abstractmethod
    def _architecture(self) -> ClassifierArchitecture: ...

    @abstractmethod
    def _logits(self, features: Tensor) -> Tensor:
        """Returns (B, K) logits for (B, C, h, w) features."""

    def with_random_weights(self, seed: int) -> Self:
        """Returns the same architecture with weights drawn anew from `seed`."""
        drawn = self._architecture.model_copy(update={"weights": "", "seed": seed})
        facts = {"architecture": drawn.model_dump(mode="json"), **RANDOM_FACTS}
        return self.load(self._card.model_copy(update=facts), Path())

    def explain(self, sample: Sample, index: int | None) -> Heatmap:
        """Returns the Grad-CAM of the last feature map for a class's score before softmax.

        `index` is the class; None takes the one with the highest score. Raises IndexError.
        """
        with torch.no_grad():
            features = self._network.features(self._pixels([self._prepare(sample)]))
            scores = self._logits(features)[0].softmax(dim=0)
        label = int(scores.argmax()) if index is None else index
        if not 0 <= label < len(scores):
            raise IndexError(f"index: expected a class below {len(scores)}, got {index}")
        cells = gradcam.grad_cam(lambda cut: self._logits(cut)[0, label], features)
        values = gradcam.over_image(cells, sample.height, sample.width)
        target = f"{self._card.classes[label]}, score {scores[label]:.2f}"
        return Heatmap.of(values, gradcam.GRAD_CAM, target)

    def _prepare(self, sample: Sample) -> _Prepared:
        grey = torch.from_numpy(sample.shown())[None, None]
        size = (self._card.input_size, self._card.input_size)
        placed = functional.interpolate(grey, size=size, mode="bilinear", antialias=True)
        return _Prepared(sample_id=sample.sample_id, placed=placed[0])

    def _pixels(self, batch: Sequence[_Prepared]) -> Tensor:
        """(B, 3, S, S) float32."""
        grey = torch.stack([one.placed for one in batch]).to(self._device)
        return grey * self._scale + self._shift

    @torch.inference_mode()
    def _forward(self, batch: Sequence[_Prepared]) -> Tensor:
        """(B, K) scores on the CPU."""
        features = self._network.features(self._pixels(batch))
        return self._logits(features).softmax(dim=1).cpu()

    def _to_predictions(self, raw: Tensor, batch: Sequence[_Prepared]) -> list[Answer]:
        return [
            Answer(
                detections=Detections.empty(),
                image_score=self._image_score(scores),
                class_scores=scores.numpy(),
            )
            for scores in raw
        ]

    def _image_score(self, scores: Tensor) -> float:
        label = self._healthy
        score = scores.max() if label is None else 1 - scores[label]
        return float(score.clamp(0, 1))


def _healthy_label(card: ModelCard, healthy: str) -> int | None:
    if not healthy:
        return None
    if healthy not in card.classes:
        expected = f"healthy: one of its classes ({', '.join(card.classes)[:200]})"
        raise WeightsError(card.model_id, expected=expected, found=repr(healthy))
    return card.classes.index(healthy)


def classifier_card(
    family: str,
    architecture: ClassifierArchitecture,
    classes: tuple[str, ...],
    *,
    model_id: str,
    title: str,
) -> ModelCard:
    """Returns a card of what the tensors tell; the input's size, which they do not, is assumed."""
    return ModelCard(
        model_id=model_id,
        title=title,
        family=family,
        task="classify",
        classes=classes,
        input_size=DEFAULT_INPUT_SIZE,
        needs_nms=False,
        architecture=architecture.model_dump(mode="json"),
        note=f"The size of the input is not in the weights; {DEFAULT_INPUT_SIZE} px was assumed.",
    )
