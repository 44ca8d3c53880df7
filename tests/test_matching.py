import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fracture_core.matching import match
from fracture_core.types import Detections
from tests.support.strategies import detections, ground_truths, thresholds

rules = st.sampled_from(["iou", "centre"])


def test_the_best_scored_takes_the_truth_and_the_next_is_a_duplicate() -> None:
    ground_truth = Detections.ground_truth([[0, 0, 10, 10], [50, 50, 60, 60]], [0, 0])
    shown = Detections.of(
        [[0, 0, 10, 9], [0, 0, 10, 10], [30, 30, 40, 40]], [0.9, 0.8, 0.7], [0, 0, 0]
    )
    held = match(shown, ground_truth, 0.5)
    assert held.gt_of.tolist() == [0, -1, -1]
    assert held.iou.tolist() == [0.9, 1.0, 0.0]
    assert held.duplicate_of.tolist() == [-1, 0, -1]
    assert held.missed.tolist() == [1]
    assert held.kinds == ("true positive", "duplicate", "false positive")


def test_classes_count_only_when_asked() -> None:
    ground_truth = Detections.ground_truth([[0, 0, 10, 10]], [1])
    shown = Detections.of([[0, 0, 10, 10]], [0.9], [0])
    assert match(shown, ground_truth).kinds == ("false positive",)
    assert match(shown, ground_truth, class_aware=False).kinds == ("true positive",)


def test_a_box_in_the_middle_matches_by_its_centre_only() -> None:
    ground_truth = Detections.ground_truth([[0, 0, 100, 100]], [0])
    shown = Detections.of([[45, 45, 55, 55]], [0.9], [0])
    assert match(shown, ground_truth, 0.5).missed.tolist() == [0]
    assert match(shown, ground_truth, 0.5, rule="centre").gt_of.tolist() == [0]


def test_a_detection_prefers_the_truth_it_overlaps_most() -> None:
    ground_truth = Detections.ground_truth([[0, 0, 10, 10], [0, 0, 10, 12]], [0, 0])
    shown = Detections.of([[0, 0, 10, 12], [0, 0, 10, 12]], [0.9, 0.8], [0, 0])
    assert match(shown, ground_truth, 0.5).gt_of.tolist() == [1, 0]


def test_an_overlap_at_exactly_the_threshold_matches() -> None:
    ground_truth = Detections.ground_truth([[0, 0, 10, 10]], [0])
    shown = Detections.of([[0, 0, 10, 5]], [0.9], [0])
    assert match(shown, ground_truth, 0.5).gt_of.tolist() == [0]


def test_no_overlap_is_no_match_even_at_zero() -> None:
    ground_truth = Detections.ground_truth([[0, 0, 10, 10]], [0])
    shown = Detections.of([[20, 20, 30, 30]], [0.9], [0])
    assert match(shown, ground_truth, 0.0).kinds == ("false positive",)


@pytest.mark.parametrize(("found", "there"), [(0, 0), (0, 2), (2, 0)])
def test_nothing_on_either_side(found: int, there: int) -> None:
    box = [[0, 0, 4, 4]]
    shown = Detections.of(box * found, [0.5] * found, [0] * found)
    held = match(shown, Detections.ground_truth(box * there, [0] * there))
    assert len(held.gt_of) == found
    assert len(held.missed) == there


@given(detections(), ground_truths(), thresholds, rules, st.booleans())
def test_matches_add_up(shown, ground_truth, match_iou, rule, class_aware) -> None:
    held = match(shown, ground_truth, match_iou, rule=rule, class_aware=class_aware)
    taken = held.gt_of[held.gt_of >= 0]
    assert len(set(taken.tolist())) == len(taken)
    assert len(taken) + len(held.missed) == len(ground_truth)
    assert set(taken.tolist()) | set(held.missed.tolist()) == set(range(len(ground_truth)))
    assert len(held.kinds) == len(shown)
    assert ((held.duplicate_of < 0) | (held.gt_of < 0)).all()
    assert np.isin(held.duplicate_of[held.duplicate_of >= 0], taken).all()


@given(detections(), ground_truths(), thresholds, thresholds)
def test_a_stricter_overlap_never_matches_more(shown, ground_truth, first, second) -> None:
    low, high = sorted([first, second])
    strict = match(shown, ground_truth, high).gt_of >= 0
    loose = match(shown, ground_truth, low).gt_of >= 0
    # Greedy matching is not monotone box by box, but the best scored detection is.
    assert strict[:1].sum() <= loose[:1].sum()


@given(detections(), ground_truths(), thresholds, thresholds)
def test_a_match_does_not_depend_on_what_scores_lower(
    shown, ground_truth, match_iou, confidence
) -> None:
    few = shown.above(confidence)
    part = match(few, ground_truth, match_iou).gt_of
    assert part.tolist() == match(shown, ground_truth, match_iou).gt_of[: len(few)].tolist()
