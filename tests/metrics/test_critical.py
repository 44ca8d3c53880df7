"""Confusions that are asked for by name."""

import math

import numpy as np
import pytest

from fracture_core.errors import ConfigError
from fracture_core.metrics.critical import FRACTURE10_PAIRS, critical_errors

CLASSES = ("Comminuted", "Healthy", "Transverse Displaced", "Spiral")


def test_the_published_pairs() -> None:
    ground_truth = np.array([0, 0, 0, 2, 2, 1, 1])
    called = np.array([0, 2, 2, 1, 2, 2, 1])
    first, second = critical_errors(ground_truth, called, CLASSES, FRACTURE10_PAIRS)
    assert first.pair == ("Comminuted", "Transverse Displaced")
    assert (first.share.count, first.share.total, first.rows.tolist()) == (2, 3, [1, 2])
    assert (second.share.count, second.share.total, second.rows.tolist()) == (1, 2, [3])


def test_a_pair_of_ones_own_and_a_class_that_never_occurs() -> None:
    errors = critical_errors(np.array([1]), np.array([3]), CLASSES, [("Spiral", "Healthy")])
    assert math.isnan(errors[0].share.share)
    assert critical_errors(np.array([1]), np.array([3]), CLASSES, []) == ()


def test_bad_input_is_said() -> None:
    ground_truth = np.array([0])
    with pytest.raises(ConfigError, match=r"critical errors: expected one of .*, found Oblique"):
        critical_errors(ground_truth, ground_truth, CLASSES, [("Healthy", "Oblique")])
    with pytest.raises(ConfigError, match="two different classes, found Spiral"):
        critical_errors(ground_truth, ground_truth, CLASSES, [("Spiral", "Spiral")])
    with pytest.raises(ValueError, match=r"predicted: expected shape \(1,\), got \(2,\)"):
        critical_errors(ground_truth, np.array([0, 1]), CLASSES, [])
