"""Augmentation: boxes go where pixels go, colours never move anything, seeds decide everything."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms.v2 import functional

from trainers.augmentation import Colours, Frames, augment_batch, change_colours
from trainers.config import Augment
from trainers.training_module import NOTHING

BOX = (12, 20, 40, 36)
SIZE = (48, 64)

GEOMETRY = {
    "flip": Augment(flip=1),
    "flip vertical": Augment(flip_vertical=1),
    "degrees": Augment(degrees=30),
    "quarter turns": Augment(degrees=180),
    "shift": Augment(shift=0.2),
    "scale": Augment(scale=(0.6, 1.6)),
    "crop": Augment(crop=1, crop_least=0.5),
    "crop around": Augment(crop=1, crop_least=0.5, around=1),
    "all around": Augment(flip=0.5, degrees=15, scale=(0.9, 1.1), crop=0.7, around=0.5),
    "all": Augment(flip=0.5, flip_vertical=0.5, degrees=15, shift=0.1, scale=(0.9, 1.1), crop=0.5),
}
COLOURS = Augment(brightness=0.3, contrast=0.3, blur=0.7)
seeds = st.integers(0, 2**31)


def frames(sizes: list[tuple[int, int]], inputs: list[tuple[int, int]]) -> Frames:
    canvas = tuple(np.max(inputs, axis=0).tolist())
    return Frames(torch.tensor(sizes), torch.tensor(inputs), canvas)


def painted(count: int, size: tuple[int, int] = SIZE, value: int = 255) -> torch.Tensor:
    raw = torch.zeros(count, *size, dtype=torch.uint8)
    x1, y1, x2, y2 = BOX
    raw[:, y1:y2, x1:x2] = value
    return raw


def ground_truth(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    boxes = torch.zeros(count, 2, 4)
    boxes[:, 0] = torch.tensor(BOX)
    labels = torch.full((count, 2), NOTHING)
    labels[:, 0] = 3
    return boxes, labels


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def bounds(image: torch.Tensor) -> list[float] | None:
    """xyxy of what is bright."""
    rows, columns = torch.where(image > 127)
    if not len(rows):
        return None
    corners = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    return [float(each) for each in corners]


def coloured(colours: Colours, pixels: torch.Tensor, inside: torch.Tensor | None) -> list[object]:
    changed = pixels.clone()
    change_colours(colours, changed, inside, torch.empty_like(changed))
    return changed.tolist()


class TestGeometry:
    @pytest.mark.parametrize("name", GEOMETRY)
    @pytest.mark.parametrize("inputs", [SIZE, (96, 128), (90, 70)], ids=str)
    @settings(max_examples=8, deadline=None)
    @given(seed=seeds)
    def test_boxes_go_where_pixels_go(self, name: str, inputs: tuple[int, int], seed: int) -> None:
        count = 4
        where = frames([SIZE] * count, [inputs] * count)
        pixels, (boxes, labels) = augment_batch(
            GEOMETRY[name], generator(seed), painted(count), where, ground_truth(count)
        )
        assert pixels.shape == (count, 1, *inputs)
        for i in range(count):
            seen = bounds(pixels[i, 0])
            if labels[i, 0] == NOTHING:
                assert (boxes[i] == 0).all()
                continue
            assert seen is not None
            # Corners of a turned rectangle are thin: they fade within a pixel of the original.
            zoom = 1.6 * max(inputs[0] / SIZE[0], inputs[1] / SIZE[1], 1)
            if name in ("crop", "crop around", "all", "all around"):
                zoom *= 2
            turns = name in ("degrees", "quarter turns", "all", "all around")
            within = 1 + zoom if turns else 0.51 + zoom / 2
            limits = np.array([*inputs[::-1], *inputs[::-1]])
            box = boxes[i, 0].numpy()
            if turns and ((box == 0) | (box == limits)).any():
                # The corner that decided may lie outside: what is seen is only inside the box.
                assert (np.array(seen[:2]) >= box[:2] - within).all()
                assert (np.array(seen[2:]) <= box[2:] + within).all()
            else:
                assert np.allclose(seen, box, atol=within)

    @settings(max_examples=20, deadline=None)
    @given(seed=seeds, vertical=st.booleans())
    def test_a_mirror_image_of_a_mirror_image(self, seed: int, vertical: bool) -> None:
        drawn = generator(seed)
        size = tuple(torch.randint(4, 40, (2,), generator=drawn).tolist())
        raw = torch.randint(0, 256, (3, *size), generator=drawn, dtype=torch.uint8)
        corners = torch.rand(3, 2, 2, 2, generator=drawn).sort(dim=2).values
        boxes = (corners * torch.tensor([size[1], size[0]])).flatten(2)
        labels = torch.tensor([[1, 0], [0, NOTHING], [NOTHING, NOTHING]])
        boxes[labels == NOTHING] = 0
        augment = Augment(flip_vertical=1) if vertical else Augment(flip=1)
        where = frames([size] * 3, [size] * 3)
        once, moved = augment_batch(augment, drawn, raw, where, (boxes, labels))
        assert (once[:, 0] == raw.flip(1 if vertical else 2)).all()
        twice, back = augment_batch(augment, drawn, once[:, 0].byte(), where, moved)
        assert (twice[:, 0] == raw).all()
        assert torch.allclose(back[0], boxes, atol=1e-4)
        assert (back[1] == labels).all()

    @settings(max_examples=20, deadline=None)
    @given(seed=seeds)
    def test_nothing_asked_nothing_changed(self, seed: int) -> None:
        drawn = generator(seed)
        raw = torch.randint(0, 256, (3, *SIZE), generator=drawn, dtype=torch.uint8)
        sizes = [SIZE, (30, 64), (48, 20)]
        for row, (height, width) in enumerate(sizes):
            raw[row, height:] = 0
            raw[row, :, width:] = 0
        given_boxes, given_labels = ground_truth(3)
        given_boxes[1:], given_labels[1:] = 0, NOTHING
        pixels, (boxes, labels) = augment_batch(
            Augment(), drawn, raw, frames(sizes, sizes), (given_boxes, given_labels)
        )
        assert (pixels[:, 0] == raw).all()
        assert (boxes == given_boxes).all()
        assert (labels == given_labels).all()

    def test_short_cut_and_sampling_agree(self) -> None:
        """Mirror images and enlargement without `grid_sample`, and with it."""
        raw = torch.randint(0, 256, (4, *SIZE), generator=generator(0), dtype=torch.uint8)
        where = frames([SIZE] * 4, [(100, 90)] * 4)
        short = Augment(flip=0.5, flip_vertical=0.5)
        # So small a turn moves no pixel by more than a thousandth.
        long = Augment(flip=0.5, flip_vertical=0.5, degrees=1e-6)
        first, _ = augment_batch(short, generator(5), raw, where, ground_truth(4))
        second, _ = augment_batch(long, generator(5), raw, where, ground_truth(4))
        assert torch.allclose(first, second, atol=0.05)

    def test_images_of_several_sizes_in_one_batch(self) -> None:
        """As each of them alone."""
        sizes, inputs = [(48, 64), (30, 40)], [(96, 128), (100, 60)]
        raw = torch.randint(0, 256, (2, *SIZE), generator=generator(0), dtype=torch.uint8)
        raw[1, 30:], raw[1, :, 40:] = 0, 0
        both, _ = augment_batch(
            Augment(), generator(0), raw, frames(sizes, inputs), ground_truth(2)
        )
        assert both.shape == (2, 1, 100, 128)
        for row, ((height, width), size) in enumerate(zip(inputs, sizes, strict=True)):
            alone = raw[row : row + 1, : size[0], : size[1]]
            expected, _ = augment_batch(
                Augment(), generator(0), alone, frames([size], [(height, width)]), ground_truth(1)
            )
            assert torch.allclose(both[row, :, :height, :width], expected[0], atol=0.05)
            assert (both[row, :, height:] == 0).all()
            assert (both[row, :, :, width:] == 0).all()

    def test_a_box_mostly_outside_is_dropped_and_objects_stand_first(self) -> None:
        raw = torch.zeros(64, 40, 40, dtype=torch.uint8)
        boxes = torch.tensor([[0.0, 0, 10, 10], [15, 15, 25, 25]]).expand(64, 2, 4)
        labels = torch.tensor([[7, 8]]).expand(64, 2)
        where = frames([(40, 40)] * 64, [(40, 40)] * 64)
        augment = Augment(shift=0.3)
        _, (moved, kept) = augment_batch(augment, generator(2), raw, where, (boxes, labels))
        counts = (kept != NOTHING).sum(dim=1)
        assert set(counts.tolist()) == {1, 2}
        for row in range(64):
            there = kept[row] != NOTHING
            area = (moved[row, :, 2:] - moved[row, :, :2]).prod(dim=1)
            # The inner box can only lose a corner of its 100 pixels, the outer one nearly all.
            assert (area[there] >= 25).all()
            assert (kept[row, : counts[row]] >= 7).all()
            assert 8 in kept[row]
            assert (moved[row][~there] == 0).all()

    def test_a_turn_by_hand(self) -> None:
        """A scale of 2 about the centre."""
        _, (boxes, _) = augment_batch(
            Augment(scale=(2, 2)), generator(0), painted(1), frames([SIZE], [SIZE]), ground_truth(1)
        )
        # x: 32 + 2 (12 − 32) = −8 → 0, 32 + 2 (40 − 32) = 48; y: 24 + 2 (20 − 24) = 16, … = 48.
        assert boxes[0, 0].tolist() == [0, 16, 48, 48]


class TestColours:
    @settings(max_examples=20, deadline=None)
    @given(seed=seeds)
    def test_colours_move_nothing(self, seed: int) -> None:
        raw = painted(3) // 2 + 30
        where = frames([SIZE] * 3, [SIZE] * 3)
        pixels, (boxes, labels) = augment_batch(
            COLOURS, generator(seed), raw, where, ground_truth(3)
        )
        assert (boxes == ground_truth(3)[0]).all()
        assert (labels == ground_truth(3)[1]).all()
        assert pixels.min() >= 0
        assert pixels.max() <= 255
        for image in pixels[:, 0]:
            middle = (image.min() + image.max()) / 2
            assert bounds((image > middle) * 255.0) == list(BOX)

    def test_brightness_and_contrast_by_hand(self) -> None:
        pixels = torch.tensor([[[10.0, 30.0], [20.0, 20.0]]])
        one = Colours(torch.tensor([2.0]), torch.tensor([0.5]), torch.zeros(1), False)
        # Twice: 20, 60, 40, 40, mean 40; half way to it: 30, 50, 40, 40.
        assert coloured(one, pixels, None) == [[[30, 50], [40, 40]]]
        inside = torch.tensor([[[True, True], [False, False]]])
        # Mean of the first row alone, 40 as well; cut to 255 at the end.
        assert coloured(one, pixels, inside) == [[[30, 50], [40, 40]]]
        bright = Colours(torch.tensor([20.0]), torch.tensor([1.0]), torch.zeros(1), False)
        assert coloured(bright, pixels, None) == [[[200, 255], [255, 255]]]

    @pytest.mark.parametrize("sigma", [0.1, 0.7, 2.0])
    def test_blur_is_torchvision_s(self, sigma: float) -> None:
        raw = torch.randint(0, 256, (2, *SIZE), generator=generator(0), dtype=torch.uint8)
        augment = Augment(blur=1, blur_sigma=(sigma, sigma))
        where = frames([SIZE] * 2, [SIZE] * 2)
        pixels, _ = augment_batch(augment, generator(1), raw, where, ground_truth(2))
        expected = functional.gaussian_blur(raw[:, None].float(), [3, 3], [sigma, sigma])
        # torchvision mirrors at the edge.
        assert torch.allclose(pixels[..., 1:-1, 1:-1], expected[..., 1:-1, 1:-1], atol=1e-2)
        flat, _ = augment_batch(
            augment, generator(1), torch.full_like(raw, 90), where, ground_truth(2)
        )
        assert torch.allclose(flat, torch.tensor(90.0), atol=1e-3)

    @pytest.mark.parametrize("augment", [COLOURS, GEOMETRY["all"].model_copy(update={"blur": 1.0})])
    def test_beside_a_image_stays_black(self, augment: Augment) -> None:
        sizes = [SIZE, (20, 30)]
        raw = torch.full((2, *SIZE), 200, dtype=torch.uint8)
        raw[1, 20:], raw[1, :, 30:] = 0, 0
        pixels, _ = augment_batch(augment, generator(3), raw, frames(sizes, sizes), ground_truth(2))
        assert (pixels[1, 0, 20:] == 0).all()
        assert (pixels[1, 0, :, 30:] == 0).all()
        if augment is COLOURS:
            # A flat image stays flat up to its edges: nothing beside it counts.
            assert pixels[1, 0, :20, :30].std() < 1e-3


class TestSeeds:
    def test_the_same_seed_the_same_batch(self) -> None:
        raw = torch.randint(0, 256, (4, *SIZE), generator=generator(0), dtype=torch.uint8)
        where = frames([SIZE] * 4, [SIZE] * 4)
        augment = GEOMETRY["all"].model_copy(update={"brightness": 0.3, "blur": 0.5})
        first, (boxes, _) = augment_batch(augment, generator(9), raw, where, ground_truth(4))
        torch.manual_seed(123)
        before = torch.random.get_rng_state()
        again, (same, _) = augment_batch(augment, generator(9), raw, where, ground_truth(4))
        other, _ = augment_batch(augment, generator(10), raw, where, ground_truth(4))
        assert torch.equal(first, again)
        assert torch.equal(boxes, same)
        assert not torch.equal(first, other)
        assert torch.equal(before, torch.random.get_rng_state())

    def test_a_part_of_the_batch_is_enough(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """On a CPU batches are gone through in parts, to the same result."""
        raw = torch.randint(0, 256, (5, *SIZE), generator=generator(0), dtype=torch.uint8)
        where = frames([SIZE] * 5, [(60, 70)] * 5)
        augment = GEOMETRY["all"].model_copy(update={"contrast": 0.3, "blur": 0.5})
        whole, _ = augment_batch(augment, generator(9), raw, where, ground_truth(5))
        monkeypatch.setattr("trainers.augmentation._PIXELS_A_PART", 2 * 60 * 70)
        parts, _ = augment_batch(augment, generator(9), raw, where, ground_truth(5))
        assert torch.allclose(whole, parts, atol=1e-3)

    @pytest.mark.parametrize("augment", [Augment(), Augment(flip=1), Augment(degrees=10)])
    def test_a_part_may_have_none_of_the_widest_images(
        self, monkeypatch: pytest.MonkeyPatch, augment: Augment
    ) -> None:
        sizes = [(40, 50), (38, 47), (39, 46), (39, 47)]
        raw = torch.randint(0, 256, (4, *SIZE), generator=generator(0), dtype=torch.uint8)
        where = frames(sizes, sizes)
        whole, _ = augment_batch(augment, generator(9), raw, where, ground_truth(4))
        monkeypatch.setattr("trainers.augmentation._PIXELS_A_PART", 2 * 40 * 50)
        parts, _ = augment_batch(augment, generator(9), raw, where, ground_truth(4))
        assert torch.allclose(whole, parts, atol=0.01)

    def test_one_setting_does_not_shift_another_s_numbers(self) -> None:
        where = frames([SIZE] * 8, [SIZE] * 8)
        only, _ = augment_batch(Augment(flip=0.5), generator(4), painted(8), where, ground_truth(8))
        with_blur = Augment(flip=0.5, blur=1.0, blur_sigma=(0.01, 0.01))
        both, _ = augment_batch(with_blur, generator(4), painted(8), where, ground_truth(8))
        assert torch.equal(only, both)
        assert 0 < sum(bounds(each[0]) != list(BOX) for each in only) < 8

    def test_probabilities_and_ranges(self) -> None:
        raw = torch.full((400, 8, 8), 100, dtype=torch.uint8)
        where = frames([(8, 8)] * 400, [(8, 8)] * 400)
        pixels, _ = augment_batch(
            Augment(brightness=0.3), generator(0), raw, where, ground_truth(400)
        )
        levels = pixels[:, 0, 0, 0]
        assert 70 <= levels.min() < 73
        assert 127 < levels.max() <= 130
        _, (boxes, _) = augment_batch(
            Augment(flip=0.25),
            generator(0),
            painted(400),
            frames([SIZE] * 400, [SIZE] * 400),
            ground_truth(400),
        )
        flipped = (boxes[:, 0, 0] != BOX[0]).float().mean()
        assert 0.18 < flipped < 0.32


class TestCropsAround:
    """The box of `ground_truth` is 28 × 16 in an image of 48 × 64."""

    def cut(self, seed: int, augment: Augment, count: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
        where = frames([SIZE] * count, [SIZE] * count)
        _, found = augment_batch(
            augment, generator(seed), painted(count), where, ground_truth(count)
        )
        return found

    @settings(max_examples=20, deadline=None)
    @given(seed=seeds)
    def test_the_finding_lies_in_the_crop_whole(self, seed: int) -> None:
        boxes, labels = self.cut(seed, Augment(crop=1, crop_least=0.5, around=1))
        assert (labels[:, 0] == 3).all()
        shares = (boxes[:, 0, 2:] - boxes[:, 0, :2]) / torch.tensor([64, 48])
        # Enlarged to at most twice its size, and never cut: 28 / 64 and 16 / 48 of the image.
        assert (shares >= torch.tensor([28 / 64, 16 / 48]) - 1e-4).all()
        assert (shares <= torch.tensor([28 / 64, 16 / 48]) * 2 + 1e-4).all()

    @settings(max_examples=20, deadline=None)
    @given(seed=seeds)
    def test_a_finding_larger_than_the_crop_fills_it(self, seed: int) -> None:
        augment = Augment(crop=1, crop_least=0.2, around=1)
        boxes, labels = self.cut(seed, augment)
        kept = labels[:, 0] == 3
        # Those that lost three quarters of their area are dropped; the rest touch both sides.
        wide = (boxes[kept, 0, 2] - boxes[kept, 0, 0]) / 64
        high = (boxes[kept, 0, 3] - boxes[kept, 0, 1]) / 48
        assert ((wide > 28 / 64 - 1e-4) & (high > 16 / 48 - 1e-4)).all()

    def test_without_it_findings_are_missed_and_cut(self) -> None:
        boxes, labels = self.cut(0, Augment(crop=1, crop_least=0.3), count=64)
        around, _ = self.cut(0, Augment(crop=1, crop_least=0.3, around=1), count=64)
        assert (labels[:, 0] == NOTHING).any()
        assert not torch.equal(boxes, around)

    def test_images_without_a_finding_are_cropped_as_before(self) -> None:
        where, nothing = frames([SIZE] * 4, [SIZE] * 4), torch.full((4, 2), NOTHING)
        raw = torch.randint(0, 255, (4, *SIZE), dtype=torch.uint8)
        pixels = [
            augment_batch(augment, generator(3), raw, where, (torch.zeros(4, 2, 4), nothing))[0]
            for augment in (Augment(crop=1), Augment(crop=1, around=1))
        ]
        assert torch.equal(*pixels)

    def test_each_of_two_findings_is_chosen_now_and_then(self) -> None:
        count = 40
        boxes = torch.tensor([[0.0, 0, 8, 8], [56, 40, 64, 48]]).expand(count, 2, 4)
        where = frames([SIZE] * count, [SIZE] * count)
        augment = Augment(crop=1, crop_least=0.3, around=1)
        given_truth = boxes, torch.tensor([0, 1]).expand(count, 2)
        _, (_, labels) = augment_batch(augment, generator(1), painted(count), where, given_truth)
        assert set(labels[:, 0].tolist()) == {0, 1}

    def test_it_asks_for_crops(self) -> None:
        with pytest.raises(ValueError, match="around: expected crop above 0"):
            Augment(around=0.5)
