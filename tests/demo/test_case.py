"""The stored demo case: what the generator renders, without the generator."""

import subprocess
import sys
from pathlib import Path

import numpy as np

from fracture_core import masks
from fracture_core.demo import CLASSES, demo_case
from fracture_core.demo.case import read_case, write_case
from fracture_core.demo.samples import render_demo_case


def test_the_file_holds_what_the_generator_renders() -> None:
    stored, rendered = demo_case(), render_demo_case()
    assert stored.windows == rendered.windows
    assert stored.spacing_mm == rendered.spacing_mm
    assert stored.image_class == rendered.image_class
    assert (stored.sample_id, stored.group_id) == (rendered.sample_id, rendered.group_id)
    # Other builds of NumPy and SciPy may round a value the other way.
    apart = np.abs(stored.pixels.astype(int) - rendered.pixels.astype(int))
    assert apart.max() <= 2, "run python -m fracture_core.demo.case"
    assert stored.ground_truth is not None
    assert rendered.ground_truth is not None
    assert np.array_equal(stored.ground_truth.labels, rendered.ground_truth.labels)
    assert np.abs(stored.ground_truth.xyxy - rendered.ground_truth.xyxy).max() <= 1
    crowd = np.zeros(len(rendered.ground_truth), dtype=bool)
    assert (
        np.diag(masks.iou(stored.ground_truth.masks, rendered.ground_truth.masks, crowd)).min()
        > 0.98
    )


def test_a_written_case_reads_back(tmp_path: Path) -> None:
    rendered = render_demo_case()
    write_case(rendered, tmp_path / "case.npz")
    read = read_case(tmp_path / "case.npz")
    assert np.array_equal(read.pixels, rendered.pixels)
    assert not read.pixels.flags.writeable
    assert read.ground_truth is not None
    assert rendered.ground_truth is not None
    assert np.array_equal(read.ground_truth.xyxy, rendered.ground_truth.xyxy)
    assert read.ground_truth.masks == rendered.ground_truth.masks
    assert read.ground_truth.labels.max() < len(CLASSES)


def test_the_demo_case_needs_neither_scipy_nor_opencv() -> None:
    script = (
        "import sys; from fracture_core.demo import CLASSES, demo_case; demo_case();"
        "print(sorted({'scipy', 'cv2', 'yaml', 'PIL'} & set(sys.modules)))"
    )
    found = subprocess.check_output([sys.executable, "-c", script], text=True)
    assert found.strip() == "[]"
