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
"""The nine rates, 0.01 to 1."""
# As their code has it: the logarithm of a miss rate of 0 is none.
_LEAST = 1e-10


@dataclass(frozen=True, slots=True, kw_only=True)
class LogAverageMissRate:
    """Call it with (I,) weights of the images; nan where there is no lesion.

    A rate that no confidence keeps to is read as showing nothing, a miss rate of 1.
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
        """All candidates, matched greedily; boxes that need merging are merged before."""
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
        missed = 1 - self.sensitivity(weights)
        return float(np.exp(np.log(np.maximum(missed, _LEAST)).mean()))
