"""What the models that come with the package reach: measured on the weights as they are shipped."""

from dataclasses import replace
from pathlib import Path

from fracture_core.evaluations import (
    EvaluateConfig,
    Evaluation,
    apply_points,
    measure_points,
    new_evaluation,
    run_evaluation,
)
from fracture_core.models.cards import ModelCard
from fracture_core.models.library import SHIPPED
from fracture_core.models.points import write_points
from fracture_core.runs import RunFolder

NAME = "synthetic radiographs"


def write_shipped_points(card: ModelCard, data: Path, work: Path) -> Path:
    """Choose operating points on "val", apply them to "test", keep both beside the card."""
    valid, test = (_evaluated(card, data, split, work) for split in ("val", "test"))
    measured = apply_points(measure_points(valid), test)
    return write_points(measured, card, SHIPPED / card.model_id)


def _evaluated(card: ModelCard, data: Path, split: str, work: Path) -> Evaluation:
    """Weights that were trained anew are evaluated anew."""
    folder = work / "evaluations" / f"{card.model_id}-{split}-{card.weights_sha256[:12]}"
    run = RunFolder(path=folder)
    if not run.config.is_file():
        config = EvaluateConfig(model=card.model_id, data=str(data), split=split, one_class=True)
        run = new_evaluation(config, folder=folder)
    evaluation = run_evaluation(run.path)
    assert evaluation is not None, "nobody asked it to stop"  # noqa: S101
    # Readers know the folder's name as little as the folder.
    about = evaluation.about.model_copy(update={"data_name": NAME})
    return replace(evaluation, about=about)
