"""Models of our own on disk: safetensors beside a card.

What every adapter around a network shares: batches, predictions, saving, random weights.

A family says three things in three steps: how an image becomes its input (`_prepare`), what the
network makes of a batch of them (`_forward`), and what that is on the image (`_to_predictions`; for
detectors `_to_detections`).
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import torch
from torch import nn

from fracture_core.boxes import Int64s
from fracture_core.files import hash_file, make_folder, replacing
from fracture_core.models.cards import ModelCard, write_card
from fracture_core.models.state_dicts import read_state, save_state, save_tensors
from fracture_core.types import Detections, Float32s, Heatmap, Prediction, Sample

WEIGHTS_FILE = "weights.safetensors"


def save_model(
    card: ModelCard, network: nn.Module, folder: Path, *, half: bool = False
) -> ModelCard:
    """Write weights, then the card, each by rename; returns the card as written.

    `half` writes float16, half the size; it is read back as float32. Raises WeightsError for
    weights beyond the range of float16 (±65,504).
    """
    make_folder(folder)
    with replacing(folder / WEIGHTS_FILE) as part:
        save_state(network, part, half=half)
    return _complete(card, folder)


def copy_halved(card: ModelCard, weights: Path, folder: Path) -> ModelCard:
    """Write the tensors of a weights file as float16, then the card; returns it as written.

    As `save_model` with `half`, without building the network.
    """
    make_folder(folder)
    with replacing(folder / WEIGHTS_FILE) as part:
        save_tensors(read_state(weights), part, half=True)
    return _complete(card, folder)


def _complete(card: ModelCard, folder: Path) -> ModelCard:
    facts = {
        "weights_file": WEIGHTS_FILE,
        "weights_sha256": hash_file(folder / WEIGHTS_FILE),
    }
    written = card.model_copy(update=facts)
    write_card(written, folder)
    return written


RANDOM_NOTE = "Random weights: this network has learned nothing and finds nothing."
RANDOM_FACTS = {"weights_file": "", "weights_sha256": "", "note": RANDOM_NOTE}
"""What the card of a network says whose weights are drawn anew."""
_SAMPLES_AT_A_TIME = 64


class Prepared(Protocol):
    """One sample's input to the network."""

    @property
    def sample_id(self) -> str: ...

    @property
    def shape(self) -> tuple[int, ...]:
        """(…, h, w) of the input: those of one shape go through the network together."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one image was answered with, see `Prediction`."""

    detections: Detections
    image_score: float
    class_scores: Float32s | None = None


P = TypeVar("P", bound=Prepared)
R = TypeVar("R")


class Adapter(ABC, Generic[P, R]):
    """A network with its card: frozen, in eval mode, safe for many threads."""

    _pixels_a_pass: ClassVar[Mapping[str, int]] = {"cpu": 8 * 800 * 1333, "cuda": 32 * 800 * 1333}
    """Pixels of the input that one forward pass may hold: large inputs make small batches."""

    def __init__(self, card: ModelCard, network: Any) -> None:
        self._card = card
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._network = network.to(self._device).eval().requires_grad_(False)

    @abstractmethod
    def _prepare(self, sample: Sample) -> P:
        """The input of one sample, made on the CPU."""

    @abstractmethod
    def _forward(self, batch: Sequence[P]) -> R:
        """What the network makes of inputs of one shape, without gradients."""

    @abstractmethod
    def _to_predictions(self, raw: R, batch: Sequence[P]) -> list[Answer]:
        """What that is on the images, one answer an input."""

    @abstractmethod
    def explain(self, sample: Sample, index: int | None) -> Heatmap:
        """See `Model.explain`."""

    @property
    def card(self) -> ModelCard:
        return self._card

    @property
    def network(self) -> Any:
        """The frozen network itself; copy it before changing it."""
        return self._network

    def save(self, folder: Path) -> ModelCard:
        """Write safetensors and, last, the card; returns the card as written."""
        return save_model(self._card, self._network, folder)

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        """See `Model.predict`."""
        found: list[Prediction] = []
        for start in range(0, len(samples), _SAMPLES_AT_A_TIME):
            found += self._predict_some(samples[start : start + _SAMPLES_AT_A_TIME])
        return found

    def _predict_some(self, samples: Sequence[Sample]) -> list[Prediction]:
        prepared = [self._prepare(sample) for sample in samples]
        found: dict[int, Prediction] = {}
        shapes = [one.shape for one in prepared]
        most = self._pixels_a_pass[self._device.type]
        for rows in batches_of_one_shape(shapes, most_pixels=most):
            found.update(zip(rows, self._predict_batch([prepared[i] for i in rows]), strict=True))
        return [found[i] for i in range(len(prepared))]

    def _predict_batch(self, batch: Sequence[P]) -> list[Prediction]:
        start = time.perf_counter()
        predictions = self._to_predictions(self._forward(batch), batch)
        seconds = (time.perf_counter() - start) / len(batch)
        return [
            Prediction(
                model_id=self._card.model_id,
                sample_id=prepared.sample_id,
                detections=answer.detections,
                class_scores=answer.class_scores,
                image_score=answer.image_score,
                seconds=seconds,
            )
            for prepared, answer in zip(batch, predictions, strict=True)
        ]


class Detector(Adapter[P, R]):
    """An adapter that answers with boxes; the image's score is its best box's."""

    _most_explained: ClassVar[int] = 100
    """An image as a whole is explained by this many of its best findings."""

    @abstractmethod
    def _to_detections(self, raw: R, batch: Sequence[P]) -> list[tuple[Detections, Int64s]]:
        """For each image its findings, and which candidate of the network (n,) gave each."""

    def _to_predictions(self, raw: R, batch: Sequence[P]) -> list[Answer]:
        return [
            Answer(detections=found, image_score=float(found.scores.max(initial=0)))
            for found, _ in self._to_detections(raw, batch)
        ]

    def _explained(self, found: Detections, index: int | None) -> slice:
        """Which findings are to be explained; raises IndexError where there is none of `index`."""
        if index is None:
            return slice(self._most_explained)
        if not 0 <= index < len(found):
            raise IndexError(f"index: expected one of {len(found)} findings, got {index}")
        return slice(index, index + 1)

    def _target(self, found: Detections, index: int | None) -> str:
        """What a map explains, in words."""
        if index is None:
            many = len(found) > self._most_explained
            those = f"the {self._most_explained} best" if many else "all"
            return f"{those} findings, weighted by their scores"
        name = self._card.classes[found.labels[index]]
        return f"finding {index + 1}, {name}, score {found.scores[index]:.2f}"


def batches_of_one_shape(
    shapes: Sequence[tuple[int, ...]], *, most_pixels: int
) -> Iterator[list[int]]:
    """Positions in batches of one input shape (…, h, w), at most `most_pixels` each.

    Images of different shapes are never padded to a common one: a ResNet sees how far it is
    padded, so an answer would depend on the neighbours in the batch.
    """
    same: dict[tuple[int, ...], list[int]] = {}
    for position, shape in enumerate(shapes):
        same.setdefault(shape, []).append(position)
    for shape, positions in same.items():
        most = max(1, most_pixels // (shape[-2] * shape[-1]))
        for start in range(0, len(positions), most):
            yield positions[start : start + most]
