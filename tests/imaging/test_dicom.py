"""Slices of a series become one stack, ordered by where they lie."""

import itertools

import numpy as np
import pytest

from fracture_core.imaging.opening import open_images
from fracture_core.imaging.places import Slice, order
from tests.support.dicom_files import dicom, ramp, slice_of_ct


def opened(*slices: bytes):
    result = open_images([(f"{i}.dcm", data) for i, data in enumerate(slices)])
    assert result.errors == ()
    return result.images


def levels(image) -> list[int]:
    return image.pixels[:, 0, 0].tolist()


@pytest.mark.parametrize("shuffled", list(itertools.permutations(range(3))))
def test_order_is_by_position_and_not_by_number_or_upload(shuffled):
    made = [slice_of_ct(-5, 3), slice_of_ct(0, 1), slice_of_ct(5, 2)]
    (stack,) = opened(*(made[i] for i in shuffled))
    assert levels(stack) == [3, 1, 2]
    assert stack.positions_mm == (-5, 0, 5)
    assert stack.warnings == ()
    assert stack.scale.unit == "HU"
    assert len({sample.group_id for sample in stack.samples()}) == 1
    assert stack.sha256 == opened(*made)[0].sha256
    # The name is that of the first slice in order, whichever came first.
    assert stack.name == f"{shuffled.index(0)}.dcm"
    assert stack.samples()[1].sample_id == f"{shuffled.index(0)}-{stack.sha256[:12]}#2"


def test_position_is_along_the_normal_of_the_slice():
    # Sagittal slices: rows run along y, columns down -z, so the normal is -x.
    sagittal = [0, 1, 0, 0, 0, -1]
    made = [
        slice_of_ct(0, n, ImageOrientationPatient=sagittal, ImagePositionPatient=[x, 9 * n, 7])
        for n, x in ((1, 10), (2, 30), (3, 20))
    ]
    (stack,) = opened(*made)
    assert levels(stack) == [2, 3, 1]
    assert stack.positions_mm == (-30, -20, -10)


def test_without_positions_the_number_orders_with_a_word():
    made = [slice_of_ct(0, n, ImagePositionPatient=None) for n in (3, 1, 2)]
    (stack,) = opened(*made)
    assert levels(stack) == [1, 2, 3]
    assert any("InstanceNumber" in warning for warning in stack.warnings)


def test_a_gap_and_a_shared_position_are_told():
    (gap,) = opened(*(slice_of_ct(z, n) for n, z in ((1, 0), (2, 2), (3, 4), (4, 10))))
    assert any("missing after slice 3" in warning for warning in gap.warnings)
    (shared,) = opened(*(slice_of_ct(z, n) for n, z in ((2, 0), (1, 0), (3, 4))))
    assert any("lie where another one does" in warning for warning in shared.warnings)
    assert levels(shared) == [1, 2, 3]


def test_the_same_file_twice_is_one_slice():
    (stack,) = opened(slice_of_ct(0, 1), slice_of_ct(0, 1), slice_of_ct(1, 2))
    assert levels(stack) == [1, 2]
    assert "1 slices came twice and are kept once." in stack.warnings


def test_other_series_sizes_and_orientations_stay_apart():
    images = opened(
        slice_of_ct(0, 1),
        slice_of_ct(1, 2, SeriesInstanceUID="1.9"),
        slice_of_ct(2, 3, pixels=np.zeros((4, 4), dtype=np.uint16)),
        slice_of_ct(3, 4, ImageOrientationPatient=[0, 1, 0, 0, 0, -1]),
        slice_of_ct(4, 5),
    )
    assert [image.frames for image in images] == [2, 1, 1, 1]


def test_views_of_one_radiographic_series_stay_apart():
    made = [dicom(ramp(top=top), SOPInstanceUID=f"1.{top}") for top in (100, 200)]
    assert [image.frames for image in opened(*made)] == [1, 1]


def test_slices_with_other_intercepts_keep_their_values():
    (stack,) = opened(slice_of_ct(0, 10), slice_of_ct(1, 20, RescaleIntercept=-1000))
    values = stack.pixels[:, 0, 0] * stack.scale.slope + stack.scale.offset
    assert values.tolist() == [10 - 1024, 20 - 1000]
    assert stack.warnings == ()


def test_slices_with_other_slopes_are_rounded_to_one_scale_with_a_word():
    made = [slice_of_ct(i, n, RescaleSlope=n / 7) for i, n in enumerate((100, 200, 300))]
    (stack,) = opened(*made)
    values = stack.pixels[:, 0, 0] * stack.scale.slope + stack.scale.offset
    np.testing.assert_allclose(values, [n * n / 7 - 1024 for n in (100, 200, 300)], atol=0.2)
    assert any("rounded" in warning for warning in stack.warnings)


def test_windows_stay_true_in_a_stack():
    low = slice_of_ct(1, 1, RescaleIntercept=-2000)
    (stack,) = opened(slice_of_ct(0, 2), low)
    window = stack.windows[0]
    assert window.center * stack.scale.slope + stack.scale.offset == 400
    assert window.width == 1800


def test_a_stack_without_windows_shows_the_range_of_all_slices():
    none = {"Modality": "MR", "WindowCenter": None, "WindowWidth": None, "RescaleIntercept": 0}
    made = [
        slice_of_ct(z, z + 1, pixels=ramp(8, 8, top) + np.uint16(10), **none)
        for z, top in ((0, 100), (1, 300))
    ]
    (stack,) = opened(*made)
    assert (stack.windows[0].center, stack.windows[0].width) == (160, 300)
    assert (stack.shown(1).min(), stack.shown(1).max()) == (0, 255)


def test_order_of_slices_that_tell_nothing():
    indices, notes = order([Slice(), Slice()])
    assert indices == [0, 1]
    assert "order given" in notes[0]
