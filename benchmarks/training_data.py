"""Demo data in the layouts of R1, R2 and R4, large enough for an epoch to be worth timing.

The splits repeat the images that were drawn, under other names, until they are as long as asked
for: the cost of reading and learning does not depend on what the images show.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
from PIL import Image

from fracture_core.datasets.yolo import image_folder, label_folder, write_data_file
from fracture_core.demo import layouts
from fracture_core.demo.radiograph import VIEWS, plan_radiograph, render
from fracture_core.demo.samples import demo_study
from fracture_core.settings import settings

_TRAIN, _VALID = 0, 1
_SLICES = 12
_JPEG_QUALITY = 90


@contextmanager
def own_home() -> Iterator[Path]:
    """Yield a temporary folder; the project's home is in it meanwhile, and is removed with it."""
    before = os.environ.get("FRACTURE_HOME")
    with tempfile.TemporaryDirectory(prefix="bench-train-") as folder:
        os.environ["FRACTURE_HOME"] = str(Path(folder) / "home")
        settings.cache_clear()
        try:
            yield Path(folder)
        finally:
            settings.cache_clear()
            if before is None:
                del os.environ["FRACTURE_HOME"]
            else:
                os.environ["FRACTURE_HOME"] = before


def write_slices(folder: Path, *, drawn: int, train: int, valid: int, side: int) -> Path:
    """Write an HDF5 file of the RSNA layout and return its path.

    `drawn` CT studies are rendered, with slices of `side` pixels; `train` and `valid` are the
    numbers of slices in the splits, 0 = as many as were drawn.
    """
    folder.mkdir()
    samples = (
        sample
        for number in range(drawn)
        for sample in demo_study(0, number, slices=_SLICES, size=side)
    )
    layouts.write_hdf5(samples, folder / "drawn.h5", corners=False)
    path = folder / "slices.h5"
    with h5py.File(folder / "drawn.h5", "r") as source, h5py.File(path, "w") as target:
        _repeat(source, target, train=train, valid=valid)
    return path


def write_images(folder: Path, *, drawn: int, train: int, valid: int, side: int) -> Path:
    """Write a YOLO folder of JPEG files of `side` × `side` pixels, whose classes are their views.

    Every fifth of the `drawn` radiographs is for validation; `train` and `valid` are the numbers of
    images in the splits, 0 = as many as were drawn.
    """
    numbers = {"train": [n for n in range(drawn) if n % 5], "val": list(range(0, drawn, 5))}
    for (split, there), count in zip(numbers.items(), (train, valid), strict=True):
        images, labels = folder / image_folder(split), folder / label_folder(split)
        images.mkdir(parents=True)
        labels.mkdir(parents=True)
        for number in there:
            _draw(number, images / f"picture-{number:05d}-0.jpg", labels, side)
        _copy(images, labels, count)
    write_data_file(folder, VIEWS, numbers)
    return folder


def _repeat(source: h5py.File, target: h5py.File, *, train: int, valid: int) -> None:
    """Copy the rows of both splits as often as needed; every round gets new names of studies."""
    split = source["split"][:]
    rows, rounds = [], []
    for number, count in ((_TRAIN, train), (_VALID, valid)):
        there = np.random.default_rng(0).permutation(np.flatnonzero(split == number))
        wanted = np.arange(count or len(there))
        rows.append(there[wanted % len(there)])
        rounds.append(wanted // len(there))
    chosen, copies = np.concatenate(rows), np.concatenate(rounds)
    shape = source["images"].shape[1:]
    # The chunks are like those of the published subset.
    chunks = (min(len(chosen), 32), *shape)
    images = target.create_dataset("images", (len(chosen), *shape), "float32", chunks=chunks)
    for place, row in enumerate(chosen):
        images[place] = source["images"][row]
    for name in ("bboxes", "labels", "split"):
        target[name] = source[name][:][chosen]
    text = h5py.string_dtype()
    studies, numbers = (source[name].asstr()[:] for name in ("StudyInstanceUID", "SliceNumber"))
    names = [f"{studies[row]}.{copy}" for row, copy in zip(chosen, copies, strict=True)]
    target.create_dataset("StudyInstanceUID", data=names, dtype=text)
    target.create_dataset("SliceNumber", data=list(numbers[chosen]), dtype=text)


def _draw(number: int, path: Path, labels: Path, side: int) -> None:
    """Write a radiograph and its label, a box around the whole image."""
    view = int(np.random.default_rng(number).integers(len(VIEWS)))
    drawn = render(plan_radiograph((number,), size=(side, side), view=VIEWS[view]))
    top = drawn.pixels.max()
    grey = Image.fromarray((drawn.pixels * (255.0 / top)).astype(np.uint8))
    grey.convert("RGB").save(path, quality=_JPEG_QUALITY)
    (labels / f"{path.stem}.txt").write_text(f"{view} 0.5 0.5 1 1\n", encoding="utf-8")


def _copy(images: Path, labels: Path, count: int) -> None:
    """Copy images and labels under other names until there are `count`."""
    there = sorted(images.iterdir())
    for number in range(len(there), count):
        source = there[number % len(there)]
        stem = f"{source.stem.rpartition('-')[0]}-{number}"
        shutil.copyfile(source, images / f"{stem}.jpg")
        shutil.copyfile(labels / f"{source.stem}.txt", labels / f"{stem}.txt")
