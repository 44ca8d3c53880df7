"""Resampling by patient, and weighted metrics held against images that are there repeatedly."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fracture_core.metrics import bootstrap as by_patient
from fracture_core.metrics import greedy
from fracture_core.metrics.bootstrap import (
    bootstrap,
    bootstrap_all,
    interval_of,
    replicates,
    resamples,
    tail_beyond,
)
from fracture_core.metrics.classification import roc_auc
from fracture_core.metrics.froc import froc
from fracture_core.metrics.weighted import Auc, FrocSensitivity, ImageCounts
from fracture_core.operating_points import classifier_curve, detector_curve, measure
from fracture_core.types import Detections
from tests.support.strategies import detections, ground_truths, thresholds

GROUPS = ("b", "a", "b", "c", "c", "c")


def test_whole_patients_are_drawn_as_many_as_there_are() -> None:
    drawn = np.array(list(resamples(GROUPS, 200, seed=3)))
    assert drawn.shape == (200, 6)
    for name in "abc":
        own = drawn[:, [group == name for group in GROUPS]]
        assert (own == own[:, :1]).all()
    assert (drawn[:, [0, 1, 3]].sum(axis=1) == 3).all()
    # Every patient is drawn once on average, and as often as not at all: with chance (2/3)³.
    assert drawn[:, 1].mean() == pytest.approx(1, abs=0.2)
    assert (drawn[:, 1] == 0).mean() == pytest.approx(8 / 27, abs=0.1)


def test_the_seed_decides_and_the_size_of_the_blocks_does_not(monkeypatch) -> None:
    whole = np.array(list(resamples(GROUPS, 50, seed=1)))
    other = np.array(list(resamples(GROUPS, 50, seed=2)))
    assert (whole != other).any()
    monkeypatch.setattr(by_patient, "WEIGHTS_AT_ONCE", 20)
    assert (np.array(list(resamples(GROUPS, 50, seed=1))) == whole).all()


def first_share(weights: np.ndarray) -> float:
    return float(weights[0] / weights.sum())


def test_an_interval_lies_between_the_replicates() -> None:
    found = bootstrap(GROUPS, first_share, count=400, seed=5)
    drawn = replicates(GROUPS, first_share, count=400, seed=5)[:, 0]
    assert found.value == 1 / 6
    assert drawn.min() <= found.low < found.value < found.high <= drawn.max()
    assert found == bootstrap(GROUPS, first_share, count=400, seed=5)
    wide = interval_of(found.value, drawn)
    narrow = interval_of(found.value, drawn, 0.5)
    assert wide.low <= narrow.low <= narrow.high < wide.high
    tail = tail_beyond(0.95, patients=3)
    assert [found.low, found.high] == np.quantile(drawn, [tail, 1 - tail]).tolist()


def test_few_patients_widen_as_students_t_does() -> None:
    # Student's quantiles at 0.975 from a table.
    for patients, t in ((6, 2.571), (11, 2.228), (31, 2.042)):
        z = t * math.sqrt(patients / (patients - 1))
        below = (1 - math.erf(z / math.sqrt(2))) / 2
        assert tail_beyond(0.95, patients) == pytest.approx(below, rel=0.02)
    assert tail_beyond(0.95) == pytest.approx(0.025)
    assert tail_beyond(0.95, 100_000) == pytest.approx(0.025, rel=1e-3)


def test_several_figures_at_once_are_those_of_each() -> None:
    both = bootstrap_all(GROUPS, lambda weights: [first_share(weights), weights.sum()], count=60)
    assert both[0] == bootstrap(GROUPS, first_share, count=60)
    assert both[1] == bootstrap(GROUPS, lambda weights: float(weights.sum()), count=60)


def test_undefined_resamples_are_left_out_and_one_patient_has_no_interval() -> None:
    def second_of_first(weights: np.ndarray) -> float:
        return float(weights[1] / weights[0]) if weights[0] else math.nan

    drawn = replicates(GROUPS, second_of_first, count=100)[:, 0]
    assert 0 < np.isnan(drawn).sum() < 100
    found = bootstrap(GROUPS, second_of_first, count=100)
    assert 0 <= found.low <= found.value <= found.high
    for groups in (("a", "a"), ()):
        alone = bootstrap(groups, lambda weights: float(weights.sum()))
        assert alone.value == len(groups)
        assert math.isnan(alone.low)
        assert math.isnan(alone.high)
    never = bootstrap(GROUPS, lambda _: math.nan, count=20)
    assert all(math.isnan(each) for each in (never.value, never.low, never.high))


# ---- weighted metrics ---------------------------------------------------------------------------

cases = st.lists(
    st.tuples(detections(most=8), ground_truths(most=3), st.integers(0, 3)), min_size=1, max_size=5
)


def repeated(drawn) -> tuple[list[Detections], list[Detections]]:
    """Each image as often as its weight says."""
    found = [found for found, _, weight in drawn for _ in range(weight)]
    return found, [ground_truth for _, ground_truth, weight in drawn for _ in range(weight)]


def same(value: float, expected: float) -> bool:
    return math.isnan(value) if math.isnan(expected) else value == pytest.approx(expected)


@given(cases, thresholds, st.booleans())
@settings(deadline=None, max_examples=40)
def test_weighted_counts_equal_those_of_repeated_images(drawn, confidence, class_aware) -> None:
    found, true, weights = zip(*drawn, strict=True)
    counts = ImageCounts.of_findings(found, true, confidence, class_aware=class_aware)
    w = np.array(weights, dtype=np.float64)
    again, there = repeated(drawn)
    plain = greedy.count(again, there, confidence, class_aware=class_aware)
    at = measure(detector_curve(again, there, class_aware=class_aware), confidence)
    assert same(counts.sensitivity(w), plain.recall)
    assert same(counts.precision(w), plain.precision)
    assert same(counts.f1(w), plain.f1)
    assert same(counts.fp_per_image(w), at.fp_per_image)
    assert same(counts.specificity(w), at.specificity.share)


@given(cases)
@settings(deadline=None, max_examples=40)
def test_weighted_froc_equals_that_of_repeated_images(drawn) -> None:
    found, true, weights = zip(*drawn, strict=True)
    ours = FrocSensitivity.of(found, true)(np.array(weights, dtype=np.float64))
    np.testing.assert_allclose(ours, froc(*repeated(drawn)).sensitivity_at(), atol=1e-12)


def test_froc_looks_as_far_down_as_a_resample_needs() -> None:
    # 40 false positive boxes in the first image lie before the hit of the second.
    strays = Detections.of([[0, 0, 5, 5]] * 40, [0.9] * 40, [0] * 40)
    hit = Detections.of([[20, 20, 60, 60]], [0.5], [0])
    true = [Detections.empty(), Detections.ground_truth([[20, 20, 60, 60]], [0])]
    weighted = FrocSensitivity.of([strays, hit], true, rates=(8, 1))
    for weights in ([1, 1], [1, 4], [1, 5], [0, 1], [3, 1]):
        again = [(strays, true[0], weights[0]), (hit, true[1], weights[1])]
        expected = froc(*repeated(again)).sensitivity_at((8, 1))
        assert weighted(np.array(weights, dtype=np.float64)).tolist() == expected.tolist()


images = st.lists(
    st.tuples(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.booleans(), st.integers(0, 3)), min_size=1
)


@given(images, thresholds)
@settings(deadline=None, max_examples=60)
def test_weighted_figures_of_images_equal_those_of_repeated_images(drawn, confidence) -> None:
    scores, positive, weights = (np.array(column) for column in zip(*drawn, strict=True))
    w = weights.astype(np.float64)
    again, marks = np.repeat(scores, weights), np.repeat(positive, weights)
    assert same(Auc.of(scores, positive)(w), roc_auc(again, marks))
    counts = ImageCounts.of_images(scores, positive, confidence)
    at = measure(classifier_curve(again, marks), confidence)
    assert same(counts.sensitivity(w), at.sensitivity.share)
    assert same(counts.precision(w), at.precision.share)
    assert same(counts.specificity(w), at.specificity.share)
    assert same(counts.fp_per_image(w), at.fp_per_image)


def test_weights_of_nothing_leave_everything_undefined() -> None:
    counts = ImageCounts.of_images([0.5, 0.5], [True, False], 0.5)
    none = np.zeros(2)
    metrics = (counts.sensitivity, counts.precision, counts.f1, counts.fp_per_image)
    assert all(math.isnan(metric(none)) for metric in (*metrics, counts.specificity))
    assert math.isnan(Auc.of([0.5, 0.5], [True, False])(none))
    empty = FrocSensitivity.of([], [])
    assert np.isnan(empty(np.empty(0))).all()
