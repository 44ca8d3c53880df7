"""What all detectors with object queries share: pictures in, one candidate a query out.

DETR and its kin answer with a set: every query gives one box with scores for all classes. A
finding here is a query with its best class. Where an architecture scores classes independently,
its own post-processing lists the best pairs of query and class, so that one box may appear under
several classes; with one class the two are the same.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from fracture_core.boxes import Int64s
from fracture_core.models.attention_maps import over_picture
from fracture_core.models.cards import ModelCard
from fracture_core.models.detr_inputs import DetrInput, batches_of_one_shape
from fracture_core.models.saving import save_model
from fracture_core.types import Detections, Heatmap, Prediction, Sample

# Input pixels that one forward pass may hold.
_PIXELS_A_PASS = {"cpu": 8 * 800 * 1333, "cuda": 32 * 800 * 1333}
_SAMPLES_AT_A_TIME = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryAnswers:
    """One answer of each of Q queries to B pictures.

    `scores` (B, Q) of the best class · `labels` (B, Q) · `cxcywh` (B, Q, 4), shares of the
    picture.
    """

    scores: Tensor
    labels: Tensor
    cxcywh: Tensor

    @classmethod
    def softmax(cls, logits: Tensor, cxcywh: Tensor) -> "QueryAnswers":
        """Of (B, Q, K+1) logits, the last class "no object"."""
        scores, labels = logits.float().softmax(-1)[..., :-1].max(-1)
        return cls(scores=scores, labels=labels, cxcywh=cxcywh)

    @classmethod
    def sigmoid(cls, logits: Tensor, cxcywh: Tensor) -> "QueryAnswers":
        """Of (B, Q, K) logits, each class on its own."""
        best, labels = logits.float().max(-1)
        return cls(scores=best.sigmoid(), labels=labels, cxcywh=cxcywh)

    def xyxy(self) -> Tensor:
        """(B, Q, 4) corners, shares of the picture, not clipped."""
        half = self.cxcywh[..., 2:] / 2
        return torch.cat([self.cxcywh[..., :2] - half, self.cxcywh[..., :2] + half], dim=-1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """One sample's input: `grey` (1, h, w) uint8 for a picture of `height` × `width`."""

    sample_id: str
    height: int
    width: int
    grey: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class LookedFor:
    """The queries (n,) to be explained, each with a weight (n,), and all answers of the picture."""

    queries: Tensor
    weights: Tensor
    answers: QueryAnswers

    def weigh(self, attention: Tensor) -> Tensor:
        """(Q, L) → (L,), the chosen rows summed by weight."""
        return (attention[self.queries] * self.weights[:, None]).sum(0)

    def find(self, again: QueryAnswers) -> Tensor:
        """Where the queries are (n,) in another pass over the same picture.

        Architectures that choose their queries by score may list equal ones in another order.
        """
        sought, listed = (
            torch.cat([one.cxcywh[0], one.scores[0, :, None]], dim=1).detach()
            for one in (self.answers, again)
        )
        return torch.cdist(sought[self.queries], listed).argmin(dim=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """`values` (h, w) of the cells that tile a picture, and the method in words."""

    values: Tensor
    method: str


class QueryDetector(ABC):
    """A network with object queries and its card; frozen, in eval mode, safe for many threads."""

    def __init__(self, card: ModelCard, network: nn.Module, detr_input: DetrInput) -> None:
        self._card = card
        self._input = detr_input
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._network = network.to(self._device).eval().requires_grad_(False)

    @property
    def card(self) -> ModelCard:
        return self._card

    @property
    def network(self) -> nn.Module:
        """The frozen network itself; copy it before changing it."""
        return self._network

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        found: list[Prediction] = []
        for start in range(0, len(samples), _SAMPLES_AT_A_TIME):
            found += self._predict_some(samples[start : start + _SAMPLES_AT_A_TIME])
        return found

    def explain(self, sample: Sample, index: int | None) -> Heatmap:
        """Where the model looked for finding `index` of its prediction of this sample alone.

        None: for all findings together, each weighted by its score. Raises IndexError where there
        is no such finding.
        """
        prepared = self._prepare(sample)
        pixels = self._pixels([prepared])
        answers = self._forward(pixels)
        ((found, queries),) = self._to_detections(answers, [prepared])
        if index is not None and not 0 <= index < len(found):
            raise IndexError(f"index: expected one of {len(found)} findings, got {index}")
        chosen = slice(None) if index is None else slice(index, index + 1)
        weights = torch.ones(1) if index is not None else torch.tensor(found.scores.tolist())
        looked_for = LookedFor(
            queries=torch.tensor(queries[chosen].tolist(), dtype=torch.int64).to(self._device),
            weights=weights.to(self._device),
            answers=answers,
        )
        cells = self._explain(pixels, looked_for)
        target = "all findings, weighted by their scores"
        if index is not None:
            target = f"finding {index + 1}, {self._card.classes[found.labels[index]]}"
        picture = over_picture(cells.values, sample.height, sample.width)
        return Heatmap.of(picture, method=cells.method, target=target)

    def save(self, folder: Path) -> ModelCard:
        """Write the weights and, last, the card; returns the card with the weights' sha256."""
        return save_model(self._card, self._network, folder)

    def _predict_some(self, samples: Sequence[Sample]) -> list[Prediction]:
        prepared = [self._prepare(sample) for sample in samples]
        answers: dict[int, Prediction] = {}
        shapes = [tuple(one.grey.shape) for one in prepared]
        most = _PIXELS_A_PASS[self._device.type]
        for batch in batches_of_one_shape(shapes, most_pixels=most):
            found = self._predict_batch([prepared[i] for i in batch])
            answers.update(zip(batch, found, strict=True))
        return [answers[i] for i in range(len(prepared))]

    def _predict_batch(self, batch: list[Prepared]) -> list[Prediction]:
        start = time.perf_counter()
        found = self._to_detections(self._forward(self._pixels(batch)), batch)
        seconds = (time.perf_counter() - start) / len(batch)
        return [
            Prediction(
                model_id=self._card.model_id,
                sample_id=prepared.sample_id,
                detections=detections,
                image_score=float(detections.scores.max(initial=0)),
                seconds=seconds,
            )
            for prepared, (detections, _) in zip(batch, found, strict=True)
        ]

    def _prepare(self, sample: Sample) -> Prepared:
        return Prepared(
            sample_id=sample.sample_id,
            height=sample.height,
            width=sample.width,
            grey=self._input.resize(sample.shown()),
        )

    def _pixels(self, batch: list[Prepared]) -> Tensor:
        """(B, 3, h, w) for pictures of one input shape."""
        grey = torch.stack([one.grey for one in batch])
        return self._input.normalise(grey.to(self._device))

    @abstractmethod
    def _forward(self, pixels: Tensor) -> QueryAnswers:
        """Every query's answer to (B, 3, h, w) pixels, without gradients."""

    @abstractmethod
    def _explain(self, pixels: Tensor, looked_for: LookedFor) -> Cells:
        """Where the queries looked in the picture with these (1, 3, h, w) pixels."""

    def _to_detections(
        self, answers: QueryAnswers, batch: list[Prepared]
    ) -> list[tuple[Detections, Int64s]]:
        """For each picture the findings and the query that gave each."""
        sizes = torch.tensor([[p.width, p.height, p.width, p.height] for p in batch])
        xyxy = (answers.xyxy() * sizes[:, None].to(answers.cxcywh)).cpu().numpy()
        scores, labels = answers.scores.cpu().numpy(), answers.labels.cpu().numpy()
        return [
            Detections.raw(xyxy[i], scores[i], labels[i], height=one.height, width=one.width)
            for i, one in enumerate(batch)
        ]
