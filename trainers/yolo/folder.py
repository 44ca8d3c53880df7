"""A data set as a folder that Ultralytics reads, kept in the cache and never in the data set.

    FINGERPRINT/{train,val}/images/000000.png    grey, as shown
    FINGERPRINT/{train,val}/labels/000000.txt    class and box, or class and polygon, in shares
    FINGERPRINT/index.json                       the ids of the images, in the order of the files

Images are at most as large as the input; training images are larger where crops of them are to fill
the input. They are scaled as the model's adapter scales them, unlike the packs of other families.
The fingerprint follows from the settings, the images chosen, their ground truth and their files.
"""

import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from fracture_core import boxes
from fracture_core.conversion.options import resize_finding
from fracture_core.datasets import Dataset
from fracture_core.datasets.records import RecordedDataset
from fracture_core.datasets.writing import Findings, findings_of, write_png
from fracture_core.datasets.yolo import ring_within
from fracture_core.errors import BadInput, DatasetError
from fracture_core.evaluations.labelling import Labelling
from fracture_core.files import making_folder, remove_folder
from fracture_core.models.cards import Task
from fracture_core.models.letterbox import Letterbox
from fracture_core.settings import settings
from fracture_core.types import Detections, Sample
from trainers.data_set_cache import chosen_samples, hold, make_room
from trainers.family_configs import YoloConfig
from trainers.label_map import label_map
from trainers.reading import Reader, Shown
from trainers.yolo.options import STRIDE, whole_strides

TRAIN, VALID = "train", "val"
Splits = Mapping[str, Sequence[Sample]]
_LAYOUT = 1
_INDEX = "index.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class YoloFolder:
    """A written folder: its path, its classes, and notes for the metrics log.

    `ids` are those of the images of each split, in the order of their files.
    """

    path: Path
    classes: tuple[str, ...]
    ids: Mapping[str, Sequence[str]]
    notes: tuple[str, ...]

    def images(self, split: str) -> Path:
        """Return the folder of a split's images."""
        return self.path / split / "images"

    def name_of(self, file: str) -> str:
        """Return the id of the image in one of the folder's files."""
        path = Path(file)
        return self.ids[path.parent.parent.name][int(path.stem)]


def write_folder(config: YoloConfig, dataset: Dataset, task: Task) -> YoloFolder:
    """Return the folder for a data set; write it unless it is in the cache.

    Raises ConfigError for a split that does not exist, and DatasetError for images that cannot be
    read and for a split without a box or, to segment, without an outline.
    """
    names = {TRAIN: config.train_split, VALID: config.valid_split}
    splits = {place: chosen_samples(dataset, config, name) for place, name in names.items()}
    for place, name in names.items():
        _check(splits[place], dataset, name, task)
    writer = _Writer(
        labelling=label_map(dataset, config),
        task=task,
        side_px=whole_strides(config.input_size),
        train_side_px=whole_strides(_train_side_px(config)),
        reader=Reader(dataset=dataset, workers=os.cpu_count() or 1),
    )
    path = settings().cache / "yolo" / writer.fingerprint(splits)
    hold(path)
    if not (path / _INDEX).is_file():
        make_room()
        _write(writer, splits, path)
        hold(path)
    return YoloFolder(
        path=path,
        classes=writer.labelling.classes,
        ids=json.loads((path / _INDEX).read_text(encoding="utf-8")),
        notes=tuple(
            note for place in names for note in _notes(dataset, names[place], splits[place], task)
        ),
    )


def _train_side_px(config: YoloConfig) -> int:
    """The side at which the smallest crop still fills the input."""
    augment = config.augment
    return math.ceil(config.input_size / (augment.crop_least if augment.crop else 1))


def _write(writer: "_Writer", splits: Splits, path: Path) -> None:
    """Write the complete folder, or nothing."""
    with making_folder(path) as part:
        for place, samples in splits.items():
            side_px = writer.train_side_px if place == TRAIN else writer.side_px
            writer.write(samples, part / place, side_px)
        index = {place: [each.sample_id for each in samples] for place, samples in splits.items()}
        (part / _INDEX).write_text(json.dumps(index), encoding="utf-8")
        if path.exists():
            remove_folder(path)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Writer:
    """How images and their ground truth are written."""

    labelling: Labelling
    task: Task
    side_px: int
    train_side_px: int
    reader: Reader

    def fingerprint(self, splits: Splits) -> str:
        """Return a hash of everything that decides what is written."""
        digest = hashlib.blake2b(digest_size=16)
        classes = (self.labelling.classes, self.labelling.moved)
        digest.update(repr((_LAYOUT, self.task, self.side_px, classes)).encode())
        if self.train_side_px != self.side_px:
            digest.update(repr(self.train_side_px).encode())
        for place, samples in splits.items():
            digest.update(place.encode())
            for part in _parts(samples, self.reader.dataset):
                digest.update(part)
        return digest.hexdigest()

    def write(self, samples: Sequence[Sample], folder: Path, side_px: int) -> None:
        """Write a split's images and labels; raise DatasetError for images that cannot be read."""
        for name in ("images", "labels"):
            (folder / name).mkdir(parents=True)

        def write_one(row: int, shown: Shown) -> Shown:
            return self._write_one(samples[row], shown, side_px, folder, f"{row:06d}")

        blocks = self.reader.blocks(samples, write_one)
        pairs = zip(samples, (each for block in blocks for each in block), strict=True)
        self.reader.raise_unreadable(
            [(sample.sample_id, read) for sample, read in pairs if isinstance(read, BadInput)]
        )

    def _write_one(
        self, sample: Sample, shown: Shown, side_px: int, folder: Path, stem: str
    ) -> Shown:
        small = _shrunk(shown, side_px)
        write_png(small, folder / "images" / f"{stem}.png")
        ground_truth = sample.ground_truth or Detections.empty()
        labels = self.labelling.labels(sample)
        found = tuple(
            replace(each, label=int(label))
            for each, label in zip(findings_of(ground_truth), labels, strict=True)
        )
        text = "".join(self._lines(found, shown.shape, small.shape))
        (folder / "labels" / f"{stem}.txt").write_text(text, encoding="utf-8")
        return small

    def _lines(self, found: Findings, old: tuple[int, ...], new: tuple[int, ...]) -> Iterator[str]:
        for finding in found:
            points = boxes.xyxy_to_cxcywh(finding.xyxy[None]).reshape(2, 2) / (old[1], old[0])
            if self.task == "segment":
                moved = resize_finding(finding, (old[0], old[1]), (new[0], new[1]))
                points = ring_within(moved, new[0], new[1]) / (new[1], new[0])
            yield f"{finding.label} {' '.join(f'{share:.8f}' for share in points.reshape(-1))}\n"


def _parts(samples: Sequence[Sample], dataset: Dataset) -> Iterator[bytes]:
    for sample in samples:
        ground_truth = sample.ground_truth or Detections.empty()
        yield f"{sample.sample_id}\0{sample.height}\0{sample.width}\0{len(ground_truth)}".encode(
            "utf-8", "surrogatepass"
        )
        yield ground_truth.xyxy.tobytes()
        yield ground_truth.labels.tobytes()
        for code in ground_truth.masks:
            yield code.counts
    for path in sorted({_file_of(sample, dataset) for sample in samples}):
        facts = path.stat()
        stamp = (str(path.absolute()), facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)
        yield repr(stamp).encode("utf-8", "surrogatepass")


def _file_of(sample: Sample, dataset: Dataset) -> Path:
    if not isinstance(dataset, RecordedDataset):
        return dataset.path
    found = getattr(dataset.records[sample.sample_id], "path", None)
    return found if isinstance(found, Path) else dataset.path


def _shrunk(shown: Shown, side_px: int) -> Shown:
    """The image, scaled down to a longer side of at most `side_px` as the model's adapter does."""
    height, width = shown.shape
    if max(height, width) <= side_px:
        return shown
    fit = Letterbox.fit(height, width, input_size=side_px, stride=STRIDE)
    size = (fit.scaled_width, fit.scaled_height)
    smaller: Any = cv2.resize(shown, size, interpolation=cv2.INTER_LINEAR)
    return np.asarray(smaller, dtype=np.uint8)


def _check(samples: Sequence[Sample], dataset: Dataset, name: str, task: Task) -> None:
    ground_truths = [
        sample.ground_truth
        for sample in samples
        if sample.ground_truth is not None and len(sample.ground_truth)
    ]
    if not ground_truths:
        expected = f"boxes in the images of the split {name!r}"
        raise DatasetError(dataset.path, expected=expected, found=f"none in {len(samples):,}")
    if task == "segment" and not any(ground_truth.masks for ground_truth in ground_truths):
        expected = f"outlines or masks in the split {name!r}, to learn to segment"
        raise DatasetError(dataset.path, expected=expected, found="boxes only")


def _notes(dataset: Dataset, name: str, samples: Sequence[Sample], task: Task) -> Iterator[str]:
    if unknown := dataset.summary()[name].unknown:
        yield f"{name}: {unknown:,} images of unknown ground truth are left out"
    ground_truths = (sample.ground_truth for sample in samples if sample.ground_truth is not None)
    plain = sum(len(ground_truth) for ground_truth in ground_truths if not ground_truth.masks)
    if task == "segment" and plain:
        yield f"{name}: {plain:,} findings without an outline count as their box"
