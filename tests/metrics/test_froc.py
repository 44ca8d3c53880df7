"""FROC held against a case computed by hand and against plain counting."""

import numpy as np
import pytest
from hypothesis import given, settings

from fracture_core.metrics.froc import RATES, froc
from fracture_core.types import Detections
from tests.metrics.test_greedy import images, plain_counts

A, B, FAR = [0, 0, 10, 10], [20, 20, 30, 30], [50, 50, 60, 60]


def by_hand() -> tuple[list[Detections], list[Detections]]:
    """Four images, four lesions; hits at 0.9, 0.7 and 0.3, false positive at 0.8, 0.6, 0.6, 0.3,
    0.2.

    Lesions found and false positives an image, from the highest score on:
    0.9: 1/4, 0 · 0.8: 1/4, 1/4 · 0.7: 2/4, 1/4 · 0.6: 2/4, 3/4 · 0.3: 3/4, 4/4 · 0.2: 3/4, 5/4.
    """
    found = [
        Detections.of([A, FAR], [0.9, 0.8], [0, 0]),
        Detections.of([B, FAR, A], [0.7, 0.6, 0.3], [0, 0, 0]),
        Detections.of([FAR, FAR], [0.6, 0.3], [0, 0]),
        Detections.of([FAR], [0.2], [0]),
    ]
    true = [
        Detections.ground_truth([A], [0]),
        Detections.ground_truth([A, B], [0, 0]),
        Detections.empty(),
        Detections.ground_truth([A], [0]),
    ]
    return found, true


def test_by_hand() -> None:
    curve = froc(*by_hand())
    np.testing.assert_allclose(curve.confidences, [0.9, 0.8, 0.7, 0.6, 0.3, 0.2], atol=1e-7)
    assert curve.sensitivity.tolist() == [1 / 4, 1 / 4, 2 / 4, 2 / 4, 3 / 4, 3 / 4]
    assert curve.fp_per_image.tolist() == [0, 1 / 4, 1 / 4, 3 / 4, 1, 5 / 4]
    assert (curve.images, curve.lesions) == (4, 4)
    expected = [1 / 4, 2 / 4, 2 / 4, 3 / 4, 3 / 4, 3 / 4, 3 / 4]
    assert curve.sensitivity_at(RATES).tolist() == expected
    assert curve.mean_sensitivity == pytest.approx(sum(expected) / 7)
    assert curve.sensitivity_at([0, 1 / 5, 1000]).tolist() == [1 / 4, 1 / 4, 3 / 4]


@given(images)
@settings(deadline=None, max_examples=40)
def test_every_point_equals_plain_counting(cases) -> None:
    found, true = [case[0] for case in cases], [case[1] for case in cases]
    curve = froc(found, true)
    lesions = sum(len(one) for one in true)
    points = [plain_counts(found, true, c, 0.5, class_aware=True) for c in curve.confidences]
    assert curve.fp_per_image.tolist() == [wrong / len(found) for _, wrong, _ in points]
    if not lesions:
        assert np.isnan(curve.sensitivity).all()
        assert np.isnan(curve.sensitivity_at()).all()
        return
    assert curve.sensitivity.tolist() == [hits / lesions for hits, _, _ in points]
    for rate, reached in zip(RATES, curve.sensitivity_at(), strict=True):
        allowed = [hits / lesions for hits, wrong, _ in points if wrong / len(found) <= rate]
        assert reached == max(allowed, default=0)


def test_a_first_score_with_too_many_false_positives_reaches_nothing() -> None:
    tied = [Detections.of([A, FAR, B], [0.5, 0.5, 0.5], [0, 0, 0])]
    curve = froc(tied, [Detections.ground_truth([A], [0])])
    assert curve.sensitivity_at([1, 2]).tolist() == [0, 1]


def test_nothing_to_find_is_undefined() -> None:
    one, none = Detections.of([A], [0.5], [0]), Detections.empty()
    curve = froc([one], [none])
    assert curve.fp_per_image.tolist() == [1]
    assert np.isnan([*curve.sensitivity, *curve.sensitivity_at(), curve.mean_sensitivity]).all()
    nothing = froc([], [])
    assert len(nothing.confidences) == len(nothing.fp_per_image) == 0
    assert np.isnan(nothing.sensitivity_at()).all()
    silent = froc([none], [Detections.ground_truth([A], [0])])
    assert silent.sensitivity_at().tolist() == [0] * 7
