"""What a score is worth, from counts on validation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fracture_core.models.consensus_cards import on_curve, ppv_curve
from fracture_core.models.points import Knots


def knots(confidences: list[float], right: list[int], wrong: list[int]) -> Knots:
    """From what lies between one confidence and the next, highest first."""
    return Knots(
        confidences=tuple(confidences),
        true_positives=tuple(np.cumsum(right).tolist()),
        false_positives=tuple(np.cumsum(wrong).tolist()),
        false_alarms=(0,) * len(right),
        positives=100,
        negatives=0,
        images=100,
    )


def test_shares_by_hand() -> None:
    # 18 of 18 above 0.8, 4 of 8 down to 0.4, 1 of 18 down to 0.2, one right and one wrong added.
    found = ppv_curve(knots([0.8, 0.4, 0.2], [18, 4, 1], [0, 4, 17]))
    expected = [(0.3, 2 / 20), (0.6, 5 / 10), (0.9, 19 / 20)]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_share_that_falls_with_the_score_is_pooled() -> None:
    # 2 of 4 above 0.8 and 6 of 6 below it are one pool, 8 of 10, from 0.6 to 1.
    found = ppv_curve(knots([0.8, 0.6, 0.2], [2, 6, 0], [2, 0, 8]))
    np.testing.assert_allclose(found, [(0.4, 1 / 10), (0.8, 9 / 12)], atol=1e-6)


def test_nothing_scored_has_no_curve_and_leaves_scores_alone() -> None:
    assert ppv_curve(knots([], [], [])) == ()
    scores = np.array([0.2, 0.7])
    assert on_curve(scores, ()).tolist() == [0.2, 0.7]


def test_scores_are_read_between_the_points() -> None:
    found = on_curve(np.array([0.0, 0.1, 0.3, 0.9]), ((0.2, 0.1), (0.4, 0.5)))
    np.testing.assert_allclose(found, [0, 0.05, 0.3, 0.5], atol=1e-3)


counts = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=12)


@given(counts, st.lists(st.floats(0, 1), min_size=2, max_size=20))
def test_curves_rise_and_keep_the_order_of_scores(pairs, scores) -> None:
    steps = np.linspace(0.95, 0.02, len(pairs)).tolist()
    curve = ppv_curve(knots(steps, [a for a, _ in pairs], [b for _, b in pairs]))
    assert list(curve) == sorted(curve)
    read = on_curve(np.sort(scores), curve)
    assert ((read >= 0) & (read <= 1)).all()
    assert (np.diff(read) >= 0).all()


def test_scores_beyond_the_last_point_keep_their_order() -> None:
    read = on_curve(np.array([0.95, 0.99]), ((0.2, 0.1), (0.9, 0.8)))
    assert read[0] < read[1] == pytest.approx(0.8, abs=1e-3)
