"""The log-average miss rate, LAMR: how much is missed where few false positives are allowed.

P. Dollár, C. Wojek, B. Schiele, P. Perona, Pedestrian Detection: An Evaluation of the State of the
Art, IEEE TPAMI 34 (2012): the geometric mean of the miss rates at nine false positives per image,
evenly spaced in log space from 1e-2 to 1e0. Less is better.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from fracture_core.metrics.detection_table import Float64s, Images
from fracture_core.metrics.weighted import FrocSensitivity

FP_PER_IMAGE = tuple(10 ** (step / 4) for step in range(-8, 1))
"""The nine rates of false positives per image, 0.01 to 1."""
# As in the authors' code: a miss rate of 0 has no logarithm.
_LEAST = 1e-10


@dataclass(frozen=True, slots=True, kw_only=True)
class LogAverageMissRate:
    """The LAMR as a function of the weights of the images.

    A rate of false positives that no confidence keeps to is read as showing nothing, a miss rate of
    1.
    """

    sensitivity: FrocSensitivity

    @classmethod
    def of(
        cls,
        found: Images,
        ground_truths: Images,
        *,
        match_iou: float = 0.5,
        class_aware: bool = True,
    ) -> Self:
        """Match all candidates greedily; a model that needs NMS must have had it before.

        Raises ValueError where the two sides are not of the same number of images.
        """
        return cls(
            sensitivity=FrocSensitivity.of(
                found,
                ground_truths,
                match_iou=match_iou,
                class_aware=class_aware,
                rates=FP_PER_IMAGE,
            )
        )

    def __call__(self, weights: Float64s) -> float:
        """(I,) weights of the images → the LAMR in [0, 1], nan where there is no lesion."""
        missed = 1 - self.sensitivity(weights)
        return float(np.exp(np.log(np.maximum(missed, _LEAST)).mean()))
