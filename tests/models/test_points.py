"""Levels of a measured model, on seven knots counted by hand, and what holds for every model."""

from math import isnan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fracture_core.models.points import (
    Knots,
    Point,
    Setting,
    confidence_at,
    evidence_for,
    sensitivity_at,
    tiers,
)
from tests.support.measurements import measured, point
from tests.support.threshold_lookup import fp_per_image_at, specificity_at

EMPTY = Knots(
    confidences=(),
    true_positives=(),
    false_positives=(),
    false_alarms=(),
    positives=3,
    negatives=2,
    images=5,
)


@pytest.mark.parametrize(
    ("confidence", "hits", "passes", "fp_per_image"),
    [
        (1.0, 0, 100, 0.0),
        (0.95, 20, 100, 0.0),
        # Between two knots: hits of the higher one, errors of the lower one.
        (0.9, 20, 98, 0.02),
        (0.5, 130, 80, 0.24),
        (0.499, 130, 60, 0.6),
        (0.02, 190, 5, 8.0),
        (0.0, 190, 5, 8.0),
    ],
)
def test_what_a_confidence_reaches(
    confidence: float, hits: int, passes: int, fp_per_image: float
) -> None:
    known = measured()
    assert (sensitivity_at(known, confidence).count, sensitivity_at(known, 1).total) == (hits, 200)
    assert specificity_at(known, confidence).count == passes
    assert fp_per_image_at(known, confidence) == fp_per_image


@pytest.mark.parametrize(
    ("unit", "level", "expected"),
    [
        ("sensitivity", 0.0, Setting(confidence=0.95, met=True)),
        ("sensitivity", 0.65, Setting(confidence=0.5, met=True)),
        ("sensitivity", 0.651, Setting(confidence=0.3, met=True)),
        ("sensitivity", 0.95, Setting(confidence=0.02, met=True)),
        ("sensitivity", 0.951, Setting(confidence=0.02, met=False)),
        ("fp_per_image", 0.0, Setting(confidence=0.95, met=True)),
        ("fp_per_image", 0.24, Setting(confidence=0.5, met=True)),
        ("fp_per_image", 0.239, Setting(confidence=0.7, met=True)),
        ("fp_per_image", 8.0, Setting(confidence=0.02, met=True)),
    ],
)
def test_which_confidence_reaches_a_level(unit: str, level: float, expected: Setting) -> None:
    assert confidence_at(measured(), unit, level) == expected


def test_more_false_positives_than_asked_for_at_every_knot() -> None:
    knots = measured().knots.model_copy(update={"false_positives": (5, 9, 20, 60, 150, 600, 2000)})
    found = confidence_at(measured(knots), "fp_per_image", 0.01)
    assert found == Setting(confidence=0.95, met=False)


def test_what_cannot_be_is_undefined() -> None:
    nothing = measured(EMPTY, points=())
    assert confidence_at(nothing, "sensitivity", 0.5) is None
    assert sensitivity_at(nothing, 0.1).share == 0
    assert specificity_at(nothing, 0.1).share == 1
    no_truth = measured(measured().knots.model_copy(update={"positives": 0}), points=())
    assert confidence_at(no_truth, "sensitivity", 0.5) is None
    assert confidence_at(no_truth, "fp_per_image", 1.0) is not None
    no_image = measured(EMPTY.model_copy(update={"images": 0}), points=())
    assert isnan(fp_per_image_at(no_image, 0.5))


@pytest.mark.parametrize(
    ("score", "low"), [(0.0, 0.0), (0.0999, 0.0), (0.6, 0.6), (0.65, 0.6), (1.0, 0.9), (1.01, None)]
)
def test_a_score_has_its_bin(score: float, low: float | None) -> None:
    found = evidence_for(measured(), score)
    assert (found and found.low) == low


def test_the_tiers_are_the_points_that_ask_for_most() -> None:
    assert tiers(measured()) == (0.1, 0.7)
    most = (point("sensitivity ≥ 0.8", 4), point("sensitivity ≥ 0.95", 6), point("max F1", 3))
    assert tiers(measured(points=most)) == (0.02, None)
    sparing = (point("FP per image ≤ 1", 4), point("FP per image ≤ 0.1", 2))
    assert tiers(measured(points=sparing)) == (None, 0.7)
    unmet = Point(rule="specificity ≥ 0.9", unit="lesion", confidence=None, reason="none")
    assert tiers(measured(points=(unmet,))) == (None, None)


counts = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), min_size=2, max_size=30)


@given(counts, st.data())
def test_a_claim_from_some_knots_is_never_too_good(
    steps: list[tuple[int, int]], data: st.DataObject
) -> None:
    hits = [sum(hit for hit, _ in steps[: k + 1]) for k in range(len(steps))]
    wrong = [sum(miss for _, miss in steps[: k + 1]) for k in range(len(steps))]
    confidences = [1 - k / len(steps) for k in range(len(steps))]
    ends = {0, len(steps) - 1}
    kept = sorted(ends | data.draw(st.sets(st.integers(0, len(steps) - 1))))
    whole, some = (
        measured(
            Knots(
                confidences=tuple(confidences[k] for k in at),
                true_positives=tuple(hits[k] for k in at),
                false_positives=tuple(wrong[k] for k in at),
                false_alarms=(0,) * len(at),
                positives=hits[-1] + 1,
                negatives=0,
                images=10,
            ),
            points=(),
        )
        for at in (range(len(steps)), kept)
    )
    confidence = data.draw(st.sampled_from(confidences))
    assert sensitivity_at(some, confidence).count <= sensitivity_at(whole, confidence).count
    assert fp_per_image_at(some, confidence) >= fp_per_image_at(whole, confidence)
    level = data.draw(st.floats(0, 1))
    reached = confidence_at(some, "sensitivity", level)
    assert reached
    assert not reached.met or sensitivity_at(whole, reached.confidence).share >= level
