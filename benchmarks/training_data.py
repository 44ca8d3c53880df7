"""Demo data in the layouts of R1, R2 and R4, of a size that makes an epoch worth timing.

The training split repeats the pictures that were drawn, under other names, until it is as long as
asked for: what reading and learning cost does not depend on what is on them.
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

from fracture_core.demo import rsna, write_demo
from fracture_core.demo.samples import demo_study
from fracture_core.settings import settings

_TRAIN, _VALID = 0, 1
_SLICES = 12
_JPEG_QUALITY = 90


@contextmanager
def own_home() -> Iterator[Path]:
    """A temporary folder; what the project keeps goes there, too, and with it."""
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
    """An HDF5 file of the RSNA layout, from `drawn` CT studies; 0 = all that were drawn."""
    folder.mkdir()
    samples = (
        sample
        for number in range(drawn)
        for sample in demo_study(0, number, slices=_SLICES, size=side)
    )
    rsna.write(samples, folder / "drawn.h5", corners=False)
    path = folder / "slices.h5"
    with h5py.File(folder / "drawn.h5", "r") as source, h5py.File(path, "w") as target:
        _repeat(source, target, train=train, valid=valid)
    return path


def write_pictures(folder: Path, *, drawn: int, train: int, valid: int, side: int) -> Path:
    """A YOLO folder of JPEG files, square and each with a class, from `drawn` radiographs."""
    source = write_demo(
        folder.with_name(f"{folder.name}-drawn"),
        count=drawn,
        format="yolo",
        size=(side, side),
        outlines=False,
    )
    for split, count in (("train", train), ("valid", valid)):
        for name in ("images", "labels"):
            (folder / split / name).mkdir(parents=True)
        _repeat_files(source / split, folder / split, count)
    text = (source / "data.yaml").read_text(encoding="utf-8")
    kept = [line for line in text.split("\n") if not line.startswith("test")]
    (folder / "data.yaml").write_text("\n".join(kept), encoding="utf-8")
    return folder


def _repeat(source: h5py.File, target: h5py.File, *, train: int, valid: int) -> None:
    """Rows of both splits, each as often as it takes; every round is another study."""
    split = source["split"][:]
    rows, rounds = [], []
    for number, count in ((_TRAIN, train), (_VALID, valid)):
        there = np.flatnonzero(split == number)
        wanted = np.arange(count or len(there))
        rows.append(there[wanted % len(there)])
        rounds.append(wanted // len(there))
    chosen, copies = np.concatenate(rows), np.concatenate(rounds)
    shape, chunks = source["images"].shape[1:], source["images"].chunks
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


def _repeat_files(source: Path, target: Path, count: int) -> None:
    labels = [path for path in sorted((source / "labels").iterdir()) if path.stat().st_size]
    for number in range(count or len(labels)):
        label = labels[number % len(labels)]
        stem = f"{number:05d}-{label.stem}"
        with Image.open(source / "images" / f"{label.stem}.png") as picture:
            path = target / "images" / f"{stem}.jpg"
            picture.convert("RGB").save(path, quality=_JPEG_QUALITY)
        shutil.copyfile(label, target / "labels" / f"{stem}.txt")
