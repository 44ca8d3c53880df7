"""Which images an epoch goes through."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fracture_core.errors import ConfigError
from trainers.packed import has_finding, rows_of_epoch
from trainers.training_module import NOTHING


def packed(classes: tuple[str, ...], image_classes: list[int], labels: list[list[int]]) -> Any:
    ground_truth = SimpleNamespace(image_classes=np.array(image_classes), labels=np.array(labels))
    return SimpleNamespace(classes=classes, ground_truth=ground_truth)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(
    found=st.lists(st.booleans(), min_size=1, max_size=60),
    normals=st.floats(0, 3),
    seed=st.integers(0, 2**31),
)
def test_all_findings_and_a_share_of_the_rest(found: list[bool], normals: float, seed: int) -> None:
    rows = rows_of_epoch(torch.tensor(found), normals, generator(seed)).tolist()
    assert rows == sorted(set(rows))
    assert {row for row, there in enumerate(found) if there} <= set(rows)
    wanted = min(round(normals * sum(found)), len(found) - sum(found))
    assert len(rows) == sum(found) + wanted


def test_other_epochs_take_others_and_the_same_epoch_the_same() -> None:
    found = torch.zeros(200, dtype=torch.bool)
    found[:20] = True
    first, again, other = (rows_of_epoch(found, 1.0, generator(seed)) for seed in (1, 1, 2))
    assert len(first) == 40
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(rows_of_epoch(found, None, generator(1)), torch.arange(200))


def test_detectors_count_objects_and_classifiers_the_negative_class() -> None:
    one = packed(("Healthy", "break"), [0, 1, 0], [[NOTHING], [1], [0]])
    assert has_finding(one, classifies=False).tolist() == [False, True, True]
    assert has_finding(one, classifies=True).tolist() == [False, True, False]


def test_classes_without_a_negative_one() -> None:
    with pytest.raises(ConfigError, match="normals: expected none, as no class"):
        has_finding(packed(("a", "b"), [0], [[0]]), classifies=True)
