"""Evaluations made of numbers, put where the pages find them."""

from pathlib import Path

import numpy as np

from fracture_core.evaluations import EvaluateConfig, Evaluation
from fracture_core.evaluations.folders import GROUND_TRUTHS, PREDICTIONS, Completed
from fracture_core.evaluations.matched_models import write_config
from fracture_core.evaluations.storing import (
    GroundTruths,
    Predictions,
    write_ground_truths,
    write_predictions,
)
from fracture_core.runs import new_run
from fracture_core.settings import settings

SIDE_PX = 400


def store(evaluation: Evaluation, name: str, place: Path | None = None) -> Path:
    """A complete folder in `place`, as one that was run; by default under the home folder."""
    about, count = evaluation.about, len(evaluation)
    run = new_run((place or settings().evaluations) / name)
    config = EvaluateConfig(model=about.model_id, data=about.data, split=about.split)
    write_config(config, run.config)
    ground_truths = GroundTruths(
        sample_ids=evaluation.sample_ids,
        group_ids=evaluation.group_ids,
        sizes_px=np.full((count, 2), SIDE_PX, dtype=np.int64),
        known=evaluation.known,
        image_classes=evaluation.image_classes,
        boxes=evaluation.ground_truths,
        spacing_mm=np.full((count, 2), np.nan),
        attributes=evaluation.attributes,
    )
    scores = evaluation.class_scores
    predictions = Predictions(
        positions=np.arange(count, dtype=np.int64),
        raw=evaluation.raw,
        image_scores=evaluation.image_scores,
        class_scores=np.empty((count, 0), dtype=np.float32) if scores is None else scores,
        seconds=evaluation.seconds,
        stage_seconds=evaluation.stage_seconds,
    )
    write_ground_truths(ground_truths, run.path / GROUND_TRUTHS)
    write_predictions(predictions, run.path / PREDICTIONS)
    done = Completed(
        about=about,
        images=count,
        boxes=len(evaluation.raw),
        ground_truths=len(evaluation.ground_truths),
    )
    run.evaluation.write_text(done.model_dump_json())
    return run.path
