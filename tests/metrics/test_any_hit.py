"""Counts of images held against their definitions written out."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fracture_core.metrics import any_hit
from fracture_core.types import Detections
from tests.metrics.test_greedy import images, overlap
from tests.support.strategies import detections, ground_truths, thresholds

BOX, FAR = [0, 0, 10, 10], [50, 50, 60, 60]


def plain_counts(found, there, confidence, match_iou) -> tuple[int, int, int]:
    hits = false_positives = missed = 0
    for one, ground_truth in zip(found, there, strict=True):
        shown = [box.tolist() for box, s in zip(one.xyxy, one.scores.tolist(), strict=True)
                 if s >= confidence]  # fmt: skip
        hit = any(overlap(b, t.tolist()) > match_iou for b in shown for t in ground_truth.xyxy)
        if len(ground_truth) and hit:
            hits += 1
        elif len(ground_truth) and shown:
            missed += 1
            false_positives += 1
        elif len(ground_truth):
            missed += 1
        elif shown:
            false_positives += 1
    return hits, false_positives, missed


@given(images, thresholds, st.lists(thresholds, max_size=4))
@settings(deadline=None)
def test_a_sweep_equals_the_definition(cases, match_iou, confidences) -> None:
    found, there = [case[0] for case in cases], [case[1] for case in cases]
    result = any_hit.sweep(found, there, confidences, match_iou=match_iou)
    counts = [(c.true_positives, c.false_positives, c.false_negatives) for c in result]
    assert counts == [plain_counts(found, there, c, match_iou) for c in confidences]


@given(
    st.lists(st.tuples(detections(), ground_truths()), min_size=1, max_size=5),
    thresholds,
    thresholds,
)
@settings(deadline=None)
def test_dual_metrics_equal_the_definition(cases, confidence, match_iou) -> None:
    found, there = [case[0] for case in cases], [case[1] for case in cases]
    dual = any_hit.dual_metrics(found, there, confidence, match_iou)
    confusion = [[0, 0], [0, 0]]
    hit_truths = 0
    for one, ground_truth in cases:
        shown = [b.tolist() for b, s in zip(one.xyxy, one.scores, strict=True) if s >= confidence]
        confusion[len(ground_truth) > 0][len(shown) > 0] += 1
        for there_xyxy in ground_truth.xyxy.tolist():
            best = max((overlap(box, there_xyxy) for box in shown), default=0.0)
            hit_truths += best > match_iou
    assert dual.images.confusion.tolist() == confusion
    assert (dual.boxes.count, dual.boxes.total) == (hit_truths, sum(len(t) for _, t in cases))


def test_a_fracture_whose_boxes_all_miss_is_wrong_twice() -> None:
    fracture, healthy = Detections.ground_truth([BOX], [0]), Detections.empty()
    miss, hit = Detections.of([FAR], [0.9], [0]), Detections.of([FAR, BOX], [0.9, 0.4], [0, 0])
    one = any_hit.count([miss], [fracture])
    assert (one.true_positives, one.false_positives, one.false_negatives) == (0, 1, 1)
    all_four = any_hit.sweep(
        [hit, miss, miss, healthy], [fracture, fracture, healthy, healthy], [0.5, 0.1]
    )
    assert all_four.true_positives.tolist() == [0, 1]
    assert all_four.false_positives.tolist() == [3, 2]
    assert all_four.false_negatives.tolist() == [2, 1]
    assert all_four.f1.tolist() == [0, pytest.approx(2 / 5)]


def test_an_overlap_of_exactly_the_match_iou_is_no_hit() -> None:
    half, ground_truth = (
        [Detections.of([[0, 0, 10, 5]], [0.9], [0])],
        [Detections.ground_truth([BOX], [0])],
    )
    assert any_hit.count(half, ground_truth, 0.1, 0.5).true_positives == 0
    assert any_hit.count(half, ground_truth, 0.1, 0.49).true_positives == 1


def test_several_boxes_may_share_a_truth_and_one_may_find_several() -> None:
    there = [Detections.ground_truth([BOX, [0, 0, 10, 9]], [0, 1])]
    dual = any_hit.dual_metrics([Detections.of([BOX], [0.2], [2])], there)
    assert dual.boxes.share == 1
    assert dual.images.recall[any_hit.FRACTURE] == 1
    assert math.isnan(dual.images.recall[any_hit.HEALTHY])


def test_without_truths_found_boxes_are_undefined() -> None:
    none = [Detections.empty()]
    assert math.isnan(any_hit.dual_metrics(none, none).boxes.share)
