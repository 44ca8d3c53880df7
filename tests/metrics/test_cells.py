"""The confusion of detectors held against plain matching."""

import numpy as np
import pytest
from hypothesis import given, settings

from fracture_core.matching import match
from fracture_core.metrics.cells import BACKGROUND, assign_cells
from fracture_core.types import Detections
from tests.metrics.test_greedy import images
from tests.support.strategies import thresholds

A, B, FAR = [0, 0, 10, 10], [20, 20, 30, 30], [50, 50, 60, 60]
K = 3


def plain_cells(found, true, confidence, match_iou) -> list[tuple[int, int, int]]:
    """Image, true and predicted class of each finding and of each missed ground truth."""
    entries = []
    for image, (one, ground_truth) in enumerate(zip(found, true, strict=True)):
        shown = one.above(confidence)
        result = match(shown, ground_truth, match_iou, class_aware=False)
        for label, of in zip(shown.labels.tolist(), result.gt_of.tolist(), strict=True):
            entries.append((image, int(ground_truth.labels[of]) if of >= 0 else K, label))
        entries += [(image, int(ground_truth.labels[of]), K) for of in result.missed]
    return entries


@given(images, thresholds, thresholds)
@settings(deadline=None, max_examples=60)
def test_cells_equal_plain_matching(cases, confidence, match_iou) -> None:
    found, true = [case[0] for case in cases], [case[1] for case in cases]
    cells = assign_cells(found, true, match_iou)
    entries = plain_cells(found, true, confidence, match_iou)
    matrix = cells.matrix(confidence, K)
    for row in range(K + 1):
        for column in range(K + 1):
            here = [image for image, *cell in entries if cell == [row, column]]
            assert matrix[row, column] == len(here)
            assert cells.images(confidence, row, column, K).tolist() == sorted(set(here))


def test_by_hand() -> None:
    found = [
        Detections.of([A, B, FAR], [0.9, 0.8, 0.4], [0, 1, 1]),
        Detections.of([FAR], [0.7], [0]),
        Detections.empty(),
    ]
    true = [
        Detections.ground_truth([A, B], [0, 0]),
        Detections.empty(),
        Detections.ground_truth([A], [1]),
    ]
    cells = assign_cells(found, true)
    assert cells.gt_row.tolist() == [0, 1, BACKGROUND, BACKGROUND]
    # Class 0 is found once as 0 and once as 1; class 1 is missed; one of each is false positive.
    assert cells.matrix(0.1, 2).tolist() == [[1, 1, 0], [0, 0, 1], [1, 1, 0]]
    assert cells.matrix(0.85, 2).tolist() == [[1, 0, 1], [0, 0, 1], [0, 0, 0]]
    assert cells.images(0.1, 1, 2, 2).tolist() == [2]
    assert cells.images(0.1, 2, 1, 2).tolist() == [0]
    assert cells.images(0.85, 0, 2, 2).tolist() == [0]


def test_a_box_of_the_wrong_class_takes_the_truth() -> None:
    found = [Detections.of([A, A], [0.9, 0.8], [1, 0])]
    matrix = assign_cells(found, [Detections.ground_truth([A], [0])]).matrix(0, 2)
    assert matrix.tolist() == [[0, 1, 0], [0, 0, 0], [1, 0, 0]]


def test_nothing_and_bad_input() -> None:
    assert assign_cells([], []).matrix(0.5, 2).sum() == 0
    cells = assign_cells([Detections.of([A], [0.9], [2])], [Detections.empty()])
    with pytest.raises(ValueError, match="found: expected labels below 2, got 2"):
        cells.matrix(0.5, 2)
    assert np.trace(cells.matrix(0.5, 3)) == 0
