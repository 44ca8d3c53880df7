"""COCO's average precision of weighted images, for the bootstrap.

Boxes are matched and ranked once; a resample of the images is then only a vector of weights, so
that a thousand of them cost little. With every weight 1 the values are those of
`metrics.coco.evaluate_boxes`.
"""

from dataclasses import dataclass
from math import nan
from typing import Self

import numpy as np

from fracture_core.metrics.coco import MATCH_IOUS, MOST_FOUND, RECALLS
from fracture_core.metrics.detection_table import Bools, DetectionTable, Float64s
from fracture_core.metrics.greedy import Assigner, Assignment
from fracture_core.metrics.pairs import box_pairs, group_keys, rank_within
from fracture_core.types import Int64s


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassRanking:
    """The candidates of one class over all images, the best scored first.

    `image` (N,) is the image of each candidate, cut off after the last one that hits. `place` (S,)
    int64, rising, are the positions of those that hit at any IoU, and `hit` (S, T) says at which.
    `ground_truths` (I,) counts the ground truths of each image.
    """

    image: Int64s
    place: Int64s
    hit: Bools
    ground_truths: Float64s


@dataclass(frozen=True, slots=True, kw_only=True)
class AveragePrecision:
    """The average precision at each of COCO's ten IoUs, as a function of the images' weights."""

    classes: tuple[ClassRanking, ...]

    @classmethod
    def of(cls, found: DetectionTable, ground_truths: DetectionTable) -> Self:
        """Match all candidates; the best 100 of each class and image count, as in COCO."""
        group, _ = group_keys(found, ground_truths, class_aware=True)
        counted = found.rows(rank_within(group) < MOST_FOUND[-1])
        pairs = box_pairs(counted, ground_truths, MATCH_IOUS[0])
        none = np.zeros(len(ground_truths), dtype=np.bool_)
        held = Assigner(pairs, "last ground truth").assign(
            MATCH_IOUS, len(ground_truths), none, none
        )
        labels = np.unique(ground_truths.labels).tolist()
        return cls(classes=tuple(_ranking(counted, ground_truths, held, label) for label in labels))

    def __call__(self, weights: Float64s) -> Float64s:
        """(I,) weights of the images → (T,) the mean over classes with a ground truth, or nan."""
        of_classes = [_of_class(each, weights) for each in self.classes]
        defined = [values for values in of_classes if values is not None]
        if not defined:
            return np.full(len(MATCH_IOUS), nan)
        mean: Float64s = np.mean(defined, axis=0)
        return mean


def _ranking(
    found: DetectionTable, ground_truths: DetectionTable, held: Assignment, label: int
) -> ClassRanking:
    rows = np.flatnonzero(found.labels == label)
    order = rows[np.argsort(-found.scores[rows], kind="stable")]
    hit = np.zeros((len(found), held.gt_of.shape[1]), dtype=np.bool_)
    hit[held.found] = held.gt_of >= 0
    place = np.flatnonzero(hit[order].any(axis=1))
    last = int(place[-1]) + 1 if len(place) else 0
    own = ground_truths.image[ground_truths.labels == label]
    return ClassRanking(
        image=found.image[order[:last]],
        place=place,
        hit=hit[order[place]],
        ground_truths=np.bincount(own, minlength=ground_truths.image_count).astype(np.float64),
    )


def _of_class(ranking: ClassRanking, weights: Float64s) -> Float64s | None:
    """(T,) average precision; None where the weighted images hold no ground truth of the class."""
    ground_truths = float(weights @ ranking.ground_truths)
    if not ground_truths:
        return None
    drawn = weights[ranking.image]
    counted = np.cumsum(drawn)[ranking.place][:, None]
    hits = np.cumsum(drawn[ranking.place][:, None] * ranking.hit, axis=0)
    # Precision is highest at a hit. COCO's own code has the same tiny addend: results are equal.
    precision = np.where(ranking.hit, hits / (counted + np.spacing(1.0)), 0.0)
    best_from = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
    recall = hits / ground_truths
    values = [
        np.append(best_from[:, t], 0.0)[np.searchsorted(recall[:, t], RECALLS, side="left")].mean()
        for t in range(ranking.hit.shape[1])
    ]
    return np.array(values)
