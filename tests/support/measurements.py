"""What was measured of a model, by hand, for the tests of what is said of it."""

from fracture_core.metrics.intervals import Proportion
from fracture_core.models.points import Counted, Evidence, Knots, Measurements, Point, Reached

KNOTS = Knots(
    confidences=(0.95, 0.85, 0.7, 0.5, 0.3, 0.1, 0.02),
    true_positives=(20, 60, 100, 130, 160, 180, 190),
    false_positives=(0, 5, 20, 60, 150, 600, 2000),
    false_alarms=(0, 2, 8, 20, 40, 80, 95),
    positives=200,
    negatives=100,
    images=250,
)
# Right and all of ten bins of scores.
RIGHT = (3, 8, 10, 20, 18, 20, 18, 25, 0, 29)
SCORED = (90, 60, 50, 55, 40, 36, 31, 35, 0, 30)


def point(rule: str, at: int, knots: Knots = KNOTS) -> Point:
    """The operating point that lies on a knot."""
    return Point(
        rule=rule,
        unit="lesion",
        confidence=knots.confidences[at],
        chosen=Reached(
            sensitivity=_counted(knots.true_positives[at], knots.positives),
            precision=_counted(
                knots.true_positives[at], knots.true_positives[at] + knots.false_positives[at]
            ),
            specificity=_counted(knots.negatives - knots.false_alarms[at], knots.negatives),
            false_positives=knots.false_positives[at],
            images=knots.images,
        ),
    )


def _counted(count: int, total: int) -> Counted:
    return Counted(count=count, total=total)


POINTS = (
    point("max F1", 3),
    point("sensitivity ≥ 0.9", 5),
    point("specificity ≥ 0.9", 2),
    Point(rule="FP per image ≤ 0", unit="lesion", confidence=None, reason="it never is"),
)


def measured(knots: Knots = KNOTS, **changes: object) -> Measurements:
    """Of 200 lesions in 250 images, 100 of them healthy; changed as asked."""
    facts = {
        "model_id": "fake",
        "weights_sha256": "",
        "data": "wrists",
        "data_stamp": "0" * 16,
        "split": "val",
        "unit": "lesion",
        "nms_iou": 0.5,
        "match_iou": 0.5,
        "one_class": False,
        "created_utc": "2026-01-02T03:04:05+00:00",
        "code_version": "0.1.0",
        "knots": knots,
        "points": POINTS,
        "evidence": tuple(
            Evidence(low=k / 10, high=(k + 1) / 10, right=right, total=total)
            for k, (right, total) in enumerate(zip(RIGHT, SCORED, strict=True))
        ),
    }
    return Measurements(**(facts | changes))


def share(count: int, total: int) -> str:
    """A share with its interval, as pages write it."""
    found = Proportion(count=count, total=total)
    low, high = found.interval
    return f"{found.share:.2f} ({low:.2f}–{high:.2f})"
