"""Metrics of weighted images, prepared once so that each set of weights costs little.

The bootstrap asks for them a thousand times, so whatever needs matching or sorting is done before.
With every weight 1 they are the metrics of `classification`, `greedy` and `froc`.
"""

from dataclasses import dataclass
from math import nan
from typing import Self

import numpy as np
import numpy.typing as npt

from fracture_core.metrics import greedy
from fracture_core.metrics.detection_table import Bools, Float64s, Images, pair_up
from fracture_core.metrics.froc import RATES
from fracture_core.types import Int64s


@dataclass(frozen=True, slots=True, kw_only=True)
class Auc:
    """The area under the ROC curve of images, as a function of their weights.

    `positives` (P,) and `negatives` (Q,) are positions of images, the latter by rising score.
    `below` and `up_to` (P,) tell how many negatives are scored less than, and at most as much as,
    each positive.
    """

    positives: Int64s
    negatives: Int64s
    below: Int64s
    up_to: Int64s

    @classmethod
    def of(cls, scores: npt.ArrayLike, positive: npt.ArrayLike) -> Self:
        """Prepare the area from (I,) scores and (I,) bool, whether there is anything to find."""
        values, marks = np.asarray(scores, dtype=np.float64), np.asarray(positive, dtype=np.bool_)
        negatives = np.flatnonzero(~marks)
        negatives = negatives[np.argsort(values[negatives], kind="stable")]
        rising, ours = values[negatives], values[marks]
        return cls(
            positives=np.flatnonzero(marks),
            negatives=negatives,
            below=np.searchsorted(rising, ours, side="left").astype(np.int64),
            up_to=np.searchsorted(rising, ours, side="right").astype(np.int64),
        )

    def __call__(self, weights: Float64s) -> float:
        """(I,) weights of the images → the area, nan where positives or negatives weigh nothing.

        Example:
            >>> Auc.of([0.9, 0.2, 0.6], [True, True, False])(np.ones(3))
            0.5
        """
        ours = weights[self.positives]
        beaten = np.concatenate([[0.0], np.cumsum(weights[self.negatives])])
        pairs = float(ours.sum() * beaten[-1])
        if not pairs:
            return nan
        # A tie counts half.
        return float(ours @ (beaten[self.below] + beaten[self.up_to])) / (2 * pairs)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageCounts:
    """Counts at one confidence by image, from which metrics of weighted images are computed.

    `hits`, `false_positives` and `ground_truths` (I,) float64 count lesions or whole images.
    `alarms` (I,) is 1 where an image without a ground truth shows anything. Every metric takes (I,)
    weights and is nan where there is nothing to divide by.
    """

    hits: Float64s
    false_positives: Float64s
    ground_truths: Float64s
    alarms: Float64s

    @classmethod
    def of_findings(
        cls,
        found: Images,
        ground_truths: Images,
        confidence: float,
        *,
        match_iou: float = 0.5,
        class_aware: bool = True,
    ) -> Self:
        """Count lesions by greedy matching; a model that needs NMS must have had it before.

        Raises ValueError where the two sides are not of the same number of images.
        """
        found, ground_truths = pair_up(found, ground_truths)
        matched = greedy.match_all(found, ground_truths, match_iou, class_aware=class_aware)
        shown = found.scores.astype(np.float64) >= confidence
        there = _by_image(ground_truths.image, found.image_count)
        any_shown = _by_image(found.image[shown], found.image_count) > 0
        return cls(
            hits=_by_image(found.image[shown & matched], found.image_count),
            false_positives=_by_image(found.image[shown & ~matched], found.image_count),
            ground_truths=there,
            alarms=(any_shown & (there == 0)).astype(np.float64),
        )

    @classmethod
    def of_images(cls, scores: npt.ArrayLike, positive: npt.ArrayLike, confidence: float) -> Self:
        """Count whole images: (I,) scores, called from `confidence` on, and (I,) bool."""
        marks = np.asarray(positive, dtype=np.bool_)
        called = np.asarray(scores, dtype=np.float64) >= confidence
        alarms = (called & ~marks).astype(np.float64)
        return cls(
            hits=(called & marks).astype(np.float64),
            false_positives=alarms,
            ground_truths=marks.astype(np.float64),
            alarms=alarms,
        )

    def sensitivity(self, weights: Float64s) -> float:
        """The share of ground truths that are hit."""
        return _share(_sum(weights, self.hits), _sum(weights, self.ground_truths))

    def precision(self, weights: Float64s) -> float:
        """The share of what is shown that hits."""
        hits = _sum(weights, self.hits)
        return _share(hits, hits + _sum(weights, self.false_positives))

    def f1(self, weights: Float64s) -> float:
        """2 TP / (2 TP + FP + FN)."""
        hits = _sum(weights, self.hits)
        return _share(
            2 * hits, hits + _sum(weights, self.false_positives) + _sum(weights, self.ground_truths)
        )

    def fp_per_image(self, weights: Float64s) -> float:
        """The false positives divided by the number of images."""
        return _share(_sum(weights, self.false_positives), float(weights.sum()))

    def specificity(self, weights: Float64s) -> float:
        """The share of images without a ground truth that show nothing."""
        negatives = float(weights[self.ground_truths == 0].sum())
        return _share(negatives - _sum(weights, self.alarms), negatives)


@dataclass(frozen=True, slots=True, kw_only=True)
class FrocSensitivity:
    """`Froc.sensitivity_at`, at R rates of false positives an image, as a function of weights.

    `hit_image` (H,) are the images of the hits, the best scored first, and `wrong_image` (F,) those
    of the false positives. `before` (H,) int64, rising, tells how many false positives are scored
    at least as much as each hit. `ground_truths` (I,) counts the ground truths of each image.
    """

    hit_image: Int64s
    wrong_image: Int64s
    before: Int64s
    ground_truths: Float64s
    rates: tuple[float, ...]

    @classmethod
    def of(
        cls,
        found: Images,
        ground_truths: Images,
        *,
        match_iou: float = 0.5,
        class_aware: bool = True,
        rates: tuple[float, ...] = RATES,
    ) -> Self:
        """Match all candidates greedily; a model that needs NMS must have had it before.

        Raises ValueError where the two sides are not of the same number of images.
        """
        found, ground_truths = pair_up(found, ground_truths)
        matched = greedy.match_all(found, ground_truths, match_iou, class_aware=class_aware)
        hits, wrong = (_falling(found.scores, marks) for marks in (matched, ~matched))
        before = np.searchsorted(-found.scores[wrong], -found.scores[hits], side="right")
        return cls(
            hit_image=found.image[hits],
            wrong_image=found.image[wrong],
            before=before.astype(np.int64),
            ground_truths=_by_image(ground_truths.image, found.image_count),
            rates=rates,
        )

    def __call__(self, weights: Float64s) -> Float64s:
        """(I,) weights of the images → (R,) sensitivities, nan without a ground truth."""
        images, lesions = weights.sum(), weights @ self.ground_truths
        if not (images and lesions):
            return np.full(len(self.rates), nan)
        allowed = np.asarray(self.rates) * images
        hits = np.concatenate([[0.0], np.cumsum(weights[self.hit_image])])
        reached = np.searchsorted(
            self._wrong_at_hits(weights, allowed.max()), allowed, side="right"
        )
        shares: Float64s = hits[reached] / lesions
        return shares

    def _wrong_at_hits(self, weights: Float64s, enough: float) -> Float64s:
        """(h,) the weighted false positives at each of the first hits, until there are `enough`."""
        # With equal weights this many suffice; resamples need a little more, seldom much.
        length = int(1.25 * enough) + 1
        while True:
            wrong = np.cumsum(weights[self.wrong_image[:length]])
            if length >= len(self.wrong_image) or wrong[-1] > enough:
                break
            length *= 2
        known = self.before[: np.searchsorted(self.before, len(wrong), side="right")]
        return np.concatenate([[0.0], wrong])[known]


def _by_image(image: Int64s, image_count: int) -> Float64s:
    return np.bincount(image, minlength=image_count).astype(np.float64)


def _falling(scores: npt.NDArray[np.float32], marks: Bools) -> Int64s:
    """The marked rows, the best scored first."""
    rows = np.flatnonzero(marks)
    return rows[np.argsort(-scores[rows], kind="stable")]


def _sum(weights: Float64s, counts: Float64s) -> float:
    return float(weights @ counts)


def _share(part: float, whole: float) -> float:
    return part / whole if whole else nan
