"""Calibration held against errors computed by hand and by plain loops."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fracture_core.metrics.calibration import detection_ece, reliability
from fracture_core.metrics.detection_table import DetectionTable
from fracture_core.metrics.intervals import wilson
from fracture_core.types import Detections


def test_by_hand() -> None:
    # Bin [0.2, 0.4): scores 0.25 and 0.35, one right: |1/2 − 0.3| = 0.2, two of five.
    # Bin [0.8, 1]: scores 0.8, 0.9 and 1, two right: |2/3 − 0.9|, three of five.
    found = reliability([0.25, 0.8, 0.35, 1, 0.9], [True, True, False, True, False], bins=5)
    assert found.edges.tolist() == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
    assert found.totals.tolist() == [0, 2, 0, 0, 3]
    assert found.right.tolist() == [0, 1, 0, 0, 2]
    np.testing.assert_allclose(found.mean_score, [math.nan, 0.3, math.nan, math.nan, 0.9])
    np.testing.assert_allclose(found.share, [math.nan, 0.5, math.nan, math.nan, 2 / 3])
    assert found.intervals[4].tolist() == list(wilson(2, 3))
    assert np.isnan(found.intervals[0]).all()
    assert found.ece == pytest.approx((2 * 0.2 + 3 * (0.9 - 2 / 3)) / 5)


pairs = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1)


@given(pairs, st.integers(1, 12))
def test_the_error_equals_plain_loops(cases, bins) -> None:
    error = 0.0
    for k in range(bins):
        low, high = k / bins, (k + 1) / bins
        own = [(s, r) for s, r in cases if low <= s < high or (k == bins - 1 and s == 1)]
        if own:
            gap = sum(r for _, r in own) / len(own) - sum(s for s, _ in own) / len(own)
            error += len(own) / len(cases) * abs(gap)
    found = reliability([s for s, _ in cases], [r for _, r in cases], bins)
    assert found.ece == pytest.approx(error, abs=1e-9)
    assert found.totals.sum() == len(cases)


def boxes(*rows: tuple[list[float], float]) -> DetectionTable:
    """In one image, the best scored first."""
    return DetectionTable.of(
        [Detections.of([r[0] for r in rows], [r[1] for r in rows], [0] * len(rows))]
    )


LEFT, RIGHT, LARGE = [0, 40, 20, 60], [80, 40, 100, 60], [0, 0, 100, 100]
SIZES = np.array([[100, 100]])


def test_where_boxes_lie_counts() -> None:
    # All scored 0.5, half of them right: calibrated as a whole, not on either side.
    found = boxes((LEFT, 0.5), (LEFT, 0.5), (RIGHT, 0.5), (RIGHT, 0.5))
    right = [True, True, False, False]
    assert detection_ece(found, right, least=1) == pytest.approx(0)
    assert detection_ece(found, right, SIZES, least=1) == pytest.approx(0.5)


def test_shares_are_of_the_images_width_and_height() -> None:
    # By hand: centre (0.25, 0.5) of 400 by 200 is (100, 100); both boxes fall in one cell.
    found = boxes(([90, 95, 110, 105], 0.5), ([91, 95, 111, 105], 0.5))
    wide = np.array([[200, 400]])
    assert detection_ece(found, [True, False], wide, bins=2, least=2) == pytest.approx(0)
    # The centre line of 210 pixels divides them.
    narrow = np.array([[200, 201]])
    assert detection_ece(found, [True, False], narrow, bins=2, least=1) == pytest.approx(0.5)
    assert math.isnan(detection_ece(found, [True, False], narrow, bins=2, least=2))


def test_small_cells_do_not_count() -> None:
    found = boxes((LEFT, 0.9), *[(LARGE, 0.5)] * 8)
    right = [False] + [True] * 8
    # One cell has eight boxes, each right, scored 0.5; the other box is left out.
    assert detection_ece(found, right, SIZES) == pytest.approx(0.5)
    assert detection_ece(found, right, SIZES, least=1) == pytest.approx((0.9 + 8 * 0.5) / 9)


def test_nothing_is_undefined_and_bad_input_is_said() -> None:
    assert math.isnan(reliability([], []).ece)
    assert math.isnan(detection_ece(DetectionTable.of([]), []))
    with pytest.raises(ValueError, match=r"right: expected shape \(1,\), got \(2,\)"):
        reliability([0.5], [True, False])
    with pytest.raises(ValueError, match="scores: expected 0 to 1"):
        reliability([1.5], [True])
    with pytest.raises(ValueError, match=r"sizes_px: expected \(1, 2\), got \(2, 2\)"):
        detection_ece(boxes((LEFT, 0.5)), [True], np.array([[1, 1], [1, 1]]))
