"""DETR's resize and crop: sizes drawn, and what becomes of pixels and boxes."""

import numpy as np
import pytest
import torch
from torch import Tensor

from trainers.augmentation import Frames, augment_batch
from trainers.config import Augment
from trainers.multi_scale import draw_sizes

SIZES = tuple(range(480, 801, 32))
SHARES = tuple(side / 800 for side in SIZES)
RESIZE = Augment(sizes=SHARES)
DETR = Augment(sizes=SHARES, crop=0.5, crop_sizes=(0.5, 0.625, 0.75), least_left=0.0)


def drawn(augment: Augment, sizes: list[list[int]], seed: int = 0) -> tuple[Tensor, Tensor | None]:
    return draw_sizes(augment, 800, torch.Generator().manual_seed(seed), torch.tensor(sizes))


def test_the_shorter_side_is_one_of_the_sizes_and_the_shape_stays() -> None:
    shapes, cuts = drawn(RESIZE, [[800, 1000]] * 400)
    assert cuts is None
    assert set(shapes[:, 0].tolist()) == set(SIZES)
    torch.testing.assert_close(
        shapes[:, 1] / shapes[:, 0], torch.full((400,), 1.25), atol=2e-3, rtol=0
    )


def test_the_longer_side_has_a_limit() -> None:
    shapes, _ = drawn(RESIZE, [[400, 1333]] * 100)
    assert shapes[:, 1].max() == 1333
    # 480 · 1333 / 400 would be 1600.
    assert set(shapes[:, 0].tolist()) == {400}


def test_crops_are_as_large_as_detrs() -> None:
    shapes, cuts = drawn(DETR, [[800, 1000]] * 2000)
    assert cuts is not None
    is_cut = (cuts[:, 2:] < 1).any(dim=1)
    assert 0.4 < is_cut.float().mean() < 0.6
    whole = torch.tensor([0.0, 0.0, 1.0, 1.0], dtype=torch.float64)
    assert (cuts[~is_cut] == whole).all()
    # At a shorter side of 400, 500 or 600 px an image has 500, 625 or 750 columns.
    starts, sides = cuts[is_cut, :2], cuts[is_cut, 2:]
    assert starts.min() >= 0
    assert (starts + sides).max() <= 1 + 1e-9
    fits = [(sides * torch.tensor([size * 1.25, size])).round().long() for size in (400, 500, 600)]
    exact = [
        ((sides * torch.tensor([size * 1.25, size]) - fit).abs() < 1e-6).all(dim=1)
        & (fit >= 384).all(dim=1)
        & (fit <= 600).all(dim=1)
        for size, fit in zip((400, 500, 600), fits, strict=True)
    ]
    assert torch.stack(exact).any(dim=0).all()
    # What is cut out is enlarged in its own shape.
    kept = sides * torch.tensor([1.25, 1.0])
    cut_shapes = shapes[is_cut].double()
    ratio = cut_shapes[:, 1] / cut_shapes[:, 0]
    torch.testing.assert_close(ratio, kept[:, 0] / kept[:, 1], atol=5e-3, rtol=0)
    assert cut_shapes.max() <= 1333
    assert set(cut_shapes.amin(dim=1).long().tolist()) <= set(SIZES)


def test_the_same_seed_draws_the_same_sizes() -> None:
    first, again = drawn(DETR, [[800, 800]] * 8, seed=3), drawn(DETR, [[800, 800]] * 8, seed=3)
    other = drawn(DETR, [[800, 800]] * 8, seed=4)
    assert (first[0] == again[0]).all()
    assert not (first[0] == other[0]).all()


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_pixels_and_boxes_move_alike_and_nothing_is_black(flip: float) -> None:
    """A bright rectangle on grey stays within its box, whatever is cut."""
    raw = torch.full((6, 160, 200), 60, dtype=torch.uint8)
    raw[:, 60:100, 80:120] = 250
    box = torch.tensor([[[80.0, 60.0, 120.0, 100.0]]] * 6)
    augment = Augment(
        flip=flip,
        sizes=(0.6, 0.8),
        crop=0.5,
        crop_sizes=(1.0,),
        crop_sides=(0.75, 0.95),
        longest=2.5,
    )
    sizes = torch.tensor([[160, 200]] * 6)
    generator = torch.Generator().manual_seed(1)
    inputs, cuts = draw_sizes(augment, 160, generator, sizes)
    height, width = inputs.amax(dim=0).tolist()
    frames = Frames(sizes, inputs, (height, width), cuts)
    labels = torch.zeros(6, 1, dtype=torch.int64)
    pixels, (boxes, kept) = augment_batch(augment, generator, raw, frames, (box, labels))
    assert (kept == 0).all()
    for image, (rows, columns), (x1, y1, x2, y2) in zip(
        pixels[:, 0], inputs.tolist(), boxes[:, 0].tolist(), strict=True
    ):
        inside = image[:rows, :columns]
        assert inside.min() > 55
        assert image[rows:].sum() == image[:, columns:].sum() == 0
        bright = np.argwhere(inside.numpy() > 155)
        low, high = bright.min(axis=0), bright.max(axis=0) + 1
        np.testing.assert_allclose([low[1], low[0], high[1], high[0]], [x1, y1, x2, y2], atol=1.0)


def test_a_sliver_is_ground_truth_only_where_it_is_asked_for() -> None:
    frames = Frames(
        torch.tensor([[100, 100]]),
        torch.tensor([[100, 100]]),
        (100, 100),
        # The left half, in which a tenth of the box lies.
        torch.tensor([[0.0, 0.0, 0.5, 1.0]], dtype=torch.float64),
    )
    raw = torch.zeros(1, 100, 100, dtype=torch.uint8)
    given = (torch.tensor([[[45.0, 10.0, 95.0, 30.0]]]), torch.zeros(1, 1, dtype=torch.int64))
    for least, label in ((0.0, 0), (0.05, 0), (0.25, -1)):
        augment = Augment(crop=0.5, sizes=(1.0,), crop_sizes=(1.0,), least_left=least)
        _, (_, labels) = augment_batch(augment, torch.Generator(), raw, frames, given)
        assert labels.tolist() == [[label]]
