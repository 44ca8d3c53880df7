"""The folder of images and labels that a YOLO trains on."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fracture_core.datasets import open_dataset
from fracture_core.demo.layouts import write_demo
from fracture_core.errors import DatasetError
from fracture_core.runs import new_run
from fracture_core.settings import settings
from tests.support.yolo_trainings import DETECT, SEGMENT, config_of, train
from trainers.yolo.folder import write_folder


def test_a_split_without_boxes_or_outlines_is_refused(tmp_path: Path) -> None:
    boxes = write_demo(
        tmp_path / "boxes", count=12, seed=1, size=(160, 160), format="yolo", outlines=False
    )
    with pytest.raises(DatasetError, match="outlines or masks in the split 'train'"):
        train(config_of(boxes, SEGMENT), new_run(tmp_path / "run"))
    for label in (boxes / "train" / "labels").iterdir():
        label.write_text("")
    with pytest.raises(DatasetError, match="boxes in the images of the split 'train'"):
        train(config_of(boxes, DETECT), new_run(tmp_path / "other"))


def test_unknown_truth_is_left_out_and_counted_and_empty_is_kept(tmp_path: Path) -> None:
    data = write_demo(tmp_path / "demo", count=12, seed=1, size=(160, 160), format="yolo")
    config = config_of(data, DETECT, valid_split="val")
    before = write_folder(config, open_dataset(data), "detect")
    labels = sorted((data / "train" / "labels").iterdir())
    empty = [label for label in labels if not label.read_text()]
    empty[0].unlink()
    folder = write_folder(config, open_dataset(data), "detect")
    assert folder.path != before.path
    assert len(folder.ids["train"]) == len(labels) - 1
    assert folder.notes == ("train: 1 images of unknown ground truth are left out",)
    written = [path.read_text() for path in (folder.path / "train" / "labels").iterdir()]
    assert sum(not text for text in written) == len(empty) - 1


def test_the_folder_holds_shown_images_and_truths_in_shares(data: Path) -> None:
    dataset = open_dataset(data)
    folder = write_folder(config_of(data, SEGMENT), dataset, "segment")
    for row, sample_id in enumerate(folder.ids["train"]):
        sample = dataset[sample_id]
        file = folder.images("train") / f"{row:06d}.png"
        with Image.open(file) as image:
            assert image.size == (96, 80)
            assert image.mode == "L"
        assert folder.name_of(str(file)) == sample_id
        lines = (folder.path / "train" / "labels" / f"{row:06d}.txt").read_text().splitlines()
        assert sample.ground_truth is not None
        for line, xyxy, label in zip(
            lines, sample.ground_truth.xyxy, sample.ground_truth.labels, strict=True
        ):
            numbers = [float(each) for each in line.split()]
            ring = np.array(numbers[1:]).reshape(-1, 2)
            assert numbers[0] == label
            around = np.concatenate([ring.min(axis=0), ring.max(axis=0)]) * [192, 160, 192, 160]
            # A pixel of the smaller image is two of the larger one.
            assert np.abs(around - xyxy).max() <= 3


def test_deep_grey_from_other_formats_trains(tmp_path: Path) -> None:
    data = write_demo(tmp_path / "demo", count=1, seed=1, format="hdf5") / "demo.h5"
    dataset = open_dataset(data)
    split = next(iter(dataset.splits))
    config = config_of(data, DETECT, epochs=1, train_split=split, valid_split=split)
    assert train(config, new_run(tmp_path / "run")) is not None


def test_classes_are_merged(data: Path, tmp_path: Path) -> None:
    model = train(
        config_of(data, DETECT, epochs=1, merge_classes="fracture"), new_run(tmp_path / "r")
    )
    assert model is not None
    assert model.card.classes == ("fracture",)
    folders = list((settings().cache / "yolo").glob("*/train/labels/*.txt"))
    assert {line[0] for path in folders for line in path.read_text().splitlines()} == {"0"}


def test_limit_draws_images_by_the_seed(data: Path) -> None:
    dataset = open_dataset(data)
    drawn = [
        tuple(
            write_folder(config_of(data, DETECT, limit=5, seed=seed), dataset, "detect").ids[
                "train"
            ]
        )
        for seed in (0, 0, 1)
    ]
    assert len(drawn[0]) == 5
    assert drawn[0] == drawn[1] != drawn[2]


def test_the_same_data_set_is_written_once(data: Path) -> None:
    dataset, config = open_dataset(data), config_of(data, DETECT)
    first = write_folder(config, dataset, "detect")
    stamp = (first.path / "index.json").stat().st_mtime_ns
    again = write_folder(config, dataset, "detect")
    assert (again, stamp) == (first, (again.path / "index.json").stat().st_mtime_ns)
    assert (
        write_folder(config_of(data, DETECT, input_size=64), dataset, "detect").path != first.path
    )
    assert json.loads((first.path / "index.json").read_text()) == first.ids
