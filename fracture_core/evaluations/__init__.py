"""A data set read by a model once: every raw answer kept, every figure a function of them."""

from fracture_core.evaluations.config import EvaluateConfig
from fracture_core.evaluations.evaluation import About, Evaluation
from fracture_core.evaluations.folders import (
    Listed,
    delete_evaluation,
    list_evaluations,
    load_evaluation,
    look_at,
    new_evaluation,
)
from fracture_core.evaluations.running import run_evaluation

__all__ = [
    "About",
    "EvaluateConfig",
    "Evaluation",
    "Listed",
    "delete_evaluation",
    "list_evaluations",
    "load_evaluation",
    "look_at",
    "new_evaluation",
    "run_evaluation",
]
