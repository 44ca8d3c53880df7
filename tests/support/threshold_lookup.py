"""What a measured model does at a confidence, beside sensitivity: the Python half of what the
viewer shows, held to its JavaScript by the golden cases.
"""

from bisect import bisect_left
from math import nan
from operator import neg

from fracture_core.metrics.intervals import Proportion
from fracture_core.models.points import Measurements


def specificity_at(measured: Measurements, confidence: float) -> Proportion:
    """Returns the share of the negative images that show nothing at this confidence."""
    knots = measured.knots
    alarms = _at_or_below(knots.confidences, knots.false_alarms, confidence)
    return Proportion(count=knots.negatives - alarms, total=knots.negatives)


def fp_per_image_at(measured: Measurements, confidence: float) -> float:
    """Returns the false positives an image; nan, undefined, where no image was measured."""
    knots = measured.knots
    wrong = _at_or_below(knots.confidences, knots.false_positives, confidence)
    return wrong / knots.images if knots.images else nan


def _at_or_below(confidences: tuple[float, ...], counts: tuple[int, ...], confidence: float) -> int:
    """Returns the count at the highest knot that is not above `confidence`, else at the lowest."""
    at = bisect_left(confidences, -confidence, key=neg)
    return counts[min(at, len(counts) - 1)] if counts else 0
