"""The data that the shipped models are trained on: real and synthetic radiographs, as one class.

    radiographs/   train: FracAtlas and synthetic images · val: FracAtlas · test: synthetic images
    crops/         squares of up to 384 px around findings and elsewhere, in the same splits

A fracture covers 2 to 5 % of a radiograph. Crops are taken at the scale of an image whose longer
side is 768 px: they show the fracture large, and a step goes through a quarter of the pixels.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from fracture_core import masks
from fracture_core.datasets import Dataset
from fracture_core.demo import layouts
from fracture_core.demo.samples import box_of
from fracture_core.types import Detections, Sample
from trainers.synthetic_data import (
    TEST_IMAGES,
    TEST_SEED,
    Pair,
    held,
    make_pairs,
    plain_images,
)

CLASSES = ("fracture",)
CROP_PX, SCALE_PX = 384, 768
SYNTHETIC_PAIRS, WHOLE_PAIRS = 500, 200
_SCALES = (0.7, 1.3)
_LEAST_SHARE = 0.3
_LEAST_PIXELS = 12
_SEED = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Cutting:
    """How many crops an image gives: `around` each finding, and `anywhere`, at random places."""

    around: int
    anywhere: int


BROKEN, WHOLE = Cutting(around=6, anywhere=2), Cutting(around=0, anywhere=2)
FEW = Cutting(around=1, anywhere=1)


def write_mixed_data(folder: Path, dataset: Dataset, left_out: Collection[str]) -> None:
    """Write both data sets below a new folder, as YOLO folders with outlines.

    Of the synthetic pairs the first `WHOLE_PAIRS` are among the whole images, too; the others give
    crops only. `dataset` is FracAtlas with a train and a val split; training images whose id is in
    `left_out` are not used.
    """
    pairs = make_pairs(SYNTHETIC_PAIRS)
    drawn = [list(_of_pair(number, pair)) for number, pair in enumerate(pairs)]
    real = [*_real(dataset, "train", left_out), *_real(dataset, "val", ())]
    tests = list(plain_images({"test": (TEST_SEED, TEST_IMAGES)}))
    whole = [*real, *tests, *(each for pair in drawn[:WHOLE_PAIRS] for each in pair)]
    rest = [each for pair in drawn[WHOLE_PAIRS:] for each in pair]
    layouts.write_yolo_folder(
        map(_as_one_class, whole), CLASSES, folder / "radiographs", outlines=True
    )
    layouts.write_yolo_folder(_crops([*whole, *rest]), CLASSES, folder / "crops", outlines=True)


def leaking_images(
    splits: Mapping[str, Sequence[str]], groups: Mapping[str, str]
) -> frozenset[str]:
    """Return the ids of training images that leak: an image of their group is in another split.

    `splits` holds the ids of each split, `groups` the group of each id; near-duplicates share one.
    The health check names one copy of each image; their groups hold all of them.
    """
    measured = {groups[each] for split, ids in splits.items() if split != "train" for each in ids}
    return frozenset(each for each in splits.get("train", ()) if groups[each] in measured)


def _real(dataset: Dataset, split: str, left_out: Collection[str]) -> Iterator[Sample]:
    for sample_id in dataset.splits[split]:
        sample = dataset[sample_id]
        if sample_id not in left_out:
            stem = Path(sample_id).stem
            yield replace(sample, sample_id=f"{stem}", group_id=stem, split=split)


def _of_pair(number: int, pair: Pair) -> Iterator[Sample]:
    """A pair, without its intact image in every second one: fractures are what is to be learnt."""
    yield from pair[: 1 + number % 2]


def _as_one_class(sample: Sample) -> Sample:
    ground_truth = sample.ground_truth or Detections.empty()
    one = Detections.ground_truth(
        ground_truth.xyxy, np.zeros(len(ground_truth), dtype=np.int64), ground_truth.masks
    )
    return replace(sample, ground_truth=one)


def _crops(samples: Iterable[Sample]) -> Iterator[Sample]:
    for number, sample in enumerate(samples):
        rng = np.random.default_rng([_SEED, number])
        yield from crops_of(sample, cutting_of(sample), rng)


def cutting_of(sample: Sample) -> Cutting:
    """Return how many crops a sample gives.

    Synthetic images, and those to validate or test on, give few.
    """
    if sample.split != "train" or sample.sample_id.startswith("pair-"):
        return FEW
    return BROKEN if sample.ground_truth is not None and len(sample.ground_truth) else WHOLE


def crops_of(sample: Sample, cutting: Cutting, rng: np.random.Generator) -> Iterator[Sample]:
    """Yield square crops of one image, of at most `CROP_PX` pixels a side, with their findings.

    The scale is drawn at random (`_SCALES`) around that of an image of `SCALE_PX`. A finding of
    which a crop holds less than `_LEAST_SHARE` of the outline is left out.
    """
    shown = sample.shown()
    ground_truth = sample.ground_truth or Detections.empty()
    found = [masks.decode(code) for code in ground_truth.masks]
    centres = [(box[:2] + box[2:]) / 2 for box in ground_truth.xyxy for _ in range(cutting.around)]
    places: list[npt.NDArray[np.float32] | None] = [*centres, *[None] * cutting.anywhere]
    for turn, centre in enumerate(places):
        low, high = np.log(_SCALES)
        scale = SCALE_PX / max(shown.shape) * np.exp(rng.uniform(low, high))
        if centre is None:
            middle = rng.uniform(0, 1, 2) * (sample.width, sample.height)
        else:
            middle = centre + rng.uniform(-0.4, 0.4, 2) * CROP_PX / scale
        yield _crop(sample, shown, found, middle, scale, f"{sample.sample_id}-crop-{turn}")


def _crop(
    sample: Sample,
    shown: npt.NDArray[np.uint8],
    found: list[npt.NDArray[np.bool_]],
    middle: npt.NDArray[np.floating[Any]],
    scale: float,
    name: str,
) -> Sample:
    """A square crop around `middle`, moved so that it lies within the image."""
    side = CROP_PX / scale
    height, width = shown.shape
    left, right = _span(middle[0], side, width)
    top, bottom = _span(middle[1], side, height)
    window = slice(top, bottom), slice(left, right)
    size = max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale))
    kernel = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    pixels = np.asarray(cv2.resize(shown[window], size, interpolation=kernel), dtype=np.uint8)
    kept = [part for mask in found if (part := _part(mask, window, size)) is not None]
    corners = [box_of(mask) for mask in kept]
    codes = tuple(masks.encode(mask) for mask in kept)
    ground_truth = Detections.ground_truth(corners, [0] * len(kept), codes)
    return replace(held(pixels, name, sample.split, ground_truth), group_id=sample.group_id)


def _part(
    mask: npt.NDArray[np.bool_], window: tuple[slice, slice], size: tuple[int, int]
) -> npt.NDArray[np.bool_] | None:
    """The part of a mask within a crop, None where that is too little to be a finding."""
    part = mask[window]
    if part.sum() < max(1, _LEAST_SHARE * mask.sum()):
        return None
    small = cv2.resize(part.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
    inside = np.asarray(small >= 0.5, dtype=np.bool_)
    return inside if inside.sum() >= _LEAST_PIXELS else None


def _span(middle: float, side: float, length: int) -> tuple[int, int]:
    whole = min(length, round(side))
    start = int(min(max(0, middle - side / 2), length - whole))
    return start, start + whole
