"""The class report of images: by hand, against scikit-learn, and with weights."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_fscore_support

from fracture_core.metrics.label_report import LabelReport


def test_the_report_of_healthy_and_fracture_is_that_counted_by_hand() -> None:
    # Ten images: six healthy, one of them called; four fractures, three of them called.
    fracture = np.array([0, 0, 0, 0, 0, 0, 1, 1, 1, 1], dtype=bool)
    called = np.array([1, 0, 0, 0, 0, 0, 1, 1, 1, 0], dtype=bool)
    found = LabelReport(
        ground_truth=np.stack([~fracture, fracture], axis=1),
        called=np.stack([~called, called], axis=1),
    )
    assert found.support.tolist() == [6, 4]
    assert found.calls.tolist() == [6, 4]
    assert found.hits.tolist() == [5, 3]
    f1 = [5 / 6, 3 / 4]
    macro = [(5 / 6 + 3 / 4) / 2] * 2 + [sum(f1) / 2]
    weighted = [(6 * 5 / 6 + 4 * 3 / 4) / 10] * 2 + [(6 * f1[0] + 4 * f1[1]) / 10]
    np.testing.assert_allclose(found(np.ones(10)), [*macro, *weighted, *f1])


marks = st.lists(st.tuples(*[st.booleans()] * 6), min_size=1, max_size=30)


@given(marks)
@settings(deadline=None, max_examples=60)
def test_it_equals_scikit_learn(rows) -> None:
    table = np.array(rows, dtype=bool)
    ground_truth, called = table[:, :3], table[:, 3:]
    found = LabelReport(ground_truth=ground_truth, called=called)(np.ones(len(rows)))
    each = precision_recall_fscore_support(ground_truth, called, zero_division=np.nan)
    np.testing.assert_allclose(found[6:], each[2], atol=1e-12)
    for kind, at in (("macro", 0), ("weighted", 3)):
        mean = precision_recall_fscore_support(
            ground_truth, called, average=kind, zero_division=np.nan
        )
        for mine, theirs, shares in zip(found[at : at + 3], mean[:3], each[:3], strict=True):
            weight = each[3] if kind == "weighted" else np.ones(3)
            if weight[~np.isnan(shares)].any():
                assert mine == pytest.approx(theirs)
            else:
                # No weight on any defined share: scikit-learn says 0 or 1 here.
                assert np.isnan(mine)


def test_a_weight_of_two_is_the_same_image_twice() -> None:
    rng = np.random.default_rng(0)
    ground_truth, called = rng.random((2, 20, 3)) < 0.4
    weights = rng.integers(0, 3, 20)
    again = np.repeat(np.arange(20), weights)
    twice = LabelReport(ground_truth=ground_truth[again], called=called[again])
    once = LabelReport(ground_truth=ground_truth, called=called)
    np.testing.assert_allclose(once(weights.astype(float)), twice(np.ones(len(again))))


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="expected shape"):
        LabelReport(ground_truth=np.zeros((3, 2), bool), called=np.zeros((3, 1), bool))
