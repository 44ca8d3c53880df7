"""FROC, the free-response operating characteristic: lesions found over false positives an image.

All candidates count, not only the shown ones, so that the curve does not end where somebody put a
threshold.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan

import numpy as np

from fracture_core.metrics import greedy
from fracture_core.metrics.detection_table import Float64s, Images, pair_up

RATES = (1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8)
"""False positives an image at which sensitivity is read, as in LUNA16 (Setio et al. 2017)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Froc:
    """The FROC curve of C points, one at every distinct score.

    `confidences` (C,) are these scores, the highest first. `sensitivity` (C,) is the share of
    `lesions` found at each, and `fp_per_image` (C,) the false positives over all `images`, with a
    lesion or without. Without lesions `sensitivity` is nan, undefined; without images there is no
    point.
    """

    confidences: Float64s
    sensitivity: Float64s
    fp_per_image: Float64s
    images: int
    lesions: int

    def sensitivity_at(self, rates: Sequence[float] = RATES) -> Float64s:
        """(R,) the highest sensitivity with at most so many false positives an image.

        Nothing is interpolated: each value is reached at a confidence there is, or is 0, by showing
        nothing. All are nan without a lesion or an image.
        """
        if not (self.lesions and self.images):
            return np.full(len(rates), nan)
        reached = np.searchsorted(self.fp_per_image, np.asarray(rates), side="right")
        return np.append(0.0, self.sensitivity)[reached]

    @property
    def mean_sensitivity(self) -> float:
        """The mean sensitivity at the seven `RATES`, LUNA16's score."""
        return float(self.sensitivity_at().mean())


def froc(
    found: Images, ground_truths: Images, *, match_iou: float = 0.5, class_aware: bool = True
) -> Froc:
    """Return the FROC curve of findings matched greedily with IoU ≥ `match_iou`.

    A model that needs NMS must have had it before. Raises ValueError where the two sides are not of
    the same number of images.
    """
    found, ground_truths = pair_up(found, ground_truths)
    counts = greedy.sweep(found, ground_truths, match_iou=match_iou, class_aware=class_aware)
    images, lesions = found.image_count, len(ground_truths)
    return Froc(
        confidences=counts.confidences,
        sensitivity=counts.recall,
        fp_per_image=counts.false_positives / images if images else np.empty(0),
        images=images,
        lesions=lesions,
    )
