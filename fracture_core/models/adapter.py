"""A network as a model: the adapter that all families share, and its weights on disk.

A family adds three steps: how an image becomes the network's input (`_prepare`), what the network
makes of a batch of inputs (`_forward`), and what that means on the images (`_to_predictions`; for
detectors `_to_detections`). Batches, predictions, their times and saving are the same for all. On
disk a model of our own is one safetensors file beside a card. Random weights are drawn from a seed,
so that they are the same each time.
"""

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import torch
from torch import nn

from fracture_core.boxes import Int64s
from fracture_core.files import hash_file, make_folder, replacing
from fracture_core.models.cards import ModelCard, write_card
from fracture_core.models.state_dicts import read_state, save_state, save_tensors
from fracture_core.types import (
    Detections,
    Float32s,
    Heatmap,
    Prediction,
    Sample,
    StageSeconds,
)

# Layers draw from the process's one random generator, so only one network is built at a time.
_LOCK = threading.Lock()


@contextmanager
def drawn_from(seed: int) -> Iterator[None]:
    """Draws the weights of what is built inside the block from `seed`.

    The process's random generator is left as it was before, and other threads wait meanwhile.
    """
    with _LOCK, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


# ---- on disk -------------------------------------------------------------------------------------

WEIGHTS_FILE = "weights.safetensors"


def save_model(
    card: ModelCard, network: nn.Module, folder: Path, *, half: bool = False
) -> ModelCard:
    """Writes the weights and then the card, neither visible half-written.

    Returns the card as written. `half` writes float16, which is half the size and is read back as
    float32. Raises WeightsError for weights beyond the range of float16 (±65,504), and
    StorageError.
    """
    make_folder(folder)
    with replacing(folder / WEIGHTS_FILE) as part:
        save_state(network, part, half=half)
    return _complete(card, folder)


def copy_halved(card: ModelCard, weights: Path, folder: Path) -> ModelCard:
    """Writes the tensors of a weights file as float16 and then the card.

    Returns the card as written. It does what `save_model` does with `half`, but without building
    the network.
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


# ---- adapter -------------------------------------------------------------------------------------

RANDOM_NOTE = "Random weights: this network has learned nothing and finds nothing."
RANDOM_FACTS = {"weights_file": "", "weights_sha256": "", "note": RANDOM_NOTE}
"""The fields of a card that change when a network's weights are drawn anew."""
_SAMPLES_AT_A_TIME = 64


class Prepared(Protocol):
    """One sample's input to the network."""

    @property
    def sample_id(self) -> str:
        """The sample's id."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """(…, h, w) of the input; inputs of one shape go through the network together."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the network found in one image, as the fields of a `Prediction`."""

    detections: Detections
    image_score: float
    class_scores: Float32s | None = None


P = TypeVar("P", bound=Prepared)
R = TypeVar("R")


class Adapter(ABC, Generic[P, R]):
    """A network with its card: frozen, in eval mode, and safe for many threads."""

    _pixels_a_pass: ClassVar[Mapping[str, int]] = {"cpu": 8 * 800 * 1333, "cuda": 32 * 800 * 1333}
    """Input pixels that one forward pass may hold, by device: large inputs make small batches."""

    def __init__(self, card: ModelCard, network: Any) -> None:
        self._card = card
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._network = network.to(self._device).eval().requires_grad_(False)

    @abstractmethod
    def _prepare(self, sample: Sample) -> P:
        """Returns the input of one sample, made on the CPU."""

    @abstractmethod
    def _forward(self, batch: Sequence[P]) -> R:
        """Returns what the network makes of inputs of one shape, without gradients."""

    @abstractmethod
    def _to_predictions(self, raw: R, batch: Sequence[P]) -> list[Answer]:
        """Returns what the network's output means on the images, one answer for each input."""

    @abstractmethod
    def explain(self, sample: Sample, index: int | None) -> Heatmap:
        """See `Model.explain`."""

    @property
    def card(self) -> ModelCard:
        """What is known of the model."""
        return self._card

    @property
    def network(self) -> Any:
        """The frozen network itself; copy it before you change it."""
        return self._network

    def save(self, folder: Path) -> ModelCard:
        """Writes safetensors and, last, the card; returns the card as written."""
        return save_model(self._card, self._network, folder)

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        """See `Model.predict`."""
        found: list[Prediction] = []
        for start in range(0, len(samples), _SAMPLES_AT_A_TIME):
            found += self._predict_some(samples[start : start + _SAMPLES_AT_A_TIME])
        return found

    def _predict_some(self, samples: Sequence[Sample]) -> list[Prediction]:
        timed = [self._prepare_timed(sample) for sample in samples]
        found: dict[int, Prediction] = {}
        shapes = [one.shape for one, _ in timed]
        most = self._pixels_a_pass[self._device.type]
        for rows in batches_of_one_shape(shapes, most_pixels=most):
            found.update(zip(rows, self._predict_batch([timed[i] for i in rows]), strict=True))
        return [found[i] for i in range(len(timed))]

    def _prepare_timed(self, sample: Sample) -> tuple[P, float]:
        """Returns the input of one sample and the seconds that it took."""
        start = time.perf_counter()
        return self._prepare(sample), time.perf_counter() - start

    def _predict_batch(self, timed: Sequence[tuple[P, float]]) -> list[Prediction]:
        batch = [prepared for prepared, _ in timed]
        start = time.perf_counter()
        raw = self._forward(batch)
        if self._device.type == "cuda":
            # A GPU works on after the call: what it still has to do is inference, too.
            torch.cuda.synchronize(self._device)
        forwarded = time.perf_counter()
        answers = self._to_predictions(raw, batch)
        ended = time.perf_counter()
        return [
            self._prediction(
                prepared,
                answer,
                StageSeconds(
                    preprocess=seconds,
                    inference=(forwarded - start) / len(batch),
                    postprocess=(ended - forwarded) / len(batch),
                ),
            )
            for (prepared, seconds), answer in zip(timed, answers, strict=True)
        ]

    def _prediction(self, prepared: P, answer: Answer, stages: StageSeconds) -> Prediction:
        return Prediction(
            model_id=self._card.model_id,
            sample_id=prepared.sample_id,
            detections=answer.detections,
            class_scores=answer.class_scores,
            image_score=answer.image_score,
            seconds=stages.total,
            stages=stages,
        )


class Detector(Adapter[P, R]):
    """An adapter that finds boxes; the score of an image is that of its best box, 0 without any."""

    _most_explained: ClassVar[int] = 100
    """How many of its best findings at most explain an image as a whole."""

    @abstractmethod
    def _to_detections(self, raw: R, batch: Sequence[P]) -> list[tuple[Detections, Int64s]]:
        """Returns for each image its findings and, (n,), the network's candidate that gave each."""

    def _to_predictions(self, raw: R, batch: Sequence[P]) -> list[Answer]:
        return [
            Answer(detections=found, image_score=float(found.scores.max(initial=0)))
            for found, _ in self._to_detections(raw, batch)
        ]

    def _explained(self, found: Detections, index: int | None) -> slice:
        """Returns the findings to be explained.

        Raises IndexError where there is none at `index`.
        """
        if index is None:
            return slice(self._most_explained)
        if not 0 <= index < len(found):
            raise IndexError(f"index: expected one of {len(found)} findings, got {index}")
        return slice(index, index + 1)

    def _target(self, found: Detections, index: int | None) -> str:
        """Returns in words what a map explains."""
        if index is None:
            many = len(found) > self._most_explained
            those = f"the {self._most_explained} best" if many else "all"
            return f"{those} findings, weighted by their scores"
        name = self._card.classes[found.labels[index]]
        return f"finding {index + 1}, {name}, score {found.scores[index]:.2f}"


def batches_of_one_shape(
    shapes: Sequence[tuple[int, ...]], *, most_pixels: int
) -> Iterator[list[int]]:
    """Yields positions in batches of one input shape (…, h, w), in the order of first appearance.

    A batch holds at most `most_pixels` input pixels, and one input at least. Images of different
    shapes are never padded to a common one: a ResNet sees how far it is padded, so a prediction
    would depend on the neighbours in the batch.

    Example:
        >>> list(batches_of_one_shape([(1, 2, 2), (1, 4, 4), (1, 2, 2)], most_pixels=8))
        [[0, 2], [1]]
    """
    same: dict[tuple[int, ...], list[int]] = {}
    for position, shape in enumerate(shapes):
        same.setdefault(shape, []).append(position)
    for shape, positions in same.items():
        most = max(1, most_pixels // (shape[-2] * shape[-1]))
        for start in range(0, len(positions), most):
            yield positions[start : start + most]
