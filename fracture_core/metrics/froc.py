"""Free-response operating characteristic: lesions found over false positives an image.

All candidates count, never only the shown ones, so that the curve does not end where somebody put
a threshold.
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
    """`confidences` (C,) every distinct score, the highest first · at each `sensitivity` (C,), the
    share of `lesions` found, and `fp_per_image` (C,) over all `images`, with a lesion or without.

    Both are nan, undefined, where there is nothing to divide by.
    """

    confidences: Float64s
    sensitivity: Float64s
    fp_per_image: Float64s
    images: int
    lesions: int

    def sensitivity_at(self, rates: Sequence[float] = RATES) -> Float64s:
        """(R,) the most that a threshold reaches with at most so many false positives an image.

        Nothing is interpolated: each is reached by a confidence there is, or 0 by showing nothing.
        """
        if not (self.lesions and self.images):
            return np.full(len(rates), nan)
        reached = np.searchsorted(self.fp_per_image, np.asarray(rates), side="right")
        return np.append(0.0, self.sensitivity)[reached]

    @property
    def mean_sensitivity(self) -> float:
        """Of the seven `RATES`, LUNA16's score."""
        return float(self.sensitivity_at().mean())


def froc(
    found: Images, ground_truths: Images, *, match_iou: float = 0.5, class_aware: bool = True
) -> Froc:
    """Findings matched greedily, IoU ≥ `match_iou`; boxes that need merging are merged before."""
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
