"""Recognition of the format, what all formats share, and the real data sets."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fracture_core.datasets import Dataset, open_dataset
from fracture_core.datasets.images import read_header
from fracture_core.datasets.issues import IssueLog, quoted
from fracture_core.datasets.layout import group_of, split_of_file, split_of_folder
from fracture_core.errors import DatasetError
from fracture_core.imaging.opening import open_image


def write_image(path: Path, height: int = 5, width: int = 8) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((height, width), dtype=np.uint8)).save(path)


def make_both(root: Path) -> Path:
    """A COCO file and YOLO labels of one image, which say different things."""
    write_image(root / "train" / "images" / "a.png")
    (root / "train" / "labels").mkdir()
    (root / "train" / "labels" / "a.txt").write_text("")
    (root / "data.yaml").write_text("train: train/images\nnames: [yolo]\n")
    images = [{"id": 0, "file_name": "a.png", "height": 5, "width": 8}]
    content = {"images": images, "annotations": [], "categories": [{"id": 3, "name": "coco"}]}
    (root / "train.json").write_text(json.dumps(content))
    return root


def test_a_folder_of_two_formats_is_opened_as_coco_and_says_so(tmp_path: Path) -> None:
    root = make_both(tmp_path)
    dataset = open_dataset(root)
    assert dataset.classes == ("coco",)
    assert "YOLO label files lie beside it; open data.yaml for them" in dataset.found
    assert open_dataset(root / "data.yaml").classes == ("yolo",)
    assert open_dataset(root / "train.json").classes == ("coco",)
    assert open_dataset(str(root)).ids == open_dataset(root / "data.yaml").ids


@pytest.mark.parametrize("name", ["absent", "notes.txt", "folder", "pipe"])
def test_what_is_no_data_set_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    write_image(tmp_path / "folder" / "a.png")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DatasetError) as caught:
        open_dataset(tmp_path / name)
    assert str(caught.value).startswith(f"{name}: expected an RSNA HDF5 file, a COCO JSON file")


def test_an_unknown_id_is_refused(tmp_path: Path) -> None:
    dataset = open_dataset(make_both(tmp_path))
    with pytest.raises(DatasetError, match=r"expected the id of one of its samples, found 'b'"):
        dataset["b"]
    assert list(dataset) == list(dataset.ids)
    assert len(dataset) == 1


def test_opening_reads_no_image(tmp_path: Path) -> None:
    root = make_both(tmp_path)
    (root / "train" / "images" / "a.png").write_bytes(b"")
    for path in (root, root / "data.yaml"):
        assert len(open_dataset(path)) == 1


def test_a_sample_can_be_sent_to_another_process(tmp_path: Path) -> None:
    dataset = open_dataset(make_both(tmp_path))
    sample = pickle.loads(pickle.dumps(dataset[dataset.ids[0]]))
    assert sample.pixels.shape == (5, 8)
    assert pickle.loads(pickle.dumps(dataset)).ids == dataset.ids


def test_opening_a_data_set_does_not_import_torch() -> None:
    code = (
        "import sys, fracture_core.datasets, fracture_core.cli; "
        "print([m for m in ('torch', 'cv2', 'h5py', 'pydicom', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("mode", ["L", "RGB", "P", "1", "I;16", "RGBA"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_header_tells_what_the_whole_image_tells(
    tmp_path: Path, mode: str, orientation: int
) -> None:
    path = tmp_path / "a.png"
    exif = Image.Exif()
    exif[274] = orientation
    Image.new(mode, (8, 5)).save(path, exif=exif)
    header, image = read_header(path, "a.png"), open_image(path, "a.png")
    assert (header.height, header.width) == (image.height, image.width)
    if header.windows:
        assert header.windows == image.windows
    else:
        [window] = image.windows
        assert (image.pixels.dtype, window.center, window.width) == (np.uint8, 127.5, 255)


@pytest.mark.parametrize(
    ("relative", "group"),
    [
        ("train/images/7_jpg.rf.0a1b.jpg", "7_jpg"),
        ("images/val/7_jpg.rf.ffff.jpg", "7_jpg"),
        ("train/images/patient1/001.png", "patient1/001"),
        ("a.b.png", "a.b"),
    ],
)
def test_groups(relative: str, group: str) -> None:
    assert group_of(relative) == group


def test_splits_by_name() -> None:
    assert split_of_file("instances_val2017") == "val"
    assert split_of_file("_annotations.coco") == ""
    assert split_of_file("trainer") == ""
    assert split_of_folder("Valid") == "val"
    assert split_of_folder("train2017") == "train"
    assert split_of_folder("test_of_something") == ""


def test_warnings_count_and_name_the_first_few() -> None:
    issue_log = IssueLog()
    for place in "abcde":
        issue_log.add("Boxes cut", place)
    issue_log.add("Others", "x")
    assert issue_log.sentences() == ("Boxes cut: 5 (a; b; c; and 2 more).", "Others: 1 (x).")
    assert quoted("a\x1b[2J") == "'a\\x1b[2J'"
    assert len(quoted("x" * 1000)) == 60


def boxes_by_class(dataset: Dataset, split: str) -> int:
    return sum(dataset.summary()[split].boxes.values())


def test_fracture7_agrees_box_for_box_in_both_formats(shared_data: Path) -> None:
    coco = open_dataset(shared_data / "fracture7")
    yolo = open_dataset(shared_data / "fracture7" / "data.yaml")
    assert (coco.format, yolo.format) == ("coco", "yolo")
    assert coco.classes == yolo.classes
    assert len(coco.classes) == 7
    for dataset in (coco, yolo):
        assert {split: len(ids) for split, ids in dataset.splits.items()} == {
            "train": 3_631,
            "val": 348,
        }
        assert boxes_by_class(dataset, "val") == 204
    assert coco.summary() == yolo.summary()
    assert set(coco.ids) == set(yolo.ids)
    for sample_id in coco.ids:
        first, second = coco[sample_id], yolo[sample_id]
        assert first.ground_truth is not None
        assert second.ground_truth is not None
        assert first.ground_truth.labels.tolist() == second.ground_truth.labels.tolist()
        assert (
            len(first.ground_truth.masks)
            == len(second.ground_truth.masks)
            == len(first.ground_truth)
        )
        np.testing.assert_allclose(first.ground_truth.xyxy, second.ground_truth.xyxy, atol=0.6)
        assert first.group_id == second.group_id
    # Every copy of an original has its group, though they do cross the published splits.
    assert any(each.startswith("Groups in more than one split: 98 ") for each in coco.warnings)


def test_fracture10_counts(shared_data: Path) -> None:
    dataset = open_dataset(shared_data / "fracture10")
    counts = dataset.summary()
    assert (counts["train"].images, counts["val"].images) == (1_347, 128)
    assert (counts["train"].empty, counts["train"].unknown) == (3, 0)
    assert (boxes_by_class(dataset, "train"), boxes_by_class(dataset, "val")) == (1_548, 157)
    assert len(dataset.classes) == 10
    empty = [each for each in dataset.ids if dataset[each].image_class is None]
    assert len(empty) == 3


def test_fracatlas_counts(shared_data: Path) -> None:
    dataset = open_dataset(shared_data / "fracatlas")
    counts = dataset.summary()
    assert dataset.classes == ("fractured",)
    assert (counts["train"].images, counts["train"].with_findings) == (1_973, 573)
    assert (counts["val"].images, counts["val"].with_findings) == (382, 82)
    assert (boxes_by_class(dataset, "train"), boxes_by_class(dataset, "val")) == (763, 91)
    sample = dataset["images/IMG0000019.jpg"]
    assert sample.ground_truth is not None
    np.testing.assert_allclose(
        sample.ground_truth.xyxy, [[441.6, 330.35, 538.74, 382.73]], atol=1e-3
    )
    assert len(sample.ground_truth.masks) == 1
    assert sample.pixels.shape == (1024, 819)
