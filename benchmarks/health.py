"""Accuracy and speed of the search for near-duplicates: python -m benchmarks health:demo:FOLDER…

From each data set up to 200 images of different groups get an altered copy: mirrored or not, upside
down or not, turned by up to 15° on black, with gamma 0.7 to 1.4, contrast and brightness 0.7 to
1.3, saved as JPEG of quality 85. The copies are put into a validation split. A copy counts as found
where it is paired with its original. On demo data every other pair is a false positive; on real
data it may be a near-duplicate that was there before.
"""

import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from benchmarks.rows import Row
from fracture_core.datasets import open_dataset
from fracture_core.demo import write_demo
from fracture_core.health.near_duplicates import find_alike
from fracture_core.health.report import Grey, Thumbnail, look_at
from fracture_core.types import Sample

_IMAGES = 200
_DATA = Path(__file__).parents[2] / "shared" / "data"


def main(*names: str) -> list[Row]:
    """Return the rows of "demo", or of folders with real data beside the repository."""
    return [row for name in names or ("demo",) for row in _measure(name)]


def _measure(name: str) -> list[Row]:
    if name != "demo":
        return _rows(name, _samples(_DATA / name))
    with tempfile.TemporaryDirectory() as folder:
        write_demo(Path(folder) / "set", count=2 * _IMAGES, format="yolo")
        return _rows(name, _samples(Path(folder) / "set"))


def _rows(name: str, samples: list[Sample]) -> list[Row]:
    rng = np.random.default_rng(0)
    thumbnails: dict[str, Thumbnail] = {}
    for sample in samples:
        shown = sample.shown()
        thumbnails[sample.sample_id] = look_at(shown)
        thumbnails[f"copy of {sample.sample_id}"] = look_at(altered(shown, rng))
    splits = {each: "val" if each.startswith("copy of ") else "train" for each in thumbnails}
    started = time.process_time()
    found = find_alike(thumbnails, splits, None, progress=lambda share: None)
    seconds = time.process_time() - started
    pairs = {frozenset((each.one, each.other)) for each in found}
    right = {frozenset((each.sample_id, f"copy of {each.sample_id}")) for each in samples}
    false = [each for each in pairs if len({name.removeprefix("copy of ") for name in each}) > 1]
    is_clean = name == "demo"
    return [
        Row(
            name=f"{name}: copies found of {len(samples)}",
            value=100 * len(pairs & right) / len(right),
            unit="%",
            least=95 if is_clean else None,
        ),
        Row(
            name=f"{name}: pairs of different images",
            value=len(false),
            unit="pairs",
            limit=0 if is_clean else None,
        ),
        Row(name=f"{name}: comparing {len(thumbnails)} images", value=seconds, unit="s CPU"),
    ]


def _samples(folder: Path) -> list[Sample]:
    """One image of each group, at most `_IMAGES`, evenly over the data set."""
    dataset = open_dataset(folder)
    groups = {dataset[each].group_id: each for each in dataset.ids}
    ids = list(groups.values())
    step = max(1, len(ids) // _IMAGES)
    return [dataset[each] for each in ids[::step][:_IMAGES]]


def altered(grey: Grey, rng: np.random.Generator) -> Grey:
    """Return a copy as it comes about when a data set is augmented before it is split."""
    height, width = grey.shape
    flipped = grey[:, ::-1] if rng.random() < 0.5 else grey
    flipped = flipped[::-1] if rng.random() < 0.5 else flipped
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), rng.uniform(-15, 15), 1)
    values = cv2.warpAffine(np.ascontiguousarray(flipped), turn, (width, height)) / 255
    values = values ** rng.uniform(0.7, 1.4)
    mean = values.mean()
    values = ((values - mean) * rng.uniform(0.7, 1.3) + mean) * rng.uniform(0.7, 1.3)
    levels = np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
    _, packed = cv2.imencode(".jpg", levels, (cv2.IMWRITE_JPEG_QUALITY, 85))
    return np.asarray(cv2.imdecode(packed, cv2.IMREAD_GRAYSCALE), dtype=np.uint8)
