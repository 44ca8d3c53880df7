"""The data that the demo models are trained on: synthetic radiographs, and patches of them.

    synthetic/     longer side 512 px: fractures, some of the same bones intact, and demo images
    patches/       102 px a side: each fracture, and the same place intact

Training images come in pairs that differ by the fracture alone: nothing else tells them apart, so
that little training suffices to find it. Validation and test images are demo images as anybody can
make them, of other seeds.
"""

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from fracture_core import masks
from fracture_core.conversion.options import fitted, resize_pixels
from fracture_core.demo import layouts
from fracture_core.demo.classes import CLASSES
from fracture_core.demo.radiograph import Plan, plan_radiograph, render
from fracture_core.demo.samples import RADIOGRAPH_WINDOWS, demo_sample, gt_of
from fracture_core.types import Detections, Pixels, Sample, Window

TRAIN_SEED, VALID_SEED, TEST_SEED = 101, 202, 303
TRAIN_PAIRS, VALID_IMAGES, TEST_IMAGES = 2250, 150, 150
HEIGHT_PX = 512
_INTACT_EVERY = 2
_VALID_PAIRS_FROM = 2100

Pair = tuple[Sample, Sample]
# A pair as it passes between processes: names, pixels, ground truths. A Sample cannot be pickled,
# as its `read` is a closure.
_Packed = list[tuple[str, Pixels, Detections | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cutting:
    """How patches are cut: `count` squares of `side_px` around each fracture, and the same intact.

    The middle of the fracture's box lies up to `off_centre` sides away from that of the square.
    """

    side_px: int
    off_centre: float
    count: int = 2


PATCHES = Cutting(side_px=102, off_centre=0.18)


def write_synthetic_data(folder: Path) -> None:
    """Write both data sets into a new folder, in about 15 CPU minutes, shared by all cores."""
    pairs = make_pairs(TRAIN_PAIRS)
    write_radiographs(folder / "synthetic", pairs, plain_images())
    write_parts(folder / "patches", pairs, PATCHES)


def make_pair(number: int) -> Pair:
    """Return an image with one or two fractures, and the same without any."""
    plan = plan_radiograph((TRAIN_SEED, number), findings=1 + number % 2)
    broken, intact = (_drawn(plan, number, intact=intact) for intact in (False, True))
    return broken, intact


def make_pairs(count: int) -> list[Pair]:
    """Return the first `count` pairs, drawn by several processes."""
    # Spawned, because a forked process inherits locks that other threads hold, and never gets them.
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        return [_unpacked(pair) for pair in pool.map(_make_packed, range(count), chunksize=8)]


def _make_packed(number: int) -> _Packed:
    return [(each.sample_id, each.pixels, each.ground_truth) for each in make_pair(number)]


def _unpacked(pair: _Packed) -> Pair:
    broken, intact = (
        held(pixels, name, "train", ground_truth or Detections.empty())
        for name, pixels, ground_truth in pair
    )
    return broken, intact


PLAIN = {"val": (VALID_SEED, VALID_IMAGES), "test": (TEST_SEED, TEST_IMAGES)}


def plain_images(splits: Mapping[str, tuple[int, int]] = PLAIN) -> Iterator[Sample]:
    """Yield demo images to validate and test on; `splits` gives each split's seed and count."""
    for split, (seed, count) in splits.items():
        for number in range(count):
            yield shrunk(demo_sample(seed, number), f"{split}-{number}", split)


def write_radiographs(folder: Path, pairs: Iterable[Pair], plain: Iterable[Sample]) -> None:
    """Write pairs, to train on, and plain images as a YOLO folder with outlines.

    Every second intact image is left out: fractures are what is to be learnt.
    """

    def images() -> Iterator[Sample]:
        for number, (broken, intact) in enumerate(pairs):
            yield broken
            if number % _INTACT_EVERY == 0:
                yield intact
        yield from plain

    layouts.write_yolo_folder(images(), CLASSES, folder, outlines=True)


def write_parts(folder: Path, pairs: Iterable[Pair], cutting: Cutting) -> None:
    """Write the patches of pairs as a YOLO folder with outlines.

    Those of the last pairs are the validation split.
    """

    def parts() -> Iterator[Sample]:
        for number, pair in enumerate(pairs):
            split = "val" if number >= _VALID_PAIRS_FROM else "train"
            rng = np.random.default_rng([TRAIN_SEED, number])
            yield from _parts(pair, split, cutting, rng)

    layouts.write_yolo_folder(parts(), CLASSES, folder, outlines=True)


def shrunk(sample: Sample, sample_id: str, split: str) -> Sample:
    """Return the image as shown, 8 bits, `HEIGHT_PX` on its longer side; masks are resized, too."""
    size = fitted((sample.height, sample.width), HEIGHT_PX)
    ground_truth = sample.ground_truth or Detections.empty()
    small = [_shrunk_mask(code, size) for code in ground_truth.masks]
    gain = size[0] / sample.height
    moved = Detections.ground_truth(ground_truth.xyxy * gain, ground_truth.labels, tuple(small))
    return held(resize_pixels(sample.shown(), size), sample_id, split, moved)


def _drawn(plan: Plan, number: int, *, intact: bool) -> Sample:
    image = render(plan, intact=intact)
    labels = [CLASSES.index(kind) for kind in image.kinds]
    ground_truth = gt_of(image.ground_truths, labels)
    whole = held(image.pixels, "", "", ground_truth, windows=RADIOGRAPH_WINDOWS)
    return shrunk(whole, f"pair-{number}-{'intact' if intact else 'broken'}", "train")


def _shrunk_mask(code: masks.Rle, size: tuple[int, int]) -> masks.Rle:
    return masks.encode(resize_pixels(masks.decode(code).astype(np.float32), size) >= 0.5)


def _parts(pair: Pair, split: str, cutting: Cutting, rng: np.random.Generator) -> Iterator[Sample]:
    broken, _ = pair
    side, far = cutting.side_px, cutting.off_centre
    for index, xyxy in enumerate((broken.ground_truth or Detections.empty()).xyxy):
        centre = (xyxy[:2] + xyxy[2:]) / 2
        for turn in range(cutting.count):
            left, top = centre + (rng.uniform(-far, far, 2) - 0.5) * side
            for sample in pair:
                name = f"{sample.sample_id}-{index}-{turn}"
                yield _cut(sample, int(left), int(top), side, name, split)


def _cut(sample: Sample, left: int, top: int, side: int, sample_id: str, split: str) -> Sample:
    """A square, moved so that it lies within the image; findings are cut at its border."""
    left = max(0, min(left, sample.width - side))
    top = max(0, min(top, sample.height - side))
    window = slice(top, top + side), slice(left, left + side)
    ground_truth = sample.ground_truth or Detections.empty()
    found = [masks.decode(code)[window] for code in ground_truth.masks]
    return held(
        sample.shown()[window], sample_id, split, gt_of(found, ground_truth.labels.tolist())
    )


def held(
    pixels: Pixels,
    sample_id: str,
    split: str,
    ground_truth: Detections,
    *,
    windows: tuple[Window, ...] = (),
) -> Sample:
    """Return a sample whose pixels (H, W) are in memory."""
    height, width = pixels.shape
    return Sample(
        sample_id=sample_id,
        group_id=_group_of(sample_id),
        height=height,
        width=width,
        read=lambda: pixels,
        windows=windows,
        ground_truth=ground_truth,
        split=split,
    )


def _group_of(sample_id: str) -> str:
    """The group of a sample: a pair and its parts are one, a plain image is one by itself."""
    return "-".join(sample_id.split("-")[:2])
