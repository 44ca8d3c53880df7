"""What detectors with object queries share: the input they take, and one candidate for each query.

DETR and its kin answer with a set: every query gives one box with scores for all classes. A finding
here is a query with its best class. Where an architecture scores classes independently, its own
post-processing lists the best pairs of query and class, so that one box may appear under several
classes; with one class the two are the same.
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torchvision.transforms.v2 import functional

from fracture_core.boxes import Int64s
from fracture_core.models.adapter import Detector
from fracture_core.models.attention_maps import over_image
from fracture_core.models.cards import ModelCard
from fracture_core.nets.pretrained import IMAGENET_MEAN, IMAGENET_STD
from fracture_core.types import Detections, Heatmap, Sample

# ---- input ---------------------------------------------------------------------------------------

# A very long and narrow image would shrink to less than this, the stride of the deepest cells.
LEAST_SIDE_PX = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class DetrInput:
    """The size and scale of a network's input.

    The rounding is that of transformers' image processors. With `longest_edge` the shorter side
    becomes `shortest_edge`, unless the longer one would pass `longest_edge`, as in DETR; without it
    the image becomes a square. Sides are rounded down to `multiple_of`. `normalises` tells whether
    values are standardised with ImageNet's mean and standard deviation or only scaled to [0, 1].
    """

    shortest_edge: int
    longest_edge: int | None
    multiple_of: int = 1
    normalises: bool = True

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Returns the input's height and width for an image in pixels, `LEAST_SIDE_PX` at least.

        Example:
            >>> DetrInput(shortest_edge=100, longest_edge=150).size(500, 1000)
            (75, 150)
        """
        if self.longest_edge is None:
            side = max(self.shortest_edge - self.shortest_edge % self.multiple_of, LEAST_SIDE_PX)
            return side, side
        short, long = min(height, width), max(height, width)
        edge = float(self.shortest_edge)
        if long / short * edge > self.longest_edge:
            edge = self.longest_edge * short / long
        fits = round(edge) == short
        sides = (round(edge), long if fits else int(edge * long / short))
        low, high = (max(side - side % self.multiple_of, LEAST_SIDE_PX) for side in sides)
        return (low, high) if height <= width else (high, low)

    def resize(self, shown: npt.NDArray[np.uint8]) -> Tensor:
        """Scales a (H, W) grey image to (1, h, w) uint8."""
        size = self.size(*shown.shape)
        grey: Tensor = functional.resize(torch.from_numpy(shown)[None], list(size), antialias=True)
        return grey

    def normalise(self, grey: Tensor) -> Tensor:
        """Turns (B, 1, h, w) uint8 into (B, 3, h, w) float32, one grey in all three channels."""
        if not self.normalises:
            return (grey.float() * (1 / 255)).expand(-1, 3, -1, -1).contiguous()
        mean = grey.new_tensor(IMAGENET_MEAN, dtype=torch.float32).view(1, 3, 1, 1)
        std = grey.new_tensor(IMAGENET_STD, dtype=torch.float32).view(1, 3, 1, 1)
        return (grey.float() - mean * 255) / (std * 255)


# ---- outputs -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryOutputs:
    """What each of Q queries found in B images.

    `scores` (B, Q) are those of the best class, `labels` (B, Q) is that class, and `cxcywh` (B, Q,
    4) are the boxes as shares of the image.
    """

    scores: Tensor
    labels: Tensor
    cxcywh: Tensor

    @classmethod
    def softmax(cls, logits: Tensor, cxcywh: Tensor) -> "QueryOutputs":
        """Reads (B, Q, K+1) logits whose last class is "no object"."""
        scores, labels = logits.float().softmax(-1)[..., :-1].max(-1)
        return cls(scores=scores, labels=labels, cxcywh=cxcywh)

    @classmethod
    def sigmoid(cls, logits: Tensor, cxcywh: Tensor) -> "QueryOutputs":
        """Reads (B, Q, K) logits, each class on its own."""
        best, labels = logits.float().max(-1)
        return cls(scores=best.sigmoid(), labels=labels, cxcywh=cxcywh)

    def xyxy(self) -> Tensor:
        """Returns the boxes' corners (B, Q, 4) as shares of the image, not clipped."""
        half = self.cxcywh[..., 2:] / 2
        return torch.cat([self.cxcywh[..., :2] - half, self.cxcywh[..., :2] + half], dim=-1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """One sample's input: `grey` (1, h, w) uint8 for an image of `height` × `width` pixels."""

    sample_id: str
    height: int
    width: int
    grey: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """(1, h, w) of the input."""
        return tuple(self.grey.shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class LookedFor:
    """The queries (n,) to be explained with a weight (n,) each, and the outputs of all queries."""

    queries: Tensor
    weights: Tensor
    predictions: QueryOutputs

    def weigh(self, attention: Tensor) -> Tensor:
        """Sums the chosen rows of (Q, L) attention by weight; returns (L,)."""
        return (attention[self.queries] * self.weights[:, None]).sum(0)

    def find(self, again: QueryOutputs) -> Tensor:
        """Returns (n,) where the chosen queries are in another pass over the same image.

        Architectures that choose their queries by score may list equal ones in another order.
        """
        sought, listed = (
            torch.cat([one.cxcywh[0], one.scores[0, :, None]], dim=1).detach()
            for one in (self.predictions, again)
        )
        return torch.cdist(sought[self.queries], listed).argmin(dim=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """`values` (h, w) of the cells that tile an image, and the method in words."""

    values: Tensor
    method: str


# ---- detector ------------------------------------------------------------------------------------


class QueryDetector(Detector[Prepared, QueryOutputs]):
    """A network with object queries and its card."""

    def __init__(self, card: ModelCard, network: nn.Module, detr_input: DetrInput) -> None:
        super().__init__(card, network)
        self._input = detr_input

    def explain(self, sample: Sample, index: int | None) -> Heatmap:
        """Returns where the queries looked; None: those of the best findings, each by its score.

        Raises IndexError where there is no such finding.
        """
        prepared = self._prepare(sample)
        pixels = self._pixels([prepared])
        predictions = self._run(pixels)
        ((found, queries),) = self._to_detections(predictions, [prepared])
        chosen = self._explained(found, index)
        weights = torch.tensor([1.0] if index is not None else found.scores[chosen].tolist())
        looked_for = LookedFor(
            queries=torch.tensor(queries[chosen].tolist(), dtype=torch.int64).to(self._device),
            weights=weights.to(self._device),
            predictions=predictions,
        )
        cells = self._explain(pixels, looked_for)
        image = over_image(cells.values, sample.height, sample.width)
        return Heatmap.of(image, method=cells.method, target=self._target(found, index))

    def _prepare(self, sample: Sample) -> Prepared:
        return Prepared(
            sample_id=sample.sample_id,
            height=sample.height,
            width=sample.width,
            grey=self._input.resize(sample.shown()),
        )

    def _forward(self, batch: Sequence[Prepared]) -> QueryOutputs:
        return self._run(self._pixels(batch))

    def _pixels(self, batch: Sequence[Prepared]) -> Tensor:
        """(B, 3, h, w) for images of one input shape."""
        grey = torch.stack([one.grey for one in batch])
        return self._input.normalise(grey.to(self._device))

    @abstractmethod
    def _run(self, pixels: Tensor) -> QueryOutputs:
        """Returns every query's output for (B, 3, h, w) pixels, without gradients."""

    @abstractmethod
    def _explain(self, pixels: Tensor, looked_for: LookedFor) -> Cells:
        """Returns where the queries looked in the image with these (1, 3, h, w) pixels."""

    def _to_detections(
        self, raw: QueryOutputs, batch: Sequence[Prepared]
    ) -> list[tuple[Detections, Int64s]]:
        """Makes every query a candidate."""
        sizes = torch.tensor([[p.width, p.height, p.width, p.height] for p in batch])
        xyxy = (raw.xyxy() * sizes[:, None].to(raw.cxcywh)).cpu().numpy()
        scores, labels = raw.scores.cpu().numpy(), raw.labels.cpu().numpy()
        return [
            Detections.raw(xyxy[i], scores[i], labels[i], height=one.height, width=one.width)
            for i, one in enumerate(batch)
        ]
