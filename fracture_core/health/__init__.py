"""The health check: what may be wrong with a data set before a model learns from it."""

from fracture_core.health.checking import check_health
from fracture_core.health.report import Fault, HealthReport, Limits, Place, Severity

__all__ = ["Fault", "HealthReport", "Limits", "Place", "Severity", "check_health"]
