"""Two models on the same cases."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, norm, t

from fracture_core.metrics.bootstrap import bootstrap
from fracture_core.metrics.paired import difference_of, mcnemar, paired_bootstrap
from fracture_core.metrics.weighted import ImageCounts


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_mcnemar_equals_the_binomial_test(cases) -> None:
    first, second = [one for one, _ in cases], [two for _, two in cases]
    result = mcnemar(first, second)
    assert result.only_first == sum(one and not two for one, two in cases)
    assert result.only_second == sum(two and not one for one, two in cases)
    differing = result.only_first + result.only_second
    expected = binomtest(result.only_first, differing).pvalue if differing else 1
    assert result.p_value == pytest.approx(expected)


def test_mcnemar_by_hand() -> None:
    # 1 of 5: 2 · (1 + 5) / 32.
    result = mcnemar([1, 1, 1, 1, 0, 1, 0], [0, 0, 0, 0, 1, 1, 0])
    assert (result.only_first, result.only_second, result.p_value) == (4, 1, 0.375)
    assert math.isnan(mcnemar([], []).p_value)
    many = np.arange(28_812) % 2 == 0
    assert mcnemar(many, ~many).p_value == 1
    assert 0 <= mcnemar(many, np.zeros(28_812)).p_value < 1e-300
    with pytest.raises(ValueError, match=r"second_right: expected shape \(1,\), got \(2,\)"):
        mcnemar([True], [True, False])


def calls(rate: float, seed: int) -> ImageCounts:
    """150 images of 50 patients, all with a finding, of which a share is called."""
    scores = np.random.default_rng(seed).random(150)
    return ImageCounts.of_images(scores, np.ones(150, bool), 1 - rate)


GROUPS = [str(i // 3) for i in range(150)]


def test_a_model_does_not_differ_from_itself() -> None:
    one = calls(0.6, 0).sensitivity
    result = paired_bootstrap(GROUPS, one, one, count=99)
    assert (result.value, result.p_value) == (0, 1)
    # An interval of no width would claim to be certain.
    assert np.isnan([result.low, result.high]).all()


def test_a_clear_difference_is_found_and_its_p_value_is_never_0() -> None:
    better, worse = calls(0.9, 1).sensitivity, calls(0.4, 2).sensitivity
    result = paired_bootstrap(GROUPS, better, worse, count=200)
    assert result.low > 0.2
    assert 2 / 201 <= result.p_value < 0.03
    other_way = paired_bootstrap(GROUPS, worse, better, count=200)
    assert other_way.value == -result.value
    assert other_way.p_value == result.p_value
    alone = bootstrap(GROUPS, better, count=200)
    assert result.high - result.low > alone.high - alone.low


def test_the_p_value_goes_with_the_interval() -> None:
    for below in range(1, 100, 3):
        drawn = np.array([-1.0] * below + [1.0] * (400 - below))
        for patients in (None, 12):
            result = difference_of(1.0, drawn, patients=patients)
            assert result.p_value == pytest.approx(plain_p(below, patients), rel=0.02)
            if not 0.04 < result.p_value < 0.06:
                # With few below, both ends are 1: there is no interval.
                assert (result.p_value < 0.05) == np.isnan(result.low)
                assert np.isnan(result.low) or result.low == -1


def plain_p(below: int, patients: int | None) -> float:
    """Twice the tail, or Student's of the normal quantile of the tail."""
    tail = (below + 1) / 401
    if patients is None:
        return 2 * tail
    return 2 * t.sf(-norm.ppf(tail) / math.sqrt(patients / (patients - 1)), patients - 1)


def test_undefined_differences() -> None:
    one = calls(0.6, 0).sensitivity
    result = paired_bootstrap(GROUPS, one, lambda _: math.nan, count=9)
    assert all(math.isnan(each) for each in (result.value, result.low, result.high, result.p_value))
    alone = paired_bootstrap(["a"] * 150, one, calls(0.4, 2).sensitivity, count=9)
    assert not math.isnan(alone.value)
    assert math.isnan(alone.p_value)
