"""The fake family: a model that invents findings, always the same ones for the same image.

It carries the quick start and the tests. Where the ground truth of a sample is known it scatters
candidates around it, as a detector does; in every image it adds weak candidates at bright edges.
"""

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np

from fracture_core import boxes, masks
from fracture_core.boxes import Float64s
from fracture_core.errors import ConfigError, WeightsError
from fracture_core.files import make_folder
from fracture_core.models.base import Family
from fracture_core.models.cards import ModelCard, write_card
from fracture_core.scope import SYNTHETIC
from fracture_core.types import Detections, Heatmap, Pixels, Prediction, Sample

CARD = ModelCard(
    model_id="fake",
    title="Fake model (invents findings)",
    family="fake",
    task="segment",
    # The classes of the demo cases, and some more for other data sets.
    classes=(
        *("transverse", "oblique", "spiral", "comminuted", "greenstick"),
        *(f"class {label}" for label in range(5, 10)),
    ),
    input_size=1024,
    needs_nms=True,
    training_data="none",
    training_licence="none",
    scope=SYNTHETIC,
    note=(
        "Not a model: it invents findings from the pixels and, where the ground truth is known, "
        "from the ground truth. It is here to try the workbench without weights."
    ),
)
_MOST_CANDIDATES = 200
_CANDIDATES_A_LESION = 9
_NEAR_MISSES_A_LESION = 3
_CHANCE_OF_A_HARD_LESION = 0.25
_FALSE_POSITIVES = 70
_EDGE_GRID = 192


class FakeModel:
    """A model that invents findings; its card says so."""

    def __init__(self, card: ModelCard) -> None:
        self._card = card

    @classmethod
    def load(cls, card: ModelCard, folder: Path) -> Self:
        """See `Family.load`; nothing is read."""
        return cls(card)

    @classmethod
    def describe(
        cls, weights: Path, *, model_id: str, title: str, classes: tuple[str, ...] | None
    ) -> ModelCard:
        """Raises WeightsError: the fake model has no weights."""
        expected = "no file: the fake model has no weights"
        raise WeightsError(weights, expected=expected, found=f"weights for {model_id}")

    @classmethod
    def from_name(cls, name: str) -> Self:
        """Raises ConfigError: the library knows the fake model by its id alone."""
        raise ConfigError(name, expected="fake, the only fake model", found="another name")

    @property
    def card(self) -> ModelCard:
        """What is known of the model."""
        return self._card

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        """See `Model.predict`."""
        return [self._predict_one(sample) for sample in samples]

    def explain(self, sample: Sample, index: int | None) -> Heatmap:
        """Returns a blob in the middle of a finding's box.

        None adds one for every finding, by its score. Raises IndexError where there is no such
        finding.
        """
        found = self._predict_one(sample).detections
        if index is not None and not 0 <= index < len(found):
            raise IndexError(f"index: expected one of {len(found)} findings, got {index}")
        shown = found if index is None else found[index : index + 1]
        target = "all findings, weighted by their scores"
        if index is not None:
            target = f"finding {index + 1}, {self._card.classes[found.labels[index]]}"
        return Heatmap.of(_blobs(shown, sample.height, sample.width), "invented", target)

    def with_random_weights(self, seed: int) -> Self:
        """Returns the same model: what has no weights cannot lose them."""
        return type(self)(self._card)

    def save(self, folder: Path) -> ModelCard:
        """Writes the card alone, as there are no weights; returns the card."""
        make_folder(folder)
        write_card(self._card, folder)
        return self._card

    def _predict_one(self, sample: Sample) -> Prediction:
        start = time.perf_counter()
        shown = sample.shown()
        digest = hashlib.blake2b(shown.tobytes(), digest_size=8).digest()
        rng = np.random.default_rng(int.from_bytes(digest, "little"))
        parts = [_false_positives(shown, len(self._card.classes), rng)]
        if sample.ground_truth is not None:
            parts += _around(sample.ground_truth, rng)
        xyxy, scores, labels = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        found, _ = Detections.raw(xyxy, scores, labels, height=sample.height, width=sample.width)
        found = _with_masks(found[:_MOST_CANDIDATES], sample.height, sample.width)
        return Prediction(
            model_id=self._card.model_id,
            sample_id=sample.sample_id,
            detections=found,
            image_score=float(found.scores.max(initial=0)),
            seconds=time.perf_counter() - start,
        )


def _blobs(found: Detections, height: int, width: int) -> Float64s:
    """(H, W) sum of Gaussians as high as the scores, their deviation a quarter of the box."""
    xyxy = found.xyxy.astype(np.float64)
    centre, deviation = (xyxy[:, :2] + xyxy[:, 2:]) / 2, (xyxy[:, 2:] - xyxy[:, :2]) / 4
    x, y = (np.arange(side) + 0.5 for side in (width, height))
    across = np.exp(-(((x - centre[:, :1]) / deviation[:, :1]) ** 2) / 2)
    down = np.exp(-(((y - centre[:, 1:]) / deviation[:, 1:]) ** 2) / 2)
    values: Float64s = (down * found.scores[:, None].astype(np.float64)).T @ across
    return values


_Part = tuple[Float64s, Float64s, boxes.Int64s]


def _around(ground_truth: Detections, rng: np.random.Generator) -> list[_Part]:
    """Invents overlapping hits and near misses.

    The hits of some lesions, the hard ones, are weak.
    """
    parts: list[_Part] = []
    for xyxy, label in zip(ground_truth.xyxy.astype(np.float64), ground_truth.labels, strict=True):
        hard = rng.random() < _CHANCE_OF_A_HARD_LESION
        best = rng.uniform(0.12, 0.35) if hard else rng.uniform(0.6, 0.97)
        hits = _jittered(xyxy, 0.03 + 0.12 * np.linspace(0, 1, _CANDIDATES_A_LESION), rng)
        hit_scores = best * np.linspace(1, 0.25, _CANDIDATES_A_LESION)
        misses = _jittered(xyxy, np.full(_NEAR_MISSES_A_LESION, 0.6), rng)
        miss_scores = rng.uniform(0.05, 0.5, _NEAR_MISSES_A_LESION)
        count = _CANDIDATES_A_LESION + _NEAR_MISSES_A_LESION
        parts.append(
            (
                np.concatenate([hits, misses]),
                np.concatenate([hit_scores, miss_scores]),
                np.full(count, label, dtype=np.int64),
            )
        )
    return parts


def _jittered(xyxy: Float64s, spread: Float64s, rng: np.random.Generator) -> Float64s:
    """One box → (N, 4), moved and resized by about `spread` (N,) of its size."""
    size = xyxy[2:] - xyxy[:2]
    centre = (xyxy[:2] + xyxy[2:]) / 2
    moved = centre + rng.normal(size=(len(spread), 2)) * spread[:, None] * size
    resized = size * np.exp(rng.normal(size=(len(spread), 2)) * spread[:, None])
    return np.asarray(boxes.cxcywh_to_xyxy(np.concatenate([moved, resized], axis=1)))


def _false_positives(shown: Pixels, classes: int, rng: np.random.Generator) -> _Part:
    """Many weak candidates, and a few that are not so weak, at edges of the image."""
    height, width = shown.shape
    centre = _edge_points(shown, _FALSE_POSITIVES, rng)
    longest = max(height, width)
    size = (
        longest
        * rng.uniform(0.03, 0.14, (_FALSE_POSITIVES, 1))
        * rng.uniform(0.6, 1, (_FALSE_POSITIVES, 2))
    )
    scores = 0.01 + 0.75 * rng.beta(0.7, 3.5, _FALSE_POSITIVES)
    # The first class is the usual one: most data sets have few.
    labels = np.minimum(rng.geometric(0.85, _FALSE_POSITIVES) - 1, classes - 1)
    xyxy = boxes.cxcywh_to_xyxy(np.concatenate([centre, size], axis=1))
    return np.asarray(xyxy), scores, labels.astype(np.int64)


def _edge_points(shown: Pixels, count: int, rng: np.random.Generator) -> Float64s:
    """(count, 2) x and y, drawn where a coarse copy of the image changes most."""
    height, width = shown.shape
    step = max(1, max(height, width) // _EDGE_GRID)
    coarse = shown[::step, ::step].astype(np.float64)
    change = np.zeros(coarse.shape)
    change[:, 1:] += np.abs(np.diff(coarse, axis=1))
    change[1:] += np.abs(np.diff(coarse, axis=0))
    # A floor lets a blank image have points too.
    weight = (change.ravel() + 1e-6) ** 2
    picked = rng.choice(weight.size, size=count, p=weight / weight.sum())
    row, column = np.divmod(picked, coarse.shape[1])
    points: Float64s = (np.stack([column, row], axis=1) + rng.random((count, 2))) * step
    return points


def _with_masks(found: Detections, height: int, width: int) -> Detections:
    ellipses = tuple(_ellipse(xyxy, height, width) for xyxy in found.xyxy.astype(np.float64))
    return Detections(xyxy=found.xyxy, scores=found.scores, labels=found.labels, masks=ellipses)


def _ellipse(xyxy: Float64s, height: int, width: int) -> masks.Rle:
    """The ellipse inscribed in a box, of the pixels whose centres it holds."""
    left, top = np.floor(xyxy[:2]).astype(int)
    right, bottom = np.ceil(xyxy[2:]).astype(int)
    (x, y), (half_x, half_y) = (xyxy[:2] + xyxy[2:]) / 2, (xyxy[2:] - xyxy[:2]) / 2
    across = ((np.arange(left, right) + 0.5 - x) / half_x) ** 2
    down = ((np.arange(top, bottom) + 0.5 - y) / half_y) ** 2
    return masks.from_crop(down[:, None] + across <= 1, left, top, height, width)


ADAPTER: Family = FakeModel
