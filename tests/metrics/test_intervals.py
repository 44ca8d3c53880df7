import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fracture_core.metrics.intervals import Proportion, wilson


def test_63_of_64() -> None:
    low, high = wilson(63, 64)
    assert (round(low, 3), round(high, 3)) == (0.917, 0.997)


def test_by_hand_at_z_of_2() -> None:
    # z = 2, 8 of 16: centre (0.5 + 2/16) / 1.25 = 0.5, half 2·√(0.25/16 + 1/256) / 1.25 = √0.05.
    low, high = wilson(8, 16, level=math.erf(math.sqrt(2)))
    assert low == pytest.approx(0.5 - math.sqrt(0.05))
    assert high == pytest.approx(0.5 + math.sqrt(0.05))


@given(st.integers(1, 10_000), st.data())
def test_the_ends_are_the_shares_a_test_just_rejects(total, data) -> None:
    count = data.draw(st.integers(0, total))
    z = 1.959963984540054
    for end in wilson(count, total):
        deviation = abs(count / total - end)
        assert deviation == pytest.approx(z * math.sqrt(end * (1 - end) / total), abs=1e-6)
    low, high = wilson(count, total)
    assert 0 <= low <= count / total <= high <= 1
    assert (low == 0, high == 1) == (count == 0, count == total)


def test_a_share_of_nothing_is_undefined() -> None:
    nothing = Proportion(count=0, total=0)
    assert math.isnan(nothing.share)
    assert all(math.isnan(end) for end in nothing.interval)


def test_more_than_all_is_refused() -> None:
    with pytest.raises(ValueError, match="expected 0 to 3, got 4"):
        Proportion(count=4, total=3)


def test_proportion() -> None:
    assert Proportion(count=63, total=64).share == 63 / 64
    assert Proportion(count=63, total=64).interval == wilson(63, 64)
