"""Explanations that are checked before they are shown: a heat map and how far it can be trusted.

Three checks are made. Energy inside the box: Wang et al. 2020 (Score-CAM). Deletion and insertion:
Petsiuk et al. 2018 (RISE), here against the same curves for cells in random order. Random weights:
Adebayo et al. 2018, "Sanity checks for saliency maps".
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from fracture_core import boxes, importing
from fracture_core.models.base import Model
from fracture_core.types import Detections, Float32s, Heatmap, Prediction, Sample

STEPS = 8
"""How many points the deletion and insertion curves have, ends included."""

CONCENTRATED = 2.0
"""The box must hold this many times as much of the map's energy as of the image's area."""

UNRELATED = 0.5
"""The highest rank correlation that a map may have with that of a network with random weights."""

NOTICEABLE = 0.01
"""How far a mean score must lie from that of random order to count as a difference."""

_GRID = 24
_SAME_FINDING_IOU = 0.5
_Grey = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class Faithfulness:
    """The measurements that tell how far a heat map can be trusted.

    `energy_inside` in [0, 1] is the share of the map inside the finding's box and `box_share` the
    share that a uniform map would have there; both None for a whole image · `deletion` and
    `insertion` are mean scores while the most important cells are taken away or put back first,
    `random_deletion` and `random_insertion` the same in random order · `with_random_weights` is the
    rank correlation in [−1, 1] with the map of the same network with random weights.
    """

    energy_inside: float | None
    box_share: float | None
    deletion: float
    random_deletion: float
    insertion: float
    random_insertion: float
    with_random_weights: float

    @property
    def failures(self) -> tuple[str, ...]:
        """What speaks against the map, one sentence each; having none proves nothing."""
        checks = (
            (not self._localises(), "The map does not gather in the finding's box."),
            (
                self.deletion > self.random_deletion - NOTICEABLE,
                "Taking away what the map marks lowers the "
                "score no faster than taking away at random.",
            ),
            (
                self.insertion < self.random_insertion + NOTICEABLE,
                "Putting back what the map marks raises the "
                "score no faster than putting back at random.",
            ),
            (abs(self.with_random_weights) > UNRELATED, "Random weights give much the same map."),
        )
        return tuple(sentence for failed, sentence in checks if failed)

    @property
    def verdict(self) -> str:
        """The outcome in up to three words, for a badge."""
        if not self._localises():
            return "does not localise"
        return "not faithful" if self.failures else "checks passed"

    def _localises(self) -> bool:
        if self.energy_inside is None or self.box_share is None:
            return True
        # A box that fills half the image cannot hold twice its share.
        return self.energy_inside >= min(CONCENTRATED * self.box_share, (1 + self.box_share) / 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """A heat map with the checks that were made of it."""

    heatmap: Heatmap
    faithfulness: Faithfulness


def explain(
    model: Model,
    sample: Sample,
    prediction: Prediction,
    index: int | None,
    *,
    seed: int = 0,
    progress: Callable[[float], None] = lambda share: None,
) -> Explanation:
    """Explain the finding at `index` of a prediction, or the image (None), and check the map.

    It costs two heat maps, one of them of the network with random weights, and four curves of
    `STEPS` predictions each. `progress` gets the share that is done, up to 1.
    """
    heatmap = model.explain(sample, index)
    progress(0.1)
    target = _target(prediction, index)
    rng = np.random.default_rng(seed)
    shown = sample.shown()
    importance = _coarse(heatmap.values)
    orders = (importance, rng.random(importance.shape).astype(np.float32))
    curves = []
    for place, order in enumerate(orders):
        curves.append(_curve(model, sample, target, _fade(shown, order, rng)))
        progress(0.1 + 0.35 * (place + 1))
    box = None if index is None else prediction.detections.xyxy[index]
    faithfulness = Faithfulness(
        energy_inside=None if box is None else energy_inside(heatmap, box),
        box_share=None if box is None else _share(box, sample),
        deletion=float(np.mean(curves[0][0])),
        insertion=float(np.mean(curves[0][1])),
        random_deletion=float(np.mean(curves[1][0])),
        random_insertion=float(np.mean(curves[1][1])),
        with_random_weights=_with_random_weights(model, sample, prediction, index, heatmap, seed),
    )
    progress(1.0)
    return Explanation(heatmap=heatmap, faithfulness=faithfulness)


def energy_inside(heatmap: Heatmap, xyxy: Float32s) -> float:
    """Return the share in [0, 1] of the map's sum that lies in a box (4,), 0 for an empty map.

    Pixels that the box cuts count as inside.
    """
    left, top = np.floor(xyxy[:2]).astype(int)
    right, bottom = np.ceil(xyxy[2:]).astype(int)
    total = float(heatmap.values.sum())
    inside = float(heatmap.values[top:bottom, left:right].sum())
    return inside / total if total > 0 else 0.0


Target = Callable[[Prediction], float]


def _target(prediction: Prediction, index: int | None) -> Target:
    """A function that tells how high another prediction still scores the same finding or class."""
    if index is not None:
        return lambda other: _score_of(prediction.detections, index, other.detections)
    if prediction.class_scores is not None:
        best = int(np.argmax(prediction.class_scores))
        return lambda other: (
            float(other.class_scores[best]) if other.class_scores is not None else 0.0
        )
    return lambda other: other.image_score


def _score_of(found: Detections, index: int, other: Detections) -> float:
    same = other.labels == found.labels[index]
    near = boxes.iou(other.xyxy, found.xyxy[index : index + 1])[:, 0] >= _SAME_FINDING_IOU
    return float(other.scores[same & near].max(initial=0.0))


def _share(xyxy: Float32s, sample: Sample) -> float:
    return float(boxes.area(xyxy[None])[0]) / (sample.height * sample.width)


def _coarse(values: Float32s) -> Float32s:
    """At most 24 × 24 cells of mean importance; a network does not notice single pixels."""
    rows, columns = (min(_GRID, side) for side in values.shape)
    row = np.arange(values.shape[0]) * rows // values.shape[0]
    column = np.arange(values.shape[1]) * columns // values.shape[1]
    cell = row[:, None] * columns + column[None, :]
    total = np.bincount(cell.ravel(), values.ravel(), rows * columns)
    mean = total / np.bincount(cell.ravel(), minlength=rows * columns)
    return mean.reshape(rows, columns).astype(np.float32)


def _fade(shown: _Grey, importance: Float32s, rng: np.random.Generator) -> Callable[[float], _Grey]:
    """A function from a share to the image with so many cells blurred, the most important first."""
    height, width = shown.shape
    # SciPy is imported on first use: the first page must not wait for it.
    with importing.LOCK:
        from scipy import ndimage

    blurred = ndimage.gaussian_filter(shown, sigma=max(shown.shape) / 20).astype(np.uint8)
    # Cells of equal importance go in random order: row by row would favour the top of the image.
    order = np.lexsort((rng.random(importance.size), -importance.ravel()))
    ranks = np.argsort(order).reshape(importance.shape)
    row = np.arange(height) * importance.shape[0] // height
    column = np.arange(width) * importance.shape[1] // width
    rank = ranks[row][:, column]
    return lambda share: np.where(rank < share * importance.size, blurred, shown)


def _curve(
    model: Model, sample: Sample, target: Target, fade: Callable[[float], _Grey]
) -> tuple[Sequence[float], Sequence[float]]:
    """Scores while the important cells go first, and while they come back first."""
    shares = np.linspace(0, 1, STEPS)
    gone = [fade(share) for share in shares]
    clean, empty = gone[0], gone[-1]
    # Put back first what the fading takes first: everything that differs from the clean image.
    back = [np.where(image != clean, clean, empty) for image in gone]
    predictions = model.predict([_imaged(sample, image) for image in (*gone, *back)])
    scores = [target(answer) for answer in predictions]
    return scores[:STEPS], scores[STEPS:]


def _imaged(sample: Sample, shown: _Grey) -> Sample:
    return replace(sample, read=lambda: shown, windows=())


def _with_random_weights(
    model: Model,
    sample: Sample,
    prediction: Prediction,
    index: int | None,
    heatmap: Heatmap,
    seed: int,
) -> float:
    """Rank correlation of the map with the one that random weights give for the same place."""
    stranger = model.with_random_weights(seed)
    twin = None
    if index is not None:
        candidates = stranger.predict([sample])[0].detections
        if len(candidates) == 0:
            return 0.0
        overlap = boxes.iou(candidates.xyxy, prediction.detections.xyxy[index : index + 1])[:, 0]
        twin = int(np.argmax(overlap))
    other = stranger.explain(sample, twin)
    first, second = _coarse(heatmap.values).ravel(), _coarse(other.values).ravel()
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return 0.0
    with importing.LOCK:
        from scipy import stats

    return float(stats.spearmanr(first, second).statistic)
