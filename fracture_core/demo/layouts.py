"""Demo data sets on disk, in each format that can be read back."""

import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Literal, get_args

from tqdm import tqdm

from fracture_core.demo import coco, dicom, rsna, yolo
from fracture_core.demo.classes import CLASSES
from fracture_core.demo.samples import SLICES, demo_sample, demo_study
from fracture_core.errors import ConfigError, DatasetError
from fracture_core.files import making_folder
from fracture_core.types import Sample

Format = Literal["coco", "yolo", "hdf5", "dicom"]
FORMATS: tuple[str, ...] = get_args(Format)
MAX_COUNT = 100_000
SIDES_PX = (128, 4096)
Writer = Callable[[Iterable[Sample], Path], None]


def write_demo(
    folder: Path,
    *,
    count: int,
    seed: int = 0,
    format: str = "coco",  # noqa: A002
    size: tuple[int, int] | None = None,
    outlines: bool = True,
    corners: bool = False,
) -> Path:
    """Write `count` radiographs, or CT studies for "hdf5"; "dicom" adds one CT series to them.

    `size` (height, width) in pixels of the radiographs · `outlines` writes YOLO polygons in place
    of boxes · `corners` writes HDF5 boxes as xyxy padded with 0 in place of xywh padded with −1.
    The folder appears when it is complete. Raises DatasetError if there is something in it
    already, ConfigError for an unknown format or a count out of range.
    """
    writer = _writer(format, outlines=outlines, corners=corners)
    if not 1 <= count <= MAX_COUNT:
        raise ConfigError("count", expected=f"1 to {MAX_COUNT:,}", found=f"{count:,}")
    if size is not None and not all(SIDES_PX[0] <= side <= SIDES_PX[1] for side in size):
        found = f"{size[1]} × {size[0]} pixels"
        expected = f"sides of {SIDES_PX[0]} to {SIDES_PX[1]} pixels"
        raise ConfigError("size", expected=expected, found=found)
    samples = _studies(count, seed) if format == "hdf5" else _radiographs(count, seed, size)
    if format == "dicom":
        samples = _with_study(samples, seed)
    return _write_whole(folder, lambda part: writer(_shown(samples, format, count), part))


def _writer(format: str, *, outlines: bool, corners: bool) -> Writer:  # noqa: A002
    writers: dict[str, Writer] = {
        "coco": lambda samples, part: coco.write(samples, CLASSES, part),
        "yolo": lambda samples, part: yolo.write(samples, CLASSES, part, outlines=outlines),
        "hdf5": lambda samples, part: rsna.write(samples, part / "demo.h5", corners=corners),
        "dicom": dicom.write,
    }
    if format not in writers:
        raise ConfigError("format", expected=f"one of {', '.join(FORMATS)}", found=repr(format))
    return writers[format]


def _radiographs(count: int, seed: int, size: tuple[int, int] | None) -> Iterator[Sample]:
    return (demo_sample(seed, number, size=size) for number in range(count))


def _studies(count: int, seed: int) -> Iterator[Sample]:
    return (sample for number in range(count) for sample in demo_study(seed, number))


def _with_study(samples: Iterator[Sample], seed: int) -> Iterator[Sample]:
    yield from samples
    yield from demo_study(seed, 0)


def _shown(samples: Iterable[Sample], format: str, count: int) -> Iterable[Sample]:  # noqa: A002
    total = count * SLICES if format == "hdf5" else count + SLICES * (format == "dicom")
    # disable=None: a bar on a terminal, silence elsewhere.
    return tqdm(samples, total=total, unit="image", disable=None, file=sys.stderr)


def _write_whole(folder: Path, write: Callable[[Path], None]) -> Path:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        found = "files in it" if folder.is_dir() else "a file"
        raise DatasetError(
            folder,
            expected="a folder that is new or empty",
            found=found,
            advice="Nothing was written; choose another folder.",
        )
    with making_folder(folder) as part:
        write(part)
    return folder
