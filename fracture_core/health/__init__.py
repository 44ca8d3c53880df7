"""What may be wrong with a data set before anything is learnt from it or measured on it."""

from fracture_core.health.checking import check_health
from fracture_core.health.report import Fault, HealthReport, Limits, Place, Severity

__all__ = ["Fault", "HealthReport", "Limits", "Place", "Severity", "check_health"]
