"""Weighted box fusion: by hand, by law, and fast enough not to be noticed."""

import time

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fracture_core import boxes
from fracture_core.fusion import Candidates, Fused, fuse
from fracture_core.types import Detections
from tests.support.strategies import detections

CLASSES = 3
IOUS = st.sampled_from([0.3, 0.5, 0.55, 0.75])


def joined(*models: Detections) -> Candidates:
    return Candidates(
        xyxy=np.concatenate([one.xyxy for one in models]).astype(np.float64),
        scores=np.concatenate([one.scores for one in models]).astype(np.float64),
        labels=np.concatenate([one.labels for one in models]),
        models=np.repeat(np.arange(len(models)), [len(one) for one in models]),
    )


def equal(count: int, classes: int = CLASSES) -> np.ndarray:
    return np.ones((count, classes))


def one(
    xyxy: list[list[float]], scores: list[float], labels: list[int] | None = None
) -> Detections:
    return Detections.of(xyxy, scores, labels or [0] * len(scores))


def test_two_boxes_are_their_mean_weighted_by_score() -> None:
    # IoU 80 / 120. Left: (0.6 × 0 + 0.3 × 2) / 0.9; right: (0.6 × 10 + 0.3 × 12) / 0.9.
    models = one([[0, 0, 10, 10]], [0.6]), one([[2, 0, 12, 10]], [0.3])
    found = fuse(joined(*models), equal(2), 0.55)
    np.testing.assert_allclose(found.xyxy, [[0.2 / 0.3, 0, 9.6 / 0.9, 10]], rtol=1e-6)
    np.testing.assert_allclose(found.scores, [0.45], rtol=1e-6)
    assert found.strongest.tolist() == [0]


def test_weights_move_the_box_and_the_score() -> None:
    # The second counts three times: strengths 0.6 and 0.9, the score (0.6 + 0.9) / 4.
    models = one([[0, 0, 10, 10]], [0.6]), one([[2, 0, 12, 10]], [0.3])
    found = fuse(joined(*models), np.array([[1.0], [3.0]]), 0.55)
    np.testing.assert_allclose(found.xyxy, [[1.2, 0, 11.2, 10]], rtol=1e-6)
    np.testing.assert_allclose(found.scores, [0.375], rtol=1e-6)
    assert found.strongest.tolist() == [1]


def test_what_one_of_three_models_sees_counts_a_third() -> None:
    models = one([[0, 0, 10, 10]], [0.9]), Detections.empty(), Detections.empty()
    np.testing.assert_allclose(fuse(joined(*models), equal(3), 0.55).scores, [0.3], rtol=1e-6)


def test_a_model_that_does_not_know_a_class_has_no_say_in_it() -> None:
    models = one([[0, 0, 10, 10]], [0.9], [1]), one([[50, 50, 60, 60]], [0.8], [0])
    weights = np.array([[1.0, 1.0], [1.0, 0.0]])
    found = fuse(joined(*models), weights, 0.55)
    np.testing.assert_allclose(found.scores, [0.9, 0.4], rtol=1e-6)
    assert found.labels.tolist() == [1, 0]


def test_classes_are_fused_apart() -> None:
    models = one([[0, 0, 10, 10]], [0.9], [0]), one([[0, 0, 10, 10]], [0.8], [1])
    assert len(fuse(joined(*models), equal(2), 0.55).scores) == 2


def test_boxes_that_overlap_by_just_the_iou_stay_apart() -> None:
    # IoU 0.5: 10 × 10 against its half.
    models = one([[0, 0, 10, 10]], [0.9]), one([[0, 0, 10, 5]], [0.8])
    assert len(fuse(joined(*models), equal(2), 0.51).scores) == 2
    assert len(fuse(joined(*models), equal(2), 0.49).scores) == 1


def test_a_box_is_held_against_the_fused_box_not_the_first() -> None:
    # The third overlaps the first by 6 / 14, the mean of the first two, [1, 0, 11, 10], by 7 / 13.
    models = (
        one([[0, 0, 10, 10]], [0.8]),
        one([[2, 0, 12, 10]], [0.8]),
        one([[4, 0, 14, 10]], [0.2]),
    )
    found = fuse(joined(*models), equal(3), 0.5)
    assert len(found.scores) == 1
    np.testing.assert_allclose(found.scores, [0.6], rtol=1e-6)


def test_a_box_joins_the_cluster_it_overlaps_most() -> None:
    far, near = [0, 0, 10, 10], [4, 0, 14, 10]
    models = one([far], [0.9]), one([near], [0.8]), one([[3, 0, 13, 10]], [0.4])
    found = fuse(joined(*models), equal(3), 0.5)
    np.testing.assert_allclose(found.scores, [0.4, 0.3], rtol=1e-6)
    assert found.xyxy[1].tolist() == far


def test_a_model_counts_once_in_a_cluster() -> None:
    # Both of the first model's boxes join: its best one counts, (0.8 + 0.4) / 2.
    models = one([[0, 0, 10, 10], [1, 0, 11, 10]], [0.8, 0.7]), one([[0, 0, 10, 10]], [0.4])
    np.testing.assert_allclose(fuse(joined(*models), equal(2), 0.55).scores, [0.6], rtol=1e-6)


def test_nothing_found_gives_nothing() -> None:
    found = fuse(joined(Detections.empty(), Detections.empty()), equal(2), 0.55)
    assert found.xyxy.shape == (0, 4)
    assert len(found.scores) == len(found.labels) == len(found.strongest) == 0


@given(detections(), IOUS)
@settings(deadline=None)
def test_a_model_with_itself_gives_its_own_boxes(found: Detections, fusion_iou: float) -> None:
    apart = found.nms(fusion_iou / 2)
    fused = fuse(joined(apart, apart), equal(2), fusion_iou)
    assert as_rows(fused) == sorted(
        zip(apart.scores.tolist(), apart.labels.tolist(), apart.xyxy.tolist(), strict=True)
    )


def as_rows(fused: Fused) -> list[tuple[float, int, list[float]]]:
    return sorted(
        zip(fused.scores.tolist(), fused.labels.tolist(), fused.xyxy.tolist(), strict=True)
    )


@given(st.lists(detections(), min_size=2, max_size=4), IOUS, st.randoms())
@settings(deadline=None)
def test_the_order_of_the_models_does_not_matter(models, fusion_iou, random) -> None:
    weights = np.arange(1, len(models) + 1)[:, None] * np.ones(CLASSES)
    order = list(range(len(models)))
    random.shuffle(order)
    first = fuse(joined(*models), weights, fusion_iou)
    second = fuse(joined(*(models[i] for i in order)), weights[order], fusion_iou)
    np.testing.assert_allclose(first.scores, second.scores, atol=1e-9)
    np.testing.assert_allclose(first.xyxy, second.xyxy, atol=1e-6)
    assert first.labels.tolist() == second.labels.tolist()


@given(st.lists(detections(), min_size=1, max_size=4), IOUS)
@settings(deadline=None)
def test_fused_boxes_keep_the_rules(models, fusion_iou) -> None:
    candidates = joined(*models)
    fused = fuse(candidates, equal(len(models)), fusion_iou)
    assert ((fused.scores > 0) & (fused.scores <= 1)).all()
    assert (np.diff(fused.scores) <= 0).all()
    assert boxes.has_area(fused.xyxy).all()
    assert (candidates.labels[fused.strongest] == fused.labels).all()
    assert len(set(fused.strongest.tolist())) == len(fused.strongest)


@given(st.lists(detections(most=8, classes=1), min_size=2, max_size=3), IOUS)
@settings(deadline=None)
def test_it_is_the_published_procedure(models, fusion_iou) -> None:
    candidates = joined(*models)
    fused = fuse(candidates, equal(len(models), 1), fusion_iou)
    assert sorted(fused.strongest.tolist()) == sorted(plainly(candidates, fusion_iou))


def plainly(found: Candidates, fusion_iou: float) -> list[int]:
    """The first box of each cluster, one box and one IoU at a time."""
    order = sorted(range(len(found)), key=lambda i: (-found.scores[i], *found.xyxy[i].tolist()))
    clusters: list[list[int]] = []
    for i in order:
        shares = [boxes.iou(found.xyxy[[i]], mean(found, rows))[0, 0] for rows in clusters]
        # What lies on the line falls to either side by the last digit.
        assume(not np.isclose(shares, fusion_iou).any())
        assume(not np.isclose(*sorted([0, 0, *shares])[-2:]) or max(shares, default=0) == 0)
        best = max(range(len(clusters)), key=lambda k: (shares[k], -k), default=-1)
        if best >= 0 and shares[best] > fusion_iou:
            clusters[best].append(i)
        else:
            clusters.append([i])
    return [rows[0] for rows in clusters]


def mean(found: Candidates, rows: list[int]) -> np.ndarray:
    return np.average(found.xyxy[rows], axis=0, weights=found.scores[rows])[None]


def test_six_models_of_a_hundred_boxes_take_milliseconds() -> None:
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 900, (600, 2))
    candidates = Candidates(
        xyxy=np.concatenate([low, low + rng.uniform(20, 140, (600, 2))], axis=1),
        scores=rng.uniform(0.01, 1, 600),
        labels=np.zeros(600, dtype=np.int64),
        models=np.repeat(np.arange(6), 100),
    )
    seconds = []
    for _ in range(5):
        start = time.process_time()
        fuse(candidates, equal(6), 0.55)
        seconds.append(time.process_time() - start)
    assert min(seconds) < 0.05


@pytest.mark.parametrize("level", [0.1, 0.95])
def test_boxes_of_one_size_far_apart_stay_as_they_are(level: float) -> None:
    rows = [[20.0 * i, 5, 20.0 * i + 10, 15] for i in range(100)]
    models = one(rows, np.linspace(1, 0.1, 100).tolist())
    assert fuse(joined(models), equal(1), level).xyxy.tolist() == rows
