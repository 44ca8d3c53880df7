"""What the models that come with the package reach: measured on the weights as they are shipped."""

from dataclasses import replace
from pathlib import Path

from fracture_core.evaluations import Evaluation, apply_points, measure_points
from fracture_core.models.cards import ModelCard
from fracture_core.models.library import SHIPPED
from fracture_core.models.points import write_points
from trainers.shipping import evaluate_shipped

NAME = "synthetic radiographs"


def write_shipped_points(card: ModelCard, data: Path, work: Path) -> Path:
    """Choose operating points on "val", apply them to "test", keep both beside the card."""
    valid, test = (_evaluated(card, data, split, work) for split in ("val", "test"))
    measured = apply_points(measure_points(valid), test)
    return write_points(measured, card, SHIPPED / card.model_id)


def _evaluated(card: ModelCard, data: Path, split: str, work: Path) -> Evaluation:
    evaluation = evaluate_shipped(card, data, split, work)
    # Readers know the folder's name as little as the folder.
    about = evaluation.about.model_copy(update={"data_name": NAME})
    return replace(evaluation, about=about)
