"""The case that the workbench opens with, kept as a file: rendering it would delay the first page.

`python -m fracture_core.demo.case` renders it and writes the file anew.
"""

from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fracture_core.demo.classes import radiograph_attributes
from fracture_core.masks import Rle
from fracture_core.types import Detections, Pixels, Sample, Window

FILE = Path(__file__).with_name("case.npz")
Arrays = dict[str, npt.NDArray[Any]]


@cache
def demo_case() -> Sample:
    """Returns a radiograph of a wrist with two findings, as it was rendered; it is read once."""
    return read_case(FILE)


def write_case(sample: Sample, file: Path) -> None:
    """Writes a sample with windows, spacing and masks as arrays without pickles.

    Raises ValueError for a sample without findings.
    """
    np.savez_compressed(file, allow_pickle=False, **_as_arrays(sample))


def read_case(file: Path) -> Sample:
    """Returns the sample that `write_case` wrote."""
    with np.load(file, allow_pickle=False) as stored:
        kept: Arrays = dict(stored)
    pixels: Pixels = kept["pixels"]
    pixels.setflags(write=False)
    height, width = pixels.shape
    counts = kept["mask_counts"].tolist()
    ground_truth = Detections.ground_truth(
        kept["xyxy"],
        kept["labels"],
        tuple(Rle(height=height, width=width, counts=one) for one in counts),
    )
    down, across = kept["spacing_mm"].tolist()
    return Sample(
        sample_id="demo-case",
        group_id="demo-case",
        height=height,
        width=width,
        read=partial(_held, pixels),
        windows=_windows(kept),
        spacing_mm=(down, across),
        ground_truth=ground_truth,
        image_class=int(ground_truth.labels[0]),
        attributes=radiograph_attributes("wrist"),
    )


def _as_arrays(sample: Sample) -> Arrays:
    if sample.ground_truth is None or not len(sample.ground_truth):
        raise ValueError("sample: expected one with findings")
    return {
        "pixels": sample.pixels,
        "spacing_mm": np.asarray(sample.spacing_mm, dtype=np.float64),
        "window_names": np.asarray([window.name for window in sample.windows]),
        "windows": np.asarray([(window.center, window.width) for window in sample.windows]),
        "xyxy": sample.ground_truth.xyxy,
        "labels": sample.ground_truth.labels,
        "mask_counts": np.asarray([mask.counts for mask in sample.ground_truth.masks]),
    }


def _windows(kept: Arrays) -> tuple[Window, ...]:
    pairs = zip(kept["windows"].tolist(), kept["window_names"].tolist(), strict=True)
    return tuple(Window(center=center, width=width, name=name) for (center, width), name in pairs)


def _held(pixels: Pixels) -> Pixels:
    return pixels


if __name__ == "__main__":
    from fracture_core.demo.samples import render_demo_case

    write_case(render_demo_case(), FILE)
