"""The benchmark of leaks finds copies across splits, what they give away, and a copy without."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.leakage import look_up, main
from fracture_core.datasets import open_dataset
from fracture_core.demo.layouts import write_yolo_folder
from fracture_core.demo.samples import demo_sample
from fracture_core.types import Detections, Sample

CLASSES = ("Spiral", "Transverse")


def sample(number: int, split: str, label: int, *, name: str, mirrored: bool = False) -> Sample:
    """A demo image with one box of a class; `name` is its group and the beginning of its file."""
    made = demo_sample(7, number, size=(192, 192))
    shown = made.shown()[:, :: -1 if mirrored else 1].copy()
    box = Detections.ground_truth([[10, 10, 60, 60]], np.array([label], dtype=np.int64))
    return replace(
        made,
        sample_id=name,
        group_id=name,
        split=split,
        read=lambda: shown,
        windows=(),
        ground_truth=box,
        image_class=label,
    )


@pytest.fixture
def leaking(tmp_path: Path) -> Path:
    samples = (
        sample(0, "train", 1, name="a"),
        sample(1, "train", 0, name="b"),
        sample(2, "train", 0, name="c"),
        sample(0, "val", 1, name="d", mirrored=True),
        sample(3, "val", 1, name="e"),
    )
    write_yolo_folder(samples, CLASSES, tmp_path / "set", outlines=False)
    return tmp_path / "set"


def test_copies_in_training_answer_for_validation_images_and_are_left_out(
    leaking: Path, tmp_path: Path
) -> None:
    rows = main(str(leaking), str(tmp_path / "clean"))
    assert [row.value for row in rows] == [2, 1, 1, 1, 2]
    clean = open_dataset(tmp_path / "clean")
    assert {split: len(ids) for split, ids in clean.splits.items()} == {"train": 2, "val": 2}
    assert {clean[each].group_id for each in clean.splits["train"]} == {"b", "c"}
    assert [clean[each].image_class for each in clean.splits["val"]] == [1, 1]


def test_the_class_of_most_copies_is_what_a_look_up_answers() -> None:
    groups = {"a": "one", "b": "one", "c": "one", "d": "two", "v": "one", "w": "three"}
    classes = {"a": 4, "b": 4, "c": 1, "d": 1}
    assert look_up(classes, groups, "v") == 4
    assert look_up(classes, groups, "w") is None
