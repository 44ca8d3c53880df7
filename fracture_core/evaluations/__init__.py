"""A data set read by a model once: every raw answer kept, every figure a function of them."""

from fracture_core.evaluations.evaluation import About, Evaluation

__all__ = ["About", "Evaluation"]
