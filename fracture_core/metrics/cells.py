"""The confusion of a detector: which class each truth was found as.

Matching is greedy by score and does not ask for the class, so that a box of the wrong class takes
the truth it lies on. One matching serves every confidence, as in `greedy`.
"""

from dataclasses import dataclass

import numpy as np

from fracture_core.metrics import greedy
from fracture_core.metrics.columns import Bools, Columns, Float64s, Images, pair_up
from fracture_core.types import Int64s

BACKGROUND = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """`truth_row` (N,) int64, the truth each found row takes, −1 = background · of the found rows
    `image`, `scores` and `labels` (N,), of the truths `truth_image` and `truth_labels` (M,).

    In a matrix of K classes row and column K stand for the background: the last column holds what
    was missed, the last row what is spurious.
    """

    image_count: int
    truth_row: Int64s
    image: Int64s
    scores: Float64s
    labels: Int64s
    truth_image: Int64s
    truth_labels: Int64s

    def matrix(self, confidence: float, class_count: int) -> Int64s:
        """(K+1, K+1) counts of findings and missed truths, rows true, columns predicted.

        Raises ValueError where a label is not below `class_count`.
        """
        self._require_classes(class_count)
        shown = self.scores >= confidence
        side = class_count + 1
        true, predicted = self._true(class_count)[shown], self.labels[shown]
        missed = self.truth_labels[self._missed(shown)] * side + class_count
        places = np.concatenate([true * side + predicted, missed])
        return np.bincount(places, minlength=side**2).reshape(side, side).astype(np.int64)

    def images(self, confidence: float, true: int, predicted: int, class_count: int) -> Int64s:
        """Positions, rising, of the images that are counted in one cell of `matrix`."""
        shown = self.scores >= confidence
        if predicted == class_count:
            here = self._missed(shown) & (self.truth_labels == true)
            return np.unique(self.truth_image[here])
        here = shown & (self._true(class_count) == true) & (self.labels == predicted)
        return np.unique(self.image[here])

    def _true(self, class_count: int) -> Int64s:
        """(N,) the class of the truth that each found row takes, K = none."""
        return np.append(self.truth_labels, class_count)[self.truth_row]

    def _missed(self, shown: Bools) -> Bools:
        """(M,) the truths that nothing shown takes."""
        missed = np.ones(len(self.truth_labels) + 1, dtype=np.bool_)
        missed[self.truth_row[shown]] = False
        return missed[:-1]

    def _require_classes(self, class_count: int) -> None:
        for name, labels in (("found", self.labels), ("truths", self.truth_labels)):
            if labels.max(initial=-1) >= class_count:
                raise ValueError(f"{name}: expected labels below {class_count}, got {labels.max()}")


def assign_cells(found: Images, truths: Images, match_iou: float = 0.5) -> Cells:
    """Match all candidates, IoU ≥ `match_iou`, whatever their class."""
    found, truths = pair_up(found, truths)
    return _cells(found, truths, greedy.assign_all(found, truths, match_iou, class_aware=False))


def _cells(found: Columns, truths: Columns, truth_row: Int64s) -> Cells:
    return Cells(
        image_count=found.image_count,
        truth_row=truth_row,
        image=found.image,
        scores=found.scores.astype(np.float64),
        labels=found.labels,
        truth_image=truths.image,
        truth_labels=truths.labels,
    )
