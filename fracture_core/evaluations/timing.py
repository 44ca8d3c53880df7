"""How long a model took for an image, in all and by stage, on the machine that evaluated.

Stages are measured by the adapter that all families share (`models.adapter`). A consensus, a family
of another package that does not tell them, and an evaluation from before they were kept have the
total alone. Reading the file is in none of them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import nan

import numpy as np

from fracture_core.evaluations.evaluation import Evaluation
from fracture_core.evaluations.report import Draft, Metric
from fracture_core.metrics.detection_table import Float64s
from fracture_core.types import STAGE_NAMES, ms_text

TIME = "Time, ms an image"
TOTAL = "in all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Milliseconds an image; `stages_ms` are those of `STAGE_NAMES`, () where they are not known.

    `total_ms` is nan where there is no image.
    """

    total_ms: float
    stages_ms: tuple[float, ...]

    @property
    def stages_text(self) -> str:
        """Such as "pre-process 0.4, inference 5, post-process 0.3", or ""."""
        named = zip(STAGE_NAMES, self.stages_ms, strict=False)
        return ", ".join(f"{name} {ms_text(ms)}" for name, ms in named)

    @property
    def text(self) -> str:
        """Such as "5.7 ms an image: pre-process 0.4, inference 5, post-process 0.3"."""
        parts = self.stages_text
        return f"{ms_text(self.total_ms)} ms an image{f': {parts}' if parts else ''}"


def timing(evaluation: Evaluation, average: Callable[[Float64s], object] = np.mean) -> Timing:
    """Return the average time of an image: the mean, whose stages add up, or `np.median`."""
    seconds, stages = evaluation.seconds.astype(np.float64), evaluation.stage_seconds
    known = np.empty((0, len(STAGE_NAMES)))
    if stages is not None:
        known = stages[~np.isnan(stages).any(axis=1)].astype(np.float64)
    return Timing(
        total_ms=_ms(average, seconds) if len(seconds) else nan,
        stages_ms=tuple(_ms(average, column) for column in known.T) if len(known) else (),
    )


def _ms(average: Callable[[Float64s], object], seconds: Float64s) -> float:
    return 1000 * float(np.asarray(average(seconds)))


def report_time(draft: Draft, evaluation: Evaluation) -> None:
    """Add the mean time of all images that were predicted, whether their ground truth is known."""
    found = timing(evaluation)
    named = [(TOTAL, found.total_ms), *zip(STAGE_NAMES, found.stages_ms, strict=False)]
    for name, ms in named:
        draft.add(
            Metric(
                section=TIME,
                name=name,
                unit="image",
                n=len(evaluation),
                rule="mean, on the machine that evaluated, without reading the files",
                measure=ms,
            )
        )
