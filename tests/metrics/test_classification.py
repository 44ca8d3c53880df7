"""The report of a classifier held against scikit-learn."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    confusion_matrix,
    precision_recall_fscore_support,
    roc_auc_score,
)

from fracture_core.metrics import classification

calls = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40)


@given(calls)
@settings(deadline=None)
def test_a_report_equals_scikit_learn(pairs) -> None:
    ground_truth, predicted = np.array(pairs, dtype=np.int64).T
    ours = classification.report(ground_truth, predicted, 4)
    labels = range(4)
    np.testing.assert_array_equal(
        ours.confusion, confusion_matrix(ground_truth, predicted, labels=labels)
    )
    each = precision_recall_fscore_support(
        ground_truth, predicted, labels=labels, zero_division=np.nan
    )
    for mine, theirs in zip(
        (ours.precision, ours.recall, ours.f1, ours.support), each, strict=True
    ):
        np.testing.assert_allclose(mine, theirs, atol=1e-12)
    assert ours.accuracy == pytest.approx(accuracy_score(ground_truth, predicted))
    with warnings.catch_warnings():
        # Both are what the test is about: classes that are never true or the only one.
        warnings.filterwarnings("ignore", "y_pred contains classes not in y_true")
        warnings.filterwarnings("ignore", "A single label was found")
        balanced = balanced_accuracy_score(ground_truth, predicted)
    assert ours.balanced_accuracy == pytest.approx(balanced)
    for kind in ("macro", "weighted"):
        mean = precision_recall_fscore_support(
            ground_truth, predicted, labels=labels, average=kind, zero_division=np.nan
        )
        mine = getattr(ours, kind)
        np.testing.assert_allclose([mine.recall, mine.f1], mean[1:3], atol=1e-12)
        if kind == "weighted" and not ours.support[~np.isnan(ours.precision)].any():
            # No weight on any defined precision: scikit-learn says 0 here.
            assert math.isnan(mine.precision)
        else:
            assert mine.precision == pytest.approx(mean[0])


scored = st.lists(st.tuples(st.sampled_from([0.1, 0.2, 0.5, 0.9]), st.booleans()), min_size=2)


@given(scored)
@settings(deadline=None)
def test_the_area_under_the_curve_equals_scikit_learn(pairs) -> None:
    scores, positive = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    area = classification.roc_auc(scores, positive)
    if len(set(positive)) == 1:
        assert math.isnan(area)
    else:
        assert area == pytest.approx(roc_auc_score(positive, scores))


def test_by_hand() -> None:
    report = classification.report(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 1]), 4)
    assert report.confusion.tolist() == [[1, 1, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    np.testing.assert_allclose(report.precision, [1, 1 / 3, math.nan, math.nan])
    np.testing.assert_allclose(report.recall, [0.5, 1, 0, math.nan])
    np.testing.assert_allclose(report.f1, [2 / 3, 0.5, 0, math.nan])
    assert report.accuracy == 0.5
    assert report.balanced_accuracy == 0.5
    assert report.macro.precision == pytest.approx(2 / 3)
    assert report.weighted.recall == 0.5


def test_nothing_is_undefined() -> None:
    empty = classification.report(np.empty(0, np.int64), np.empty(0, np.int64), 2)
    assert math.isnan(empty.accuracy)
    assert math.isnan(empty.balanced_accuracy)
    assert math.isnan(empty.weighted.f1)


def test_bad_input_is_said() -> None:
    with pytest.raises(ValueError, match="predicted: expected classes 0 to 1, got 2"):
        classification.confusion_matrix(np.array([0, 1]), np.array([0, 2]), 2)
    with pytest.raises(ValueError, match=r"predicted: expected shape \(2,\), got \(1,\)"):
        classification.confusion_matrix(np.array([0, 1]), np.array([0]), 2)
