"""Where confidence starts with a model, and the answer to a case in three words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fracture_core.errors import WeightsError
from fracture_core.models.cards import ModelCard, read_card, write_card
from fracture_core.models.fake import CARD
from fracture_core.models.points import Opening, Point, opening_of
from fracture_core.predictions import answer_of
from tests.support.measurements import POINTS, measured, point

places = st.none() | st.floats(0, 1, allow_nan=False)


def opens_at(rule: str) -> ModelCard:
    return CARD.model_copy(update={"opening_point": rule})


def test_a_model_opens_at_its_point_of_high_sensitivity() -> None:
    assert opening_of(CARD, measured()) == Opening(confidence=0.1, rule="sensitivity ≥ 0.9")


def test_the_card_may_name_another_point() -> None:
    found = opening_of(opens_at("specificity ≥ 0.9"), measured())
    assert found == Opening(confidence=0.7, rule="specificity ≥ 0.9")


def test_a_point_that_the_card_names_and_nobody_measured_is_said() -> None:
    found = opening_of(opens_at("sensitivity ≥ 0.8"), measured())
    assert (found.confidence, found.rule) == (0.1, "sensitivity ≥ 0.9")
    assert found.reason == "sensitivity ≥ 0.8 was not measured"


def test_a_point_that_was_not_met_gives_way_to_the_highest_f1() -> None:
    unmet = Point(rule="sensitivity ≥ 0.9", unit="lesion", confidence=None, reason="it is 0.8")
    found = opening_of(CARD, measured(points=(point("max F1", 3), unmet)))
    assert (found.confidence, found.rule) == (0.5, "max F1")
    assert found.reason == "sensitivity ≥ 0.9 was not met: it is 0.8"
    nothing = opening_of(CARD, measured(points=(unmet,)))
    assert (nothing.confidence, nothing.rule) == (0.5, "")
    assert nothing.reason == found.reason


def test_a_model_without_measurements_opens_at_a_half_and_says_so() -> None:
    assert opening_of(CARD, None) == Opening(confidence=0.5, reason="not measured")


@pytest.mark.parametrize("rule", ["sensitivity 0.9", "recall ≥ 0.9", "max F1 ", "sensitivity ≥ x"])
def test_a_card_with_a_senseless_opening_point_is_refused(rule: str, tmp_path) -> None:
    write_card(opens_at(rule), tmp_path)
    with pytest.raises(WeightsError, match="opening_point"):
        read_card(tmp_path)


def test_every_usual_rule_can_be_named(tmp_path) -> None:
    for each in (*POINTS, point("FP per image ≤ 0.125", 3)):
        write_card(opens_at(each.rule), tmp_path)
        assert read_card(tmp_path).opening_point == each.rule


# Points at 0.31, sensitive, and 0.70, specific.
@pytest.mark.parametrize(
    ("score", "confidence", "kind", "above", "hidden"),
    [
        (0.84, None, "finding", None, None),
        (0.70, 0.31, "finding", None, None),
        (0.69, 0.31, "doubt", None, None),
        (0.31, 0.05, "doubt", None, None),
        (0.30, 0.05, "none", 0.31, None),
        (None, 0.05, "none", 0.05, None),
        (None, None, "none", 0.31, None),
        (0.04, 0.05, "none", 0.05, None),
        (0.84, 0.90, "none", 0.90, "finding"),
        (0.45, 0.50, "none", 0.50, "doubt"),
    ],
)
def test_a_case_has_three_answers(score, confidence, kind, above, hidden) -> None:
    found = answer_of(score, sensitive=0.31, specific=0.7, confidence=confidence)
    assert (found.kind, found.above, found.hidden) == (kind, above, hidden)


def test_where_a_point_is_missing_the_answer_is_told_only_where_it_can_be() -> None:
    assert answer_of(0.9, sensitive=None, specific=None).kind == "unknown"
    assert answer_of(0.9, sensitive=0.3, specific=None).kind == "unknown"
    assert answer_of(0.2, sensitive=0.3, specific=None).kind == "none"
    assert answer_of(0.9, sensitive=None, specific=0.7).kind == "finding"
    assert answer_of(0.2, sensitive=None, specific=0.7).kind == "unknown"


def test_points_that_cross_leave_no_doubt() -> None:
    assert answer_of(0.5, sensitive=0.8, specific=0.4).kind == "finding"
    found = answer_of(0.3, sensitive=0.8, specific=0.4)
    assert (found.kind, found.above) == ("none", 0.4)


@given(places, places, places, places, st.floats(0, 1, allow_nan=False))
def test_a_higher_score_is_never_answered_more_mildly(
    score, sensitive, specific, confidence, more
) -> None:
    rank = {"none": 0, "doubt": 1, "unknown": 1, "finding": 2}
    points = {"sensitive": sensitive, "specific": specific, "confidence": confidence}
    low = answer_of(score, **points)
    high = answer_of(max(score or 0.0, more), **points)
    assert rank[high.kind] >= rank[low.kind]
    if low.kind == "none" and score is not None:
        assert low.above is not None
        assert score < low.above
