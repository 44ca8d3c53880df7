"""What the shipped models are trained on: crops that keep their findings, and no leaks."""

import numpy as np
import pytest

from fracture_core import masks
from fracture_core.types import Detections, Sample
from trainers.mixed_data import (
    BROKEN,
    CROP_PX,
    FEW,
    WHOLE,
    crops_of,
    cutting_of,
    leaking_images,
)
from trainers.synthetic_data import held


def radiograph(*, split: str = "train", fractured: bool = True, name: str = "IMG1") -> Sample:
    """600 × 800 with a bright square of 40 px where the fracture is."""
    pixels = np.full((600, 800), 40, dtype=np.uint8)
    mask = np.zeros((600, 800), dtype=np.bool_)
    if fractured:
        mask[300:340, 500:540] = True
        pixels[mask] = 250
    ground_truth = (
        Detections.ground_truth([[500, 300, 540, 340]], [0], (masks.encode(mask),))
        if fractured
        else Detections.empty()
    )
    return held(pixels, name, split, ground_truth)


def test_every_training_image_of_a_group_in_another_split_leaks() -> None:
    splits = {"train": ["a", "b", "c"], "val": ["v"], "test": ["t"]}
    groups = {"a": "1", "b": "1", "c": "2", "v": "1", "t": "3"}
    assert leaking_images(splits, groups) == {"a", "b"}
    assert leaking_images(splits, dict.fromkeys(groups, "1")) == {"a", "b", "c"}


def test_crops_around_a_finding_show_it_with_a_tight_box() -> None:
    crops = list(crops_of(radiograph(), BROKEN, np.random.default_rng(0)))
    assert len(crops) == BROKEN.around + BROKEN.anywhere
    around = crops[: BROKEN.around]
    assert sum(len(crop.ground_truth or ()) == 1 for crop in around) >= BROKEN.around - 1
    for crop in around:
        assert max(crop.height, crop.width) <= CROP_PX
        for box, code in zip(crop.ground_truth.xyxy, crop.ground_truth.masks, strict=True):  # type: ignore[union-attr]
            left, top, right, bottom = box.astype(int)
            assert crop.pixels[top:bottom, left:right].mean() > 180
            assert masks.pixels(code) == pytest.approx((right - left) * (bottom - top), rel=0.15)


def test_the_same_seed_cuts_the_same_crops() -> None:
    first, again = (
        [crop.pixels.tobytes() for crop in crops_of(radiograph(), FEW, np.random.default_rng(5))]
        for _ in range(2)
    )
    assert first == again


def test_images_without_a_finding_and_of_other_splits_give_fewer_crops() -> None:
    assert cutting_of(radiograph()) == BROKEN
    assert cutting_of(radiograph(fractured=False)) == WHOLE
    assert cutting_of(radiograph(split="val")) == FEW
    assert cutting_of(radiograph(name="pair-3-broken")) == FEW


def test_an_image_smaller_than_a_crop_is_kept_whole() -> None:
    small = held(np.full((100, 90), 9, np.uint8), "s", "train", Detections.empty())
    (first, second) = crops_of(small, WHOLE, np.random.default_rng(1))
    for crop in (first, second):
        assert crop.height / crop.width == pytest.approx(100 / 90, rel=0.35)
        assert len(crop.ground_truth or ()) == 0
