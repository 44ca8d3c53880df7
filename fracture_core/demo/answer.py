"""What a bundled model predicts for the demo case, kept as a file.

The first page opens with it, as asking the model would take as long as the import of torch. `python
-m fracture_core.demo.answer` asks the model and writes the file anew. The prediction holds only for
the very weights that gave it.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fracture_core.demo.case import demo_case
from fracture_core.masks import Rle
from fracture_core.models.library import open_model
from fracture_core.types import Detections, Prediction

MODEL = "yolo-segment"
FILE = Path(__file__).with_name("answer.npz")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPrediction:
    """A raw prediction for the demo case, and the SHA-256 of the weights that gave it."""

    prediction: Prediction
    weights_sha256: str


@cache
def stored_prediction() -> StoredPrediction:
    """Returns the prediction in the file that comes with the package, read once."""
    return read_stored_prediction(FILE)


def ask_model() -> StoredPrediction:
    """Returns what the model predicts now."""
    model = open_model(MODEL)
    (prediction,) = model.predict([demo_case()])
    return StoredPrediction(prediction=prediction, weights_sha256=model.card.weights_sha256)


def write_stored_prediction(answer: StoredPrediction, file: Path) -> None:
    """Writes boxes, scores, labels and masks as arrays without pickles."""
    found = answer.prediction.detections
    arrays: dict[str, npt.NDArray[Any]] = {
        "weights_sha256": np.asarray(answer.weights_sha256),
        "image_score": np.asarray(answer.prediction.image_score),
        "seconds": np.asarray(answer.prediction.seconds),
        "xyxy": found.xyxy,
        "scores": found.scores,
        "labels": found.labels,
        "mask_counts": np.asarray([mask.counts for mask in found.masks]),
    }
    np.savez_compressed(file, allow_pickle=False, **arrays)


def read_stored_prediction(file: Path) -> StoredPrediction:
    """Returns what `write_stored_prediction` wrote."""
    with np.load(file, allow_pickle=False) as stored:
        kept: dict[str, npt.NDArray[Any]] = dict(stored)
    case = demo_case()
    found = Detections(
        xyxy=kept["xyxy"],
        scores=kept["scores"],
        labels=kept["labels"],
        masks=tuple(
            Rle(height=case.height, width=case.width, counts=counts)
            for counts in kept["mask_counts"].tolist()
        ),
    )
    prediction = Prediction(
        model_id=MODEL,
        sample_id=case.sample_id,
        detections=found,
        image_score=float(kept["image_score"]),
        seconds=float(kept["seconds"]),
    )
    return StoredPrediction(prediction=prediction, weights_sha256=str(kept["weights_sha256"]))


if __name__ == "__main__":
    write_stored_prediction(ask_model(), FILE)
