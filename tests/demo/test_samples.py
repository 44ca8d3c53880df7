"""Synthetic radiographs and CT studies: reproducible, their ground truth really there."""

from dataclasses import replace

import numpy as np
import pytest

from fracture_core import masks
from fracture_core.datasets.yolo_labels import ring_of
from fracture_core.demo import (
    CLASSES,
    demo_case,
    demo_samples,
    demo_studies,
    make_radiograph,
    make_study,
)
from fracture_core.demo.ct import plan_study, render_study
from fracture_core.demo.radiograph import VIEWS, plan_radiograph, render
from fracture_core.demo.samples import LEAST_SIDE_PX, box_of, gt_of, split_of
from fracture_core.types import Sample

SMALL = (256, 208)


def assert_tight(sample: Sample, least_px: int) -> None:
    assert sample.ground_truth is not None
    assert len(sample.ground_truth.masks) == len(sample.ground_truth)
    for xyxy, code in zip(sample.ground_truth.xyxy, sample.ground_truth.masks, strict=True):
        mask = masks.decode(code)
        assert mask.shape == (sample.height, sample.width)
        assert tuple(xyxy) == box_of(mask)
        assert min(xyxy[2] - xyxy[0], xyxy[3] - xyxy[1]) >= least_px


def test_the_same_seed_gives_the_same_radiograph_and_another_seed_another() -> None:
    first, again, other = (make_radiograph(seed, size=SMALL) for seed in (5, 5, 6))
    assert np.array_equal(first.pixels, again.pixels)
    assert first.ground_truth is not None
    assert again.ground_truth is not None
    assert first.ground_truth.masks == again.ground_truth.masks
    assert not np.array_equal(first.pixels, other.pixels)


def test_a_sample_does_not_depend_on_the_size_of_its_set() -> None:
    few, many = demo_samples(2, 3, size=SMALL), demo_samples(4, 3, size=SMALL)
    for one, other in zip(few, many, strict=False):
        assert (one.sample_id, one.group_id, one.split) == (
            other.sample_id,
            other.group_id,
            other.split,
        )
        assert np.array_equal(one.pixels, other.pixels)


def test_radiographs_are_twelve_bits_with_spacing_and_a_read_only_buffer() -> None:
    sample = make_radiograph(1)
    assert sample.pixels.dtype == np.uint16
    assert 2000 < sample.pixels.max() <= 4095
    assert not sample.pixels.flags.writeable
    assert sample.height in (720, 768, 800)
    assert sample.spacing_mm is not None
    assert 0.1 < sample.spacing_mm[0] < 0.6
    shown = sample.shown()
    assert shown.min() < 10
    assert shown.max() > 200


def test_boxes_are_tight_around_masks_of_a_sensible_size() -> None:
    found = demo_samples(10, 11, size=(400, 330))
    for sample in found:
        assert_tight(sample, LEAST_SIDE_PX)
    counts = [len(sample.ground_truth or ()) for sample in found]
    assert 4 <= sum(count > 0 for count in counts) <= 6
    assert max(counts) == 2


@pytest.mark.parametrize("kind", CLASSES)
def test_a_fracture_changes_the_image_where_its_mask_is_and_nearly_nowhere_else(
    kind: str,
) -> None:
    seen = 0
    for seed in range(60):
        plan = plan_radiograph((seed, 1), size=(512, 420), view="leg", findings=1)
        if not plan.fractures or plan.fractures[0].kind != kind:
            continue
        lying = replace(plan.fractures[0], shift_mm=(0.0, 0.0), angle=0.0)
        plan = replace(plan, fractures=(lying,))
        broken, intact = render(plan), render(plan, intact=True)
        ground_truth = broken.ground_truths[0]
        change = np.abs(broken.pixels.astype(float) - intact.pixels.astype(float))
        assert change[ground_truth].mean() > 40
        assert np.percentile(change[ground_truth], 90) > 90
        if kind != "greenstick":
            # A greenstick fracture bends what lies beyond it; the others leave it where it was.
            assert change[ground_truth].mean() > 8 * change[~ground_truth].mean()
        seen += 1
        if seen == 2:
            return
    assert seen


def test_a_displaced_fracture_moves_what_hangs_beyond_it() -> None:
    plan = plan_radiograph((4,), size=(512, 420), view="wrist", findings=1)
    moved = replace(
        plan.fractures[0], kind="transverse", bone="radius", shift_mm=(5.0, 0.0), angle=0.05
    )
    still = replace(moved, shift_mm=(0.0, 0.0), angle=0.0)
    here, there = (render(replace(plan, fractures=(each,))) for each in (still, moved))
    change = np.abs(here.pixels.astype(float) - there.pixels.astype(float))
    # The hand, in the upper part of the image, hangs on the radius.
    assert np.percentile(change[100:200], 75) > 60


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_shows_bone_brighter_than_flesh_and_flesh_brighter_than_air(view: str) -> None:
    pixels = render(plan_radiograph((2,), size=SMALL, view=view, findings=0)).pixels
    dark, middle, bright = np.percentile(pixels, [5, 50, 99])
    assert dark < 600
    assert dark < middle < bright
    assert bright > 2300


def test_the_demo_case_has_two_findings() -> None:
    sample = demo_case()
    assert sample.ground_truth is not None
    assert len(sample.ground_truth) == 2
    assert_tight(sample, LEAST_SIDE_PX)
    assert np.array_equal(sample.pixels, demo_case().pixels)


def test_a_mask_smaller_than_the_least_box_grows_and_next_to_nothing_is_left_out() -> None:
    small, nothing = np.zeros((60, 60), np.bool_), np.zeros((60, 60), np.bool_)
    small[30:34, 20:40] = True
    nothing[5, 5] = True
    ground_truth = gt_of([small, nothing], [1, 2], 12)
    assert ground_truth.xyxy.tolist() == [[16, 26, 44, 38]]
    assert ground_truth.labels.tolist() == [1]


def test_splits_are_70_15_15() -> None:
    splits = [split_of(group) for group in range(100)]
    assert [splits.count(name) for name in ("train", "val", "test")] == [70, 15, 15]


def test_a_study_is_one_group_of_slices_that_change_smoothly() -> None:
    study = make_study(3, slices=10, size=128)
    assert len({sample.group_id for sample in study}) == 1
    assert [sample.sample_id.rpartition("/")[2] for sample in study] == [
        str(number) for number in range(10)
    ]
    assert study[0].scale.unit == "HU"
    volume = np.stack([sample.pixels for sample in study]).astype(float)
    near = np.abs(np.diff(volume, axis=0)).mean()
    far = np.abs(volume[:-5] - volume[5:]).mean()
    assert near < far


def test_a_study_is_reproducible_and_does_not_depend_on_the_number_of_studies() -> None:
    one = demo_studies(1, 2, slices=6, size=96)[0]
    other = demo_studies(2, 2, slices=6, size=96)[0]
    for first, second in zip(one, other, strict=True):
        assert first.sample_id == second.sample_id
        assert np.array_equal(first.pixels, second.pixels)


def test_fractures_of_a_study_span_neighbouring_slices_and_are_seen() -> None:
    plan = plan_study((8,), 20, fractured=True)
    broken = render_study(plan, 20, 256)
    intact = render_study(replace(plan, cracks=()), 20, 256)
    for ground_truth in broken.ground_truths:
        slices = np.flatnonzero(ground_truth.any(axis=(1, 2)))
        assert 3 <= len(slices) <= 14
        assert (np.diff(slices) == 1).all()
        change = np.abs(broken.pixels.astype(float) - intact.pixels.astype(float))
        assert change[ground_truth].mean() > 8 * change[~ground_truth].mean()
    for sample in make_study(8, slices=20, fractured=True):
        assert_tight(sample, 6)


def test_a_study_that_is_not_fractured_has_empty_truths() -> None:
    study = make_study(1, slices=4, size=96, fractured=False)
    assert all(
        sample.ground_truth is not None and len(sample.ground_truth) == 0 for sample in study
    )


def test_the_outline_of_a_mask_gives_the_mask_back() -> None:
    square = np.zeros((12, 14), np.bool_)
    square[3:6, 4:9] = True
    assert sorted(map(tuple, ring_of(square).tolist())) == [(4, 3), (4, 6), (9, 3), (9, 6)]
    for seed in range(5):
        mask = np.zeros((70, 60), np.bool_)
        rng = np.random.default_rng(seed)
        for _ in range(3):
            y, x = rng.integers(4, 40, 2)
            mask[y : y + 15, x : x + 9] = True
        ring = ring_of(mask)
        assert tuple(np.concatenate([ring.min(0), ring.max(0)])) == box_of(mask)
        back = masks.decode(masks.from_polygons([ring], 70, 60))
        assert (back & mask).sum() / (back | mask).sum() > 0.93
