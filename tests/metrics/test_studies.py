"""Scores of studies by their three rules."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fracture_core.errors import ConfigError
from fracture_core.metrics.studies import STUDY_RULES, study_positive, study_scores

GROUPS = ("b", "a", "b", "b", "b", "a")
SCORES = (0.5, 0.25, 0.75, 0.125, 0.25, 0.5)


def plain(values: list[float], rule: str) -> float:
    if rule == "max":
        return max(values)
    if rule == "noisy-or":
        return 1 - math.prod(1 - value for value in values)
    best = sorted(values, reverse=True)[:3]
    return sum(best) / len(best)


def test_by_hand() -> None:
    expected = {
        "max": [0.5, 0.75],
        "noisy-or": [1 - 0.75 * 0.5, 1 - 0.5 * 0.25 * 0.875 * 0.75],
        "top-3 mean": [0.375, 0.5],
    }
    assert set(STUDY_RULES) == set(expected)
    for rule, values in expected.items():
        studies = study_scores(SCORES, GROUPS, rule)
        assert studies.names == ("a", "b")
        assert studies.scores.tolist() == pytest.approx(values)
    marks = study_positive([False, False, True, False, False, False], GROUPS)
    assert marks.tolist() == [False, True]


shares = st.floats(0, 1, width=32)


@given(st.lists(st.tuples(shares, st.sampled_from("abc"))), st.sampled_from(STUDY_RULES))
def test_scores_equal_their_definitions(images, rule) -> None:
    scores, groups = [score for score, _ in images], [group for _, group in images]
    studies = study_scores(scores, groups, rule)
    assert studies.names == tuple(sorted(set(groups)))
    for name, score in zip(studies.names, studies.scores, strict=True):
        own = [value for value, group in images if group == name]
        assert score == pytest.approx(plain(own, rule), abs=1e-12)
        assert min(own) - 1e-12 <= score <= 1


@given(st.lists(st.tuples(st.booleans(), st.sampled_from("abc"))))
def test_a_study_is_positive_with_any_image(images) -> None:
    marks = study_positive([mark for mark, _ in images], [group for _, group in images])
    names = sorted({group for _, group in images})
    assert marks.tolist() == [any(m for m, group in images if group == name) for name in names]


def test_bad_input_is_said() -> None:
    with pytest.raises(ConfigError, match=r"study rule: expected one of max, .*, found mean"):
        study_scores(SCORES, GROUPS, "mean")
    with pytest.raises(ValueError, match="image_scores: expected 6, one an image, got 1"):
        study_scores([0.5], GROUPS, "max")
    with pytest.raises(ValueError, match="positive: expected 6, one an image, got 1"):
        study_positive([True], GROUPS)
    with pytest.raises(ValueError, match="expected 0 to 1 for noisy-or"):
        study_scores(np.array([2.0]), ["a"], "noisy-or")
