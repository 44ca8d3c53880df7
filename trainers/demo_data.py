"""What the demo models are trained on: synthetic radiographs, and patches of them.

    radiographs/   512 px high: fractures, some of the same bones intact, and demo pictures
    patches/       154 px: each fracture, and the same place intact

Training pictures come in pairs that differ by the fracture alone: what is to be found is all that
tells them apart, so that little training finds it. Validation and test are demo pictures as
anybody makes them, of other seeds.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from fracture_core import masks
from fracture_core.conversion.resizing import fitted, resize_pixels
from fracture_core.demo import yolo
from fracture_core.demo.classes import CLASSES
from fracture_core.demo.radiograph import Plan, plan_radiograph, render
from fracture_core.demo.samples import RADIOGRAPH_WINDOWS, demo_sample
from fracture_core.demo.truths import truth_of
from fracture_core.types import Detections, Pixels, Sample, Window

TRAIN_SEED, VALID_SEED, TEST_SEED = 101, 202, 303
TRAIN_PAIRS, VALID_PICTURES, TEST_PICTURES = 2250, 150, 150
HEIGHT_PX = 512
PATCH_PX = 154
_PATCHES_A_FRACTURE = 2
# How far from the middle of its patch a fracture may lie, in shares of the patch.
_OFF_CENTRE = 0.3
_INTACT_EVERY = 2
_VALID_PAIRS_FROM = 2100

Pair = tuple[Sample, Sample]


def write_demo_data(folder: Path) -> None:
    """Write both sets; about 15 minutes on one core. The folder must be new."""
    pairs = [make_pair(number) for number in range(TRAIN_PAIRS)]
    write_radiographs(folder / "radiographs", pairs, plain_pictures())
    write_patches(folder / "patches", pairs)


def make_pair(number: int) -> Pair:
    """A picture of one or two fractures, and the same without any."""
    plan = plan_radiograph((TRAIN_SEED, number), findings=1 + number % 2)
    broken, intact = (_drawn(plan, number, intact=intact) for intact in (False, True))
    return broken, intact


def plain_pictures() -> Iterator[Sample]:
    """Demo pictures to validate on and to test."""
    for split, seed, count in (
        ("val", VALID_SEED, VALID_PICTURES),
        ("test", TEST_SEED, TEST_PICTURES),
    ):
        for number in range(count):
            yield shrunk(demo_sample(seed, number), f"{split}-{number}", split)


def write_radiographs(folder: Path, pairs: Iterable[Pair], plain: Iterable[Sample]) -> None:
    """Every second intact picture is left out: it is the fractures that are to be learnt."""

    def pictures() -> Iterator[Sample]:
        for number, (broken, intact) in enumerate(pairs):
            yield broken
            if number % _INTACT_EVERY == 0:
                yield intact
        yield from plain

    yolo.write(pictures(), CLASSES, folder, outlines=True)


def write_patches(folder: Path, pairs: Iterable[Pair]) -> None:
    """The last pairs are kept to validate on."""

    def patches() -> Iterator[Sample]:
        for number, pair in enumerate(pairs):
            split = "val" if number >= _VALID_PAIRS_FROM else "train"
            rng = np.random.default_rng([TRAIN_SEED, number])
            yield from _patches(pair, split, rng)

    yolo.write(patches(), CLASSES, folder, outlines=False)


def shrunk(sample: Sample, sample_id: str, split: str) -> Sample:
    """The picture as shown, `HEIGHT_PX` on its longer side, 8 bits; masks move along."""
    size = fitted((sample.height, sample.width), HEIGHT_PX)
    truth = sample.truth or Detections.empty()
    small = [_shrunk_mask(code, size) for code in truth.masks]
    gain = size[0] / sample.height
    moved = Detections.truth(truth.xyxy * gain, truth.labels, tuple(small))
    return _held(resize_pixels(sample.shown(), size), sample_id, split, moved)


def _drawn(plan: Plan, number: int, *, intact: bool) -> Sample:
    picture = render(plan, intact=intact)
    labels = [CLASSES.index(kind) for kind in picture.kinds]
    truth = truth_of(picture.truths, labels)
    whole = _held(picture.pixels, "", "", truth, windows=RADIOGRAPH_WINDOWS)
    return shrunk(whole, f"pair-{number}-{'intact' if intact else 'broken'}", "train")


def _shrunk_mask(code: masks.Rle, size: tuple[int, int]) -> masks.Rle:
    return masks.encode(resize_pixels(masks.decode(code).astype(np.float32), size) >= 0.5)


def _patches(pair: Pair, split: str, rng: np.random.Generator) -> Iterator[Sample]:
    broken, intact = pair
    for index, xyxy in enumerate((broken.truth or Detections.empty()).xyxy):
        centre = (xyxy[:2] + xyxy[2:]) / 2
        for turn in range(_PATCHES_A_FRACTURE):
            middle = centre + rng.uniform(-_OFF_CENTRE, _OFF_CENTRE, 2) * PATCH_PX
            left, top = (int(corner) for corner in middle - PATCH_PX / 2)
            for sample in (broken, intact):
                name = f"{sample.sample_id}-{index}-{turn}"
                yield _cut(sample, left, top, name, split)


def _cut(sample: Sample, left: int, top: int, sample_id: str, split: str) -> Sample:
    """A square that lies in the picture wherever it can; findings cut off at its edges."""
    left = max(0, min(left, sample.width - PATCH_PX))
    top = max(0, min(top, sample.height - PATCH_PX))
    pixels = sample.shown()[top : top + PATCH_PX, left : left + PATCH_PX]
    truth = sample.truth or Detections.empty()
    moved = truth.xyxy - np.array([left, top, left, top], dtype=np.float32)
    clipped = moved.clip(0, PATCH_PX)
    kept = ((clipped[:, 2:] - clipped[:, :2]) >= 4).all(axis=1)
    return _held(pixels, sample_id, split, Detections.truth(clipped[kept], truth.labels[kept]))


def _held(
    pixels: Pixels,
    sample_id: str,
    split: str,
    truth: Detections,
    *,
    windows: tuple[Window, ...] = (),
) -> Sample:
    height, width = pixels.shape
    return Sample(
        sample_id=sample_id,
        group_id=sample_id.rsplit("-", 1)[0],
        height=height,
        width=width,
        read=lambda: pixels,
        windows=windows,
        truth=truth,
        split=split,
    )
