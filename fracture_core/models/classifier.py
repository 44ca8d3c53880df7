"""What the classifiers share: pictures in, one score a class out.

A network sees the picture as shown, stretched to a square of the card's `input_size` (bilinear,
smoothed where it shrinks, as Pillow and torchvision do; the aspect is not kept), the same grey in
three channels, normalised as ImageNet is.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn import functional

from fracture_core.errors import WeightsError
from fracture_core.models import gradcam
from fracture_core.models.architectures import Architecture
from fracture_core.models.cards import ModelCard
from fracture_core.models.saving import save_model
from fracture_core.types import Detections, Heatmap, Prediction, Sample

RANDOM_NOTE = "Random weights: this network has learned nothing and finds nothing."
DEFAULT_INPUT_SIZE = 224
_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)
_PIXELS_A_PASS = {"cpu": 32 * 224 * 224, "cuda": 256 * 224 * 224}
_SAMPLES_AT_A_TIME = 256


class ClassifierArchitecture(Architecture):
    """`healthy` is the class that stands for no finding, "" = there is none.

    The image score is 1 − its score; without one it is the best class's score.
    """

    healthy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prepared:
    """One sample's input: `placed` (1, S, S) uint8."""

    sample_id: str
    placed: Tensor


class Classifier(ABC):
    """A network with `features` and `classify`, and its card; frozen, safe for many threads."""

    def __init__(self, card: ModelCard, network: Any) -> None:
        self._card = card
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._network = network.to(self._device).eval().requires_grad_(False)
        mean = torch.tensor(_IMAGENET_MEAN, device=self._device).view(3, 1, 1)
        std = torch.tensor(_IMAGENET_STD, device=self._device).view(3, 1, 1)
        # (grey / 255 − mean) / std in one pass.
        self._scale, self._shift = 1 / (255 * std), -mean / std
        self._healthy = _healthy_label(card, self._architecture.healthy)

    @classmethod
    @abstractmethod
    def load(cls, card: ModelCard, folder: Path) -> Self: ...

    @property
    @abstractmethod
    def _architecture(self) -> ClassifierArchitecture: ...

    @abstractmethod
    def _logits(self, features: Tensor) -> Tensor:
        """(B, C, h, w) → (B, K)."""

    @property
    def card(self) -> ModelCard:
        return self._card

    @property
    def network(self) -> Any:
        """The frozen network itself; copy it before changing it."""
        return self._network

    def save(self, folder: Path) -> ModelCard:
        """Write safetensors and the card into a folder; returns the card as written."""
        return save_model(self._card, self._network, folder)

    def randomised(self, seed: int) -> Self:
        """The same architecture with weights drawn anew."""
        drawn = self._architecture.model_copy(update={"weights": "", "seed": seed})
        facts = {
            "architecture": drawn.model_dump(mode="json"),
            "weights_file": "",
            "weights_sha256": "",
            "note": RANDOM_NOTE,
        }
        return self.load(self._card.model_copy(update=facts), Path())

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        most = max(1, _PIXELS_A_PASS[self._device.type] // self._card.input_size**2)
        found: list[Prediction] = []
        for start in range(0, len(samples), most):
            found += self._predict_batch(samples[start : start + most])
        return found

    def explain(self, sample: Sample, index: int | None) -> Heatmap:
        """Grad-CAM of the last feature map on a class's score before softmax.

        `index` is the class; None takes the one with the highest score.
        """
        with torch.no_grad():
            features = self._network.features(self._pixels([self._prepare(sample)]))
            scores = self._logits(features)[0].softmax(dim=0)
        label = int(scores.argmax()) if index is None else index
        if not 0 <= label < len(scores):
            raise IndexError(f"index: expected a class below {len(scores)}, got {index}")
        cells = gradcam.grad_cam(lambda cut: self._logits(cut)[0, label], features)
        values = gradcam.over_picture(cells, sample.height, sample.width)
        target = f"{self._card.classes[label]}, score {scores[label]:.2f}"
        return Heatmap.of(values, gradcam.GRAD_CAM, target)

    def _predict_batch(self, samples: Sequence[Sample]) -> list[Prediction]:
        prepared = [self._prepare(sample) for sample in samples]
        start = time.perf_counter()
        scores = self._forward(prepared)
        seconds = (time.perf_counter() - start) / len(prepared)
        return [
            self._to_prediction(one, row, seconds)
            for one, row in zip(prepared, scores, strict=True)
        ]

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

    def _to_prediction(self, prepared: _Prepared, scores: Tensor, seconds: float) -> Prediction:
        healthy = self._healthy
        image_score = scores.max() if healthy is None else 1 - scores[healthy]
        return Prediction(
            model_id=self._card.model_id,
            sample_id=prepared.sample_id,
            detections=Detections.empty(),
            class_scores=scores.numpy(),
            image_score=float(image_score.clamp(0, 1)),
            seconds=seconds,
        )


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
    """A card as known from the tensors alone: they do not tell the size of the input."""
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
