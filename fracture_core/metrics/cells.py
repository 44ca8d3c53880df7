"""The confusion matrix of a detector: as which class each ground truth was found.

Matching is greedy by score and ignores the class, so that a box of the wrong class takes the ground
truth it lies on. One matching serves every confidence, as in `greedy`.
"""

from dataclasses import dataclass

import numpy as np

from fracture_core.metrics import greedy
from fracture_core.metrics.detection_table import Bools, DetectionTable, Float64s, Images, pair_up
from fracture_core.types import Int64s

BACKGROUND = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """Which ground truth each found box takes; confusion matrices are counted from it.

    `gt_row` (N,) int64 is the ground truth that each found box takes, −1 = background. `image`,
    `scores` and `labels` (N,) are of the found boxes, `gt_image` and `gt_labels` (M,) of the ground
    truths. In a matrix of K classes the row and column K stand for the background: the last column
    holds the missed ground truths, the last row the false positives.
    """

    image_count: int
    gt_row: Int64s
    image: Int64s
    scores: Float64s
    labels: Int64s
    gt_image: Int64s
    gt_labels: Int64s

    def matrix(self, confidence: float, class_count: int) -> Int64s:
        """(K+1, K+1) counts at one confidence, rows true and columns predicted.

        Raises ValueError where a label is not below `class_count`.
        """
        self._require_classes(class_count)
        shown = self.scores >= confidence
        side = class_count + 1
        true, predicted = self._true(class_count)[shown], self.labels[shown]
        missed = self.gt_labels[self._missed(shown)] * side + class_count
        places = np.concatenate([true * side + predicted, missed])
        return np.bincount(places, minlength=side**2).reshape(side, side).astype(np.int64)

    def images(self, confidence: float, true: int, predicted: int, class_count: int) -> Int64s:
        """Return the positions, rising, of the images that are counted in one cell of `matrix`."""
        shown = self.scores >= confidence
        if predicted == class_count:
            here = self._missed(shown) & (self.gt_labels == true)
            return np.unique(self.gt_image[here])
        here = shown & (self._true(class_count) == true) & (self.labels == predicted)
        return np.unique(self.image[here])

    def _true(self, class_count: int) -> Int64s:
        """(N,) the class of the ground truth that each found row takes, K = none."""
        return np.append(self.gt_labels, class_count)[self.gt_row]

    def _missed(self, shown: Bools) -> Bools:
        """(M,) the ground truths that nothing shown takes."""
        missed = np.ones(len(self.gt_labels) + 1, dtype=np.bool_)
        missed[self.gt_row[shown]] = False
        return missed[:-1]

    def _require_classes(self, class_count: int) -> None:
        for name, labels in (("found", self.labels), ("ground_truths", self.gt_labels)):
            if labels.max(initial=-1) >= class_count:
                raise ValueError(f"{name}: expected labels below {class_count}, got {labels.max()}")


def assign_cells(found: Images, ground_truths: Images, match_iou: float = 0.5) -> Cells:
    """Match all candidates with IoU ≥ `match_iou`, whatever their class.

    Raises ValueError where the two sides are not of the same number of images.
    """
    found, ground_truths = pair_up(found, ground_truths)
    return _cells(
        found, ground_truths, greedy.assign_all(found, ground_truths, match_iou, class_aware=False)
    )


def _cells(found: DetectionTable, ground_truths: DetectionTable, gt_row: Int64s) -> Cells:
    return Cells(
        image_count=found.image_count,
        gt_row=gt_row,
        image=found.image,
        scores=found.scores.astype(np.float64),
        labels=found.labels,
        gt_image=ground_truths.image,
        gt_labels=ground_truths.labels,
    )
