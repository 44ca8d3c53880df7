"""Models of which all is known: what they look at is what they say they look at, or is not."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fracture_core.errors import WeightsError
from fracture_core.models.cards import ModelCard
from fracture_core.types import Detections, Heatmap, Prediction, Sample

ROWS = (
    (100, 100, 200, 220, 0.90, 0),
    (420, 60, 520, 160, 0.80, 0),
    (300, 260, 380, 330, 0.60, 1),
    (10, 20, 90, 100, 0.12, 1),
)
CLASSES = ("spiral", "oblique", "healthy")


def card(task: str = "detect", **facts: object) -> ModelCard:
    return ModelCard(
        model_id=f"patches-{task}",
        title="Patches",
        family="fake",
        task=task,
        classes=CLASSES,
        input_size=560,
        needs_nms=task == "detect",
    ).model_copy(update=facts)


@dataclass(frozen=True)
class PatchModel:
    """Scores each of its boxes by the contrast in it, as a share of that in the whole image.

    It explains its first finding truly, the second by another place, the third hardly at all;
    `fault` makes explaining fail or take `seconds`.
    """

    card: ModelCard
    sharp: Sample
    fault: str = ""
    seconds: float = 0
    elsewhere: bool = False

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        return [self._predict(sample) for sample in samples]

    def _predict(self, sample: Sample) -> Prediction:
        contrasts = [_contrast(sample, row) / _contrast(self.sharp, row) for row in ROWS]
        scores = [
            row[4] * min(contrast, 1.0) for row, contrast in zip(ROWS, contrasts, strict=True)
        ]
        table = np.array(ROWS)
        found, _ = Detections.raw(
            table[:, :4], scores, table[:, 5], height=sample.height, width=sample.width
        )
        classify = self.card.task == "classify"
        spiral = float(scores[0]) * 0.9
        return Prediction(
            model_id=self.card.model_id,
            sample_id=sample.sample_id,
            detections=Detections.empty() if classify else found,
            image_score=float(max(scores)),
            seconds=0,
            class_scores=np.array([spiral, 0.9 - spiral, 0.1]) if classify else None,
        )

    def explain(self, sample: Sample, index: int | None) -> Heatmap:
        time.sleep(self.seconds)
        if self.fault == "weights":
            raise WeightsError("patches", expected="weights", found="<b>none</b>")
        if self.fault:
            raise RuntimeError(self.fault)
        row = ROWS[(index or 0) + (index == 1)]
        strength = (0.9, 0.8, 0.2, 0.1)[index or 0]
        target = "the image" if index is None else f"finding {index + 1}"
        return Heatmap.of(self._place(sample, row) * strength, method="patches", target=target)

    def explain_gate(self, sample: Sample) -> Heatmap:
        return Heatmap.of(
            self._place(sample, ROWS[1]) * 0.5, method="Attention gate", target="the image"
        )

    def with_random_weights(self, seed: int) -> "PatchModel":
        return replace(self, elsewhere=True)

    def save(self, folder: Path) -> ModelCard:
        raise NotImplementedError

    def _place(self, sample: Sample, row: tuple[float, ...]) -> np.ndarray:
        """Ones in a box; with other weights in the lower half of the image."""
        values = np.zeros((sample.height, sample.width))
        left, top, right, bottom = map(int, row[:4])
        values[top:bottom, left:right] = 1
        return values[::-1] if self.elsewhere else values


def _contrast(sample: Sample, row: tuple[float, ...]) -> float:
    left, top, right, bottom = map(int, row[:4])
    return float(sample.shown()[top:bottom, left:right].std())
