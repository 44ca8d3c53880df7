"""Evaluations: raw predictions of a data set, made once and kept, and every metric from them."""

from fracture_core.evaluations.evaluation import About, Evaluation
from fracture_core.evaluations.folders import (
    Listed,
    delete_evaluation,
    list_evaluations,
    load_evaluation,
    look_at,
    new_evaluation,
)
from fracture_core.evaluations.matched_models import EvaluateConfig
from fracture_core.evaluations.measuring import apply_points, measure_points
from fracture_core.evaluations.report import MetricValue, Report, Table
from fracture_core.evaluations.report_text import sentence_of_negative, sentence_of_score
from fracture_core.evaluations.reporting import report_of
from fracture_core.evaluations.running import check_evaluation, run_evaluation
from fracture_core.operating_points import RULES

__all__ = [
    "RULES",
    "About",
    "EvaluateConfig",
    "Evaluation",
    "Listed",
    "MetricValue",
    "Report",
    "Table",
    "apply_points",
    "check_evaluation",
    "delete_evaluation",
    "list_evaluations",
    "load_evaluation",
    "look_at",
    "measure_points",
    "new_evaluation",
    "report_of",
    "run_evaluation",
    "sentence_of_negative",
    "sentence_of_score",
]
