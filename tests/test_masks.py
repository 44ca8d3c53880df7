import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fracture_core import masks


@given(hnp.arrays(np.bool_, st.tuples(st.integers(1, 20), st.integers(1, 20))))
def test_codes_come_back(mask) -> None:
    rle = masks.encode(mask)
    assert (masks.decode(rle) == mask).all()
    assert masks.pixels(rle) == mask.sum()


def test_a_square_polygon_covers_its_pixels() -> None:
    square = np.array([[2, 3], [7, 3], [7, 9], [2, 9]], dtype=np.float64)
    mask = masks.decode(masks.from_polygons([square], height=12, width=10))
    assert mask.sum() == 5 * 6
    assert mask[3:9, 2:7].all()


def test_polygons_of_one_object_are_joined() -> None:
    left = np.array([[0, 0], [2, 0], [2, 2], [0, 2]], dtype=np.float64)
    rle = masks.from_polygons([left, left + 4], height=8, width=8)
    assert masks.pixels(rle) == 8


def test_uncompressed_counts_run_down_the_columns() -> None:
    mask = masks.decode(masks.from_counts([1, 2, 3], height=3, width=2))
    assert mask.tolist() == [[False, False], [True, False], [True, False]]


def test_a_code_is_small() -> None:
    mask = np.zeros((512, 512), dtype=np.bool_)
    mask[100:300, 50:400] = True
    assert len(masks.encode(mask).counts) < 2_000


@given(st.lists(st.integers(0, 2**20), min_size=1, max_size=60))
def test_cells_are_packed_as_the_coder_packs(counts: list[int]) -> None:
    packed = masks._packed(np.asarray(counts, dtype=np.int64))
    assert packed == masks.from_counts(counts, height=sum(counts), width=1).counts


small_masks = hnp.arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9)))


@given(small_masks)
def test_a_code_is_mirrored_as_its_pixels_are(mask) -> None:
    assert masks.mirror(masks.encode(mask)) == masks.encode(mask[:, ::-1])


@given(small_masks, st.lists(st.integers(0, 9), min_size=4, max_size=4))
def test_a_code_is_cropped_as_its_pixels_are(mask, box: list[int]) -> None:
    left, right = sorted(box[:2])
    top, bottom = sorted(box[2:])
    inside = np.zeros_like(mask)
    inside[top:bottom, left:right] = mask[top:bottom, left:right]
    assert masks.crop(masks.encode(mask), left, top, right, bottom) == masks.encode(inside)


@given(st.lists(st.integers(0, 2**20), min_size=1, max_size=60))
def test_packed_runs_come_back(counts: list[int]) -> None:
    packed = masks._packed(np.asarray(counts, dtype=np.int64))
    assert masks._unpacked(packed).tolist() == counts
