"""The log-average miss rate held against a curve computed by hand."""

from math import isnan

import numpy as np
import pytest

from fracture_core.metrics.miss_rate import FP_PER_IMAGE, LogAverageMissRate
from fracture_core.types import Detections

IMAGES = 100
PLACE = (10.0, 10.0, 20.0, 20.0)


def shown(*scores: float) -> Detections:
    return Detections(
        xyxy=np.array([PLACE] * len(scores), dtype=np.float32).reshape(-1, 4),
        scores=np.array(scores, dtype=np.float32),
        labels=np.zeros(len(scores), dtype=np.int64),
    )


def hundred(
    hits: list[float], wrong: list[float], lesions: int
) -> tuple[list[Detections], list[Detections]]:
    """Lesions in the first images, a hit each as far as there are; false positives in the last."""
    found = [shown(score) for score in hits] + [shown()] * (IMAGES - len(hits) - len(wrong))
    found += [shown(score) for score in wrong]
    ground_truths = [Detections.ground_truth(np.array([PLACE]), [0])] * lesions
    return found, ground_truths + [Detections.ground_truth(np.empty((0, 4)), [])] * (
        IMAGES - lesions
    )


def lamr(found: list[Detections], ground_truths: list[Detections]) -> float:
    return LogAverageMissRate.of(found, ground_truths)(np.ones(len(found)))


def test_nine_rates_evenly_spaced_in_log_space() -> None:
    np.testing.assert_allclose(FP_PER_IMAGE, np.logspace(-2, 0, 9))


def test_a_curve_by_hand() -> None:
    # Of five lesions in a hundred images four are hit, by rising false positives an image:
    # 0.9 and 0.7 by 0.01, 0.4 by 0.03, 0.2 by 0.10.
    wrong = [0.8, 0.6, 0.5, *[0.3] * 7]
    found, ground_truths = hundred([0.9, 0.7, 0.4, 0.2], wrong, lesions=5)
    missed = [3 / 5, 3 / 5, 2 / 5, 2 / 5, 1 / 5, 1 / 5, 1 / 5, 1 / 5, 1 / 5]
    assert lamr(found, ground_truths) == pytest.approx(np.prod(missed) ** (1 / 9))


def test_a_rate_that_no_confidence_keeps_to_misses_everything() -> None:
    # Three false positives, 0.03 an image, come before the only hit of two lesions.
    found, ground_truths = hundred([0.5], [0.9, 0.8, 0.7], lesions=2)
    assert lamr(found, ground_truths) == pytest.approx((1 / 2) ** (7 / 9))


def test_nothing_missed_is_next_to_nothing_and_nothing_found_is_one() -> None:
    assert lamr(*hundred([0.9, 0.9], [], lesions=2)) == pytest.approx(1e-10)
    assert lamr(*hundred([], [0.9], lesions=2)) == pytest.approx(1)
    assert isnan(lamr(*hundred([], [0.9], lesions=0)))


def test_a_weight_of_two_is_the_same_image_twice() -> None:
    found, ground_truths = hundred([0.9, 0.7, 0.4], [0.8, 0.6, 0.6], lesions=5)
    weights = np.random.default_rng(0).integers(0, 3, IMAGES)
    again = np.repeat(np.arange(IMAGES), weights)
    expected = lamr([found[n] for n in again], [ground_truths[n] for n in again])
    drawn = LogAverageMissRate.of(found, ground_truths)(weights.astype(np.float64))
    assert drawn == pytest.approx(expected)
