"""A raw RSNA 2022 download in small, made on the fly."""

import csv
from pathlib import Path

import numpy as np

from tests.support.dicom_files import slice_of_ct

SIDE = 64
SLICES = 8


def uid(study: int) -> str:
    return f"1.2.826.0.1.3680043.{study}"


def write_download(folder: Path, studies: int = 10, seed: int = 0) -> Path:
    """Studies 0, 3, 6 … have boxes on slices 3 to 5; 1, 4 … are fractured without any box; the
    others are healthy.
    """
    rng = np.random.default_rng(seed)
    boxes, patients = [], []
    for study in range(studies):
        place = folder / "train_images" / uid(study)
        place.mkdir(parents=True)
        kind = study % 3
        patients.append([uid(study), int(kind < 2), *[0] * 7])
        for number in range(1, SLICES + 1):
            pixels = rng.integers(0, 4000, (SIDE, SIDE)).astype(np.uint16)
            data = slice_of_ct(z=float(number), number=number, pixels=pixels)
            (place / f"{number}.dcm").write_bytes(data)
            if kind == 0 and 3 <= number <= 5:
                boxes.append([uid(study), 10.0 + study % 20, 20.0, 8.0, 6.5, number])
    _write(
        folder / "train_bounding_boxes.csv",
        ["StudyInstanceUID", "x", "y", "width", "height", "slice_number"],
        boxes,
    )
    levels = [f"C{level}" for level in range(1, 8)]
    _write(folder / "train.csv", ["StudyInstanceUID", "patient_overall", *levels], patients)
    return folder


def slice_path(folder: Path, study: int, number: int) -> Path:
    return folder / "train_images" / uid(study) / f"{number}.dcm"


def _write(path: Path, head: list[str], rows: list[list[object]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([head, *rows])
