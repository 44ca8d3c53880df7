"""Counts of boxes held against a plain loop over images, classes, boxes and ground truths."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fracture_core import matching
from fracture_core.metrics import greedy
from fracture_core.metrics.detection_table import DetectionTable
from fracture_core.metrics.pairs import PAIRS_AT_ONCE
from fracture_core.metrics.sweeps import FEW, count_above
from fracture_core.types import Detections
from tests.support.strategies import detections, ground_truths, thresholds

images = st.lists(st.tuples(detections(), ground_truths()), max_size=5)


def overlap(a: list[float], b: list[float]) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    sizes = [(c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)]
    return width * height / (sizes[0] + sizes[1] - width * height)


def plain_counts(found, there, confidence, match_iou, class_aware) -> tuple[int, int, int]:
    """Each box in falling order of score takes the free ground truth it overlaps most."""
    hits = false_positives = missed = 0
    for shown, ground_truth in zip(found, there, strict=True):
        free = list(range(len(ground_truth)))
        for box, score, label in zip(
            shown.xyxy.tolist(), shown.scores.tolist(), shown.labels.tolist(), strict=True
        ):
            if score < confidence:
                continue
            best, best_iou = None, 0.0
            for j in free:
                if class_aware and ground_truth.labels[j] != label:
                    continue
                iou = overlap(box, ground_truth.xyxy[j].tolist())
                if iou >= match_iou and iou > best_iou:
                    best, best_iou = j, iou
            if best is None:
                false_positives += 1
            else:
                hits += 1
                free.remove(best)
        missed += len(free)
    return hits, false_positives, missed


@given(images, thresholds, st.lists(thresholds, max_size=4), st.booleans())
@settings(deadline=None)
def test_a_sweep_equals_plain_loops(cases, match_iou, confidences, class_aware) -> None:
    found, there = [case[0] for case in cases], [case[1] for case in cases]
    result = greedy.sweep(found, there, confidences, match_iou=match_iou, class_aware=class_aware)
    counts = [(c.true_positives, c.false_positives, c.false_negatives) for c in result]
    assert counts == [
        plain_counts(found, there, confidence, match_iou, class_aware) for confidence in confidences
    ]


@given(images, thresholds, st.booleans())
@settings(deadline=None)
def test_matches_equal_those_of_single_images(cases, match_iou, class_aware) -> None:
    found, there = [case[0] for case in cases], [case[1] for case in cases]
    matched = greedy.match_all(found, there, match_iou, class_aware=class_aware)
    single = [
        matching.match(one, ground_truth, match_iou, class_aware=class_aware).gt_of >= 0
        for one, ground_truth in cases
    ]
    assert matched.tolist() == [value for one in single for value in one.tolist()]


def test_by_hand() -> None:
    found = [
        Detections.of(
            [[0, 0, 10, 10], [0, 0, 10, 9], [50, 50, 60, 60]], [0.9, 0.8, 0.3], [0, 0, 0]
        ),
        Detections.of([[5, 5, 15, 15]], [0.8], [0]),
        Detections.empty(),
    ]
    there = [
        Detections.ground_truth([[0, 0, 10, 10]], [0]),
        Detections.empty(),
        Detections.ground_truth([[0, 0, 4, 4]], [0]),
    ]
    result = greedy.sweep(found, there)
    np.testing.assert_allclose(result.confidences, [0.9, 0.8, 0.3], atol=1e-7)
    assert result.true_positives.tolist() == [1, 1, 1]
    assert result.false_positives.tolist() == [0, 2, 3]
    assert result.false_negatives.tolist() == [1, 1, 1]
    assert result.precision.tolist() == [1, 1 / 3, 1 / 4]
    assert result.recall.tolist() == [0.5, 0.5, 0.5]
    assert result.f1.tolist() == [2 / 3, 2 / 5, 2 / 6]
    one = greedy.count(found, there, 0.85)
    assert (one.precision, one.recall, one.f1) == (1, 0.5, 2 / 3)


def test_shares_of_nothing_are_undefined() -> None:
    none = [Detections.empty()]
    one = greedy.count(none, none, 0.5)
    assert all(math.isnan(value) for value in (one.precision, one.recall, one.f1))
    swept = greedy.sweep(none, none, [0.5])
    assert np.isnan([swept.precision, swept.recall, swept.f1]).all()
    missed = greedy.count(none, [Detections.ground_truth([[0, 0, 1, 1]], [0])], 0.5)
    assert math.isnan(missed.precision)
    assert (missed.recall, missed.f1) == (0, 0)


def test_counts_over_many_and_few_confidences_agree() -> None:
    rng = np.random.default_rng(2)
    scores = rng.integers(0, 40, 300).astype(np.float32) / np.float32(40)
    confidences = np.append(np.unique(scores).astype(np.float64), rng.random(30))
    # A float64 just above a float32 is not reached by it.
    confidences = np.append(confidences, np.nextafter(confidences, 1))
    plain = [sum(float(score) >= at for score in scores) for at in confidences]
    assert len(confidences) > 2 * FEW
    assert count_above(scores, confidences).tolist() == plain
    assert [count_above(scores, [at])[0] for at in confidences] == plain
    assert count_above(scores.astype(np.float64), confidences[:FEW]).tolist() == plain[:FEW]
    assert count_above(scores, []).tolist() == []


def test_columns_and_lists_give_the_same_and_crowds_are_refused() -> None:
    found = [Detections.of([[0, 0, 10, 10]], [0.9], [0])]
    there = DetectionTable.of([Detections.ground_truth([[0, 0, 10, 10]], [0])])
    assert greedy.match_all(DetectionTable.of(found), there).tolist() == [True]
    crowd = DetectionTable.of([Detections.ground_truth([[0, 0, 10, 10]], [0])], [np.array([True])])
    with pytest.raises(ValueError, match="expected no crowds, got 1"):
        greedy.match_all(found, crowd)


def test_more_pairs_than_fit_at_once(monkeypatch) -> None:
    rng = np.random.default_rng(0)
    low = rng.integers(0, 40, (300, 2))
    one = Detections.of(
        np.concatenate([low, low + 12], axis=1), np.linspace(1, 0.1, 300), np.zeros(300)
    )
    ground_truth = Detections.ground_truth(one.xyxy[::7] + 1, np.zeros(43))
    monkeypatch.setattr("fracture_core.metrics.pairs.PAIRS_AT_ONCE", 3 * 300 * 43 + 1)
    whole = greedy.match_all([one] * 3, [ground_truth] * 3)
    assert 0 < whole.sum() < len(whole)
    for most in (PAIRS_AT_ONCE, 1000, 100, 1):
        monkeypatch.setattr("fracture_core.metrics.pairs.PAIRS_AT_ONCE", most)
        assert greedy.match_all([one] * 3, [ground_truth] * 3).tolist() == whole.tolist()
