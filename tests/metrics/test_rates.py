"""Curves held against scikit-learn."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_curve

from fracture_core.metrics.rates import precision_recall, roc

scored = st.lists(
    st.tuples(st.sampled_from([0.0, 0.1, 0.2, 0.5, 0.9, 1.0]), st.booleans()), min_size=1
)


@given(scored)
@settings(deadline=None, max_examples=60)
def test_curves_equal_scikit_learn(pairs) -> None:
    scores, positive = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    if len(set(positive)) == 2:
        curve = roc(scores, positive)
        alarms, hits, at = roc_curve(positive, scores, drop_intermediate=False)
        assert curve.confidences.tolist() == at.tolist()
        np.testing.assert_allclose(curve.sensitivity, hits, atol=1e-12)
        np.testing.assert_allclose(curve.false_positive_rate, alarms, atol=1e-12)
    if any(positive):
        ours = precision_recall(scores, positive)
        precision, recall, at = precision_recall_curve(positive, scores)
        # Theirs rises and ends in a point of its own.
        assert ours.confidences[::-1].tolist() == at.tolist()
        np.testing.assert_allclose(ours.precision[::-1], precision[:-1], atol=1e-12)
        np.testing.assert_allclose(ours.recall[::-1], recall[:-1], atol=1e-12)
        assert ours.average_precision == pytest.approx(average_precision_score(positive, scores))


def test_by_hand() -> None:
    curve = roc([0.9, 0.8, 0.8, 0.1], [True, False, True, False])
    assert curve.confidences.tolist() == [math.inf, 0.9, 0.8, 0.1]
    assert curve.sensitivity.tolist() == [0, 0.5, 1, 1]
    assert curve.false_positive_rate.tolist() == [0, 0, 0.5, 1]
    # Of four pairs three are right and one is a tie.
    assert curve.auc == 3.5 / 4
    ours = precision_recall([0.9, 0.8, 0.8, 0.1], [True, False, True, False])
    assert ours.precision.tolist() == [1, 2 / 3, 2 / 4]
    assert ours.recall.tolist() == [0.5, 1, 1]
    assert ours.average_precision == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)


@pytest.mark.parametrize("positive", [True, False])
def test_one_kind_alone_leaves_much_undefined(positive) -> None:
    curve = roc([0.5, 0.25], [positive] * 2)
    assert math.isnan(curve.auc)
    absent = curve.false_positive_rate if positive else curve.sensitivity
    present = curve.sensitivity if positive else curve.false_positive_rate
    assert np.isnan(absent).all()
    assert present.tolist() == [0, 0.5, 1]
    ours = precision_recall([0.5, 0.25], [positive] * 2)
    assert ours.precision.tolist() == [float(positive)] * 2
    assert math.isnan(ours.average_precision) != positive
    assert np.isnan(ours.recall).all() != positive


def test_nothing_and_bad_input() -> None:
    assert math.isnan(roc([], []).auc)
    assert math.isnan(precision_recall([], []).average_precision)
    with pytest.raises(ValueError, match=r"scores: expected shape \(1,\), got \(2,\)"):
        roc([0.5, 0.25], [True])
    with pytest.raises(ValueError, match="expected finite numbers"):
        precision_recall([math.nan], [True])
