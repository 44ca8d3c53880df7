"""What the shipped models learn on before real images: pairs that differ by a fracture alone."""

from pathlib import Path

import numpy as np
import pytest

from fracture_core.datasets import open_dataset
from fracture_core.demo.samples import demo_sample
from trainers import synthetic_data

HELD_OUT_SEED = 404
"""Of the images that the shipped models are held against (`test_shipped_models`)."""
SPLITS = ("val", "test")


@pytest.fixture(scope="module")
def pair() -> synthetic_data.Pair:
    return synthetic_data.make_pair(1)


def test_a_pair_differs_by_its_fractures(pair: synthetic_data.Pair) -> None:
    broken, intact = pair
    assert len(broken.ground_truth or ()) == 2
    assert intact.ground_truth is not None
    assert len(intact.ground_truth) == 0
    assert max(broken.height, broken.width) == synthetic_data.HEIGHT_PX
    changed = np.abs(broken.shown().astype(int) - intact.shown().astype(int)) > 25
    near = np.zeros_like(changed)
    assert broken.ground_truth is not None
    for left, top, right, bottom in broken.ground_truth.xyxy.astype(int):
        near[max(0, top - 12) : bottom + 12, max(0, left - 12) : right + 12] = True
    assert changed[near].sum() > 40
    assert changed[near].mean() > 10 * changed[~near].mean()


def test_shrunk_masks_fill_their_shrunk_boxes(pair: synthetic_data.Pair) -> None:
    ground_truth = pair[0].ground_truth
    assert ground_truth is not None
    for code, xyxy in zip(ground_truth.masks, ground_truth.xyxy, strict=True):
        rows, columns = np.nonzero(synthetic_data.masks.decode(code))
        tight = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        np.testing.assert_allclose(tight, xyxy, atol=1.5)


def test_both_sets_are_read_back(pair: synthetic_data.Pair, tmp_path: Path) -> None:
    plain = [synthetic_data.shrunk(demo_sample(7, n), f"{s}-{n}", s) for n, s in enumerate(SPLITS)]
    synthetic_data.write_radiographs(tmp_path / "synthetic", [pair, pair], plain)
    synthetic_data.write_parts(tmp_path / "patches", [pair], synthetic_data.PATCHES)
    whole, patches = (open_dataset(tmp_path / name) for name in ("synthetic", "patches"))
    assert {split: len(found) for split, found in whole.splits.items()} == {
        "train": 2,
        "val": 1,
        "test": 1,
    }
    found = [patches[sample_id] for sample_id in patches.splits["train"]]
    assert len(found) == 8
    assert sum(len(sample.ground_truth or ()) > 0 for sample in found) == 4
    sides = {(sample.height, sample.width) for sample in found}
    assert sides == {(synthetic_data.PATCHES.side_px, synthetic_data.PATCHES.side_px)}


def test_no_seed_is_used_twice() -> None:
    seeds = (
        synthetic_data.TRAIN_SEED,
        synthetic_data.VALID_SEED,
        synthetic_data.TEST_SEED,
        HELD_OUT_SEED,
    )
    assert len(set(seeds)) == 4
