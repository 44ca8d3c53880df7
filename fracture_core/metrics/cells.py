"""The confusion of a detector: which class each ground truth was found as.

Matching is greedy by score and does not ask for the class, so that a box of the wrong class takes
the ground truth it lies on. One matching serves every confidence, as in `greedy`.
"""

from dataclasses import dataclass

import numpy as np

from fracture_core.metrics import greedy
from fracture_core.metrics.detection_table import Bools, DetectionTable, Float64s, Images, pair_up
from fracture_core.types import Int64s

BACKGROUND = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """`gt_row` (N,) int64, the ground truth each found row takes, −1 = background · of the found
    rows `image`, `scores` and `labels` (N,), of the ground truths `gt_image` and `gt_labels` (M,).

    In a matrix of K classes row and column K stand for the background: the last column holds what
    was missed, the last row what is false positive.
    """

    image_count: int
    gt_row: Int64s
    image: Int64s
    scores: Float64s
    labels: Int64s
    gt_image: Int64s
    gt_labels: Int64s

    def matrix(self, confidence: float, class_count: int) -> Int64s:
        """(K+1, K+1) counts of findings and missed ground truths, rows true, columns predicted.

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
        """Positions, rising, of the images that are counted in one cell of `matrix`."""
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
    """Match all candidates, IoU ≥ `match_iou`, whatever their class."""
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
