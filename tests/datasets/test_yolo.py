"""YOLO folders: layouts, label lines, what is missing, and what must not be followed."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fracture_core import boxes, masks
from fracture_core.datasets import open_dataset
from fracture_core.datasets.findings import gt_of, keep_usable
from fracture_core.datasets.issues import IssueLog
from fracture_core.datasets.yolo_labels import parse_label
from fracture_core.errors import DatasetError

HEIGHT, WIDTH = 50, 100


def write_image(path: Path, *, height: int = HEIGHT, width: int = WIDTH) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((height, width), 7, dtype=np.uint8)).save(path)


def write_label(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def make_yolo(root: Path, labels: dict[str, str | None], *, yaml: str | None = None) -> Path:
    """One split, `train`; a label of None is a file that is not there."""
    for stem, text in labels.items():
        write_image(root / "train" / "images" / f"{stem}.png")
        if text is not None:
            write_label(root / "train" / "labels" / f"{stem}.txt", text)
    (root / "train" / "labels").mkdir(exist_ok=True)
    names = "train: train/images\nnames: [wrist, elbow]\n"
    (root / "data.yaml").write_text(names if yaml is None else yaml)
    return root


def warning(dataset: object, start: str) -> str:
    found = [each for each in dataset.warnings if each.startswith(start)]  # type: ignore[attr-defined]
    assert len(found) == 1, dataset.warnings  # type: ignore[attr-defined]
    return found[0]


def test_box_and_polygon_lines_may_stand_in_one_file(tmp_path: Path) -> None:
    lines = "1 0.5 0.5 0.2 0.4\n0 0.1 0.2 0.3 0.2 0.3 0.6 0.1 0.6\n"
    sample = open_dataset(make_yolo(tmp_path, {"a": lines}))["train/images/a.png"]
    assert sample.ground_truth is not None
    np.testing.assert_allclose(
        sample.ground_truth.xyxy, [[40, 15, 60, 35], [10, 10, 30, 30]], atol=1e-4
    )
    assert sample.ground_truth.labels.tolist() == [1, 0]
    # The box has no outline of its own: its mask is its rectangle.
    assert [masks.pixels(mask) for mask in sample.ground_truth.masks] == [20 * 20, 20 * 20]
    assert sample.image_class == 1
    assert (sample.split, sample.group_id) == ("train", "a")
    assert sample.pixels.tolist() == np.full((HEIGHT, WIDTH), 7).tolist()


def test_missing_label_is_unknown_and_empty_label_is_nothing_there(tmp_path: Path) -> None:
    dataset = open_dataset(make_yolo(tmp_path, {"empty": "\n \n", "missing": None}))
    empty, missing = dataset["train/images/empty.png"], dataset["train/images/missing.png"]
    assert empty.ground_truth is not None
    assert len(empty.ground_truth) == 0
    assert missing.ground_truth is None
    assert empty.image_class is None
    assert missing.image_class is None
    counts = dataset.summary()["train"]
    assert (counts.images, counts.with_findings, counts.empty, counts.unknown) == (2, 0, 1, 1)
    assert "train/images/missing.png" in warning(dataset, "Images without a label file")


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("0 0.5 abc 0.2 0.2", "'abc'"),
        ("wrist 0.5 0.5 0.2 0.2", "'wrist'"),
        ("2 0.5 0.5 0.2 0.2", "'2'"),
        ("-1 0.5 0.5 0.2 0.2", "'-1'"),
        ("0.5 0.5 0.5 0.2 0.2", "'0.5'"),
        ("0 0.5 0.5 0.2", "4 columns"),
        ("0 0.5 0.5 0.2 0.2 0.9", "6 columns"),
        ("0 1_0 0.5 0.2 0.2", "'1_0'"),
        ("<script>alert(1)</script> 1 1 1 1", "script"),
    ],
)
def test_a_line_that_makes_no_sense_leaves_the_truth_unknown(
    tmp_path: Path, line: str, found: str
) -> None:
    dataset = open_dataset(make_yolo(tmp_path, {"a": f"0 0.5 0.5 0.2 0.2\n{line}\n", "b": ""}))
    assert dataset["train/images/a.png"].ground_truth is None
    assert dataset["train/images/b.png"].ground_truth is not None
    said = warning(dataset, "Label files that cannot be read")
    assert "train/labels/a.txt line 2: expected" in said
    assert found in said


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("0 0.5 0.5 0 0.2", "width and height above 0"),
        ("0 0.5 0.5 -0.2 0.2", "width and height above 0"),
        ("0 nan 0.5 0.2 0.2", "expected numbers"),
        ("0 inf 0.5 inf 0.2", "expected numbers"),
        ("0 1.5 0.5 0.2 0.2", "inside the image"),
        ("0 120 80 30 30", "inside the image"),
        ("0 0.5 0.5 1e-9 0.2", "inside the image"),
        ("0 0.1 0.1 0.5 0.5 0.1 0.1 nan 0.3", "expected numbers"),
    ],
)
def test_an_impossible_box_is_left_out_and_said(tmp_path: Path, line: str, kind: str) -> None:
    both = f"{line}\n1 0.5 0.5 0.2 0.2\n"
    dataset = open_dataset(make_yolo(tmp_path, {"both": both, "only": line}))
    ground_truth = dataset["train/images/both.png"].ground_truth
    assert ground_truth is not None
    assert ground_truth.labels.tolist() == [1]
    # An image whose only box is impossible is not called free of findings.
    assert dataset["train/images/only.png"].ground_truth is None
    said = next(each for each in dataset.warnings if kind in each)
    assert said.startswith("Boxes left out")
    assert ": 2 (train/labels/both.txt line 1, found x" in said


def test_a_box_partly_outside_is_cut(tmp_path: Path) -> None:
    dataset = open_dataset(make_yolo(tmp_path, {"a": "0 0.95 0.5 0.2 0.4"}))
    ground_truth = dataset["train/images/a.png"].ground_truth
    assert ground_truth is not None
    np.testing.assert_allclose(ground_truth.xyxy, [[85, 15, 100, 35]], atol=1e-4)
    assert "train/labels/a.txt line 1" in warning(dataset, "Boxes cut at the edge")


def test_an_outline_far_outside_costs_nothing(tmp_path: Path) -> None:
    dataset = open_dataset(make_yolo(tmp_path, {"a": "0 -1e8 -1e8 1e8 -1e8 1e8 1e8 -1e8 1e8"}))
    ground_truth = dataset["train/images/a.png"].ground_truth
    assert ground_truth is not None
    assert masks.pixels(ground_truth.masks[0]) == HEIGHT * WIDTH


@pytest.mark.parametrize("layout", ["{split}/images/{name}", "images/{split}/{name}"])
def test_both_layouts_open_without_data_yaml(tmp_path: Path, layout: str) -> None:
    for split in ("train", "valid", "test"):
        image = tmp_path / layout.format(split=split, name=f"{split}.png")
        write_image(image)
        label = Path(str(image).replace("images", "labels")).with_suffix(".txt")
        write_label(label, "3 0.5 0.5 0.2 0.2")
    dataset = open_dataset(tmp_path)
    assert {split: len(ids) for split, ids in dataset.splits.items()} == dict.fromkeys(
        ("train", "val", "test"), 1
    )
    assert dataset.classes == ("class 0", "class 1", "class 2", "class 3")
    assert "no data.yaml" in dataset.found
    assert warning(dataset, "Folder without data.yaml")


@pytest.mark.parametrize(
    "head",
    [
        "path: .\ntrain: train/images",
        "train: ./train/images",
        "train: ../train/images",
        "path: {root}\ntrain: train/images",
        "path: {root}\ntrain: {root}/train/images",
        "path: train\ntrain: images",
        "train: [train/images]",
        "path:\ntrain: train",
        "nc: 2",
    ],
)
@pytest.mark.parametrize("names", ["[wrist, elbow]", "{0: wrist, 1: elbow}"])
def test_ways_to_write_data_yaml(tmp_path: Path, head: str, names: str) -> None:
    text = f"{head.format(root=tmp_path)}\nnames: {names}\n"
    dataset = open_dataset(make_yolo(tmp_path, {"a": "1 0.5 0.5 0.2 0.2"}, yaml=text))
    assert dataset.classes == ("wrist", "elbow")
    assert dataset.ids == ("train/images/a.png",)
    assert dataset.summary()["train"].boxes == {"wrist": 0, "elbow": 1}
    assert dataset.warnings == ()


def test_a_path_of_another_machine_is_not_followed_but_said(tmp_path: Path) -> None:
    text = "path: /kaggle/working/bones\ntrain: train/images\nval: valid/images\nnames: [a]\n"
    dataset = open_dataset(make_yolo(tmp_path, {"a": ""}, yaml=text))
    assert dataset.ids == ("train/images/a.png",)
    assert "/kaggle/working/bones" in warning(dataset, "Path in data.yaml")
    assert "valid/images" in warning(dataset, "Folders named in data.yaml but absent")


def test_a_split_that_was_not_downloaded_is_a_warning(tmp_path: Path) -> None:
    text = "train: ../train/images\nval: ../valid/images\ntest: ../test/images\nnames: [a]\n"
    dataset = open_dataset(make_yolo(tmp_path, {"a": ""}, yaml=text))
    assert dataset.splits.keys() == {"train"}
    told = warning(dataset, "Folders named in data.yaml but absent")
    assert "../valid/images" in told
    assert "../test/images" in told


def test_class_numbers_with_gaps_are_mapped_in_order(tmp_path: Path) -> None:
    text = "train: train/images\nnames: {3: c, 1: a}\n"
    dataset = open_dataset(make_yolo(tmp_path, {"x": "3 0.5 0.5 0.2 0.2"}, yaml=text))
    assert dataset.classes == ("a", "c")
    ground_truth = dataset["train/images/x.png"].ground_truth
    assert ground_truth is not None
    assert ground_truth.labels.tolist() == [1]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("train: /etc\nnames: [a]", "/etc"),
        ("train: ../../etc/passwd\nnames: [a]", "passwd"),
        ("train: 5\nnames: [a]", "5"),
        ("train: train/images", "None"),
        ("names: 7", "7"),
        ("names: []", "[]"),
        ("names: {a: b}", "a"),
        ("names: [[a]]", "a"),
        ("[1, 2", "no valid YAML"),
        ("just text", "str"),
        ("!!python/object/apply:os.system ['false']", "no valid YAML"),
        ("[" * 5000, "no valid YAML"),
    ],
)
def test_a_data_yaml_that_makes_no_sense_is_refused(tmp_path: Path, text: str, found: str) -> None:
    root = make_yolo(tmp_path / "inner", {"a": ""}, yaml=text)
    with pytest.raises(DatasetError) as caught:
        open_dataset(root)
    assert str(caught.value).startswith("data.yaml: expected ")
    assert found in caught.value.found


def test_links_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    write_image(tmp_path / "secret.png")
    root = make_yolo(tmp_path / "set", {"a": ""})
    link = root / "train" / "images" / "b.png"
    link.symlink_to(tmp_path / "secret.png")
    with pytest.raises(DatasetError, match=r"b\.png: .*leads out"):
        open_dataset(root)
    link.unlink()
    link.symlink_to(root / "train" / "images" / "a.png")
    assert len(open_dataset(root)) == 2
    (root / "train" / "labels" / "a.txt").unlink()
    (root / "train" / "labels" / "a.txt").symlink_to("/etc/passwd")
    with pytest.raises(DatasetError, match=r"a\.txt: .*leads out"):
        open_dataset(root)


def test_a_linked_folder_and_a_circle_of_links_are_refused(tmp_path: Path) -> None:
    write_image(tmp_path / "elsewhere" / "x.png")
    root = make_yolo(tmp_path / "set", {"a": ""})
    linked = root / "train" / "images" / "more"
    linked.symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    with pytest.raises(DatasetError, match="leads out"):
        open_dataset(root)
    linked.unlink()
    linked.symlink_to(linked)
    with pytest.raises(DatasetError, match="symbolic links"):
        open_dataset(root)


def test_oddities_are_said(tmp_path: Path) -> None:
    root = make_yolo(tmp_path, {"a": "0 0.5 0.5 0.2 0.2"})
    write_image(root / "train" / "images" / "a.jpg")
    write_label(root / "train" / "labels" / "orphan.txt", "")
    dataset = open_dataset(root)
    assert "train/labels/a.txt" in warning(dataset, "Label files of two images")
    assert "train/labels/orphan.txt" in warning(dataset, "Label files without an image")


def test_augmented_copies_share_a_group(tmp_path: Path) -> None:
    stems = ["7_jpg.rf.0a1b2c", "7_jpg.rf.ffff00", "8_jpg.rf.0a1b2c"]
    root = make_yolo(tmp_path, dict.fromkeys(stems, ""))
    write_image(root / "valid" / "images" / "8_jpg.rf.99.png")
    yaml = "train: train/images\nval: valid/images\nnames: [Healthy, wrist]"
    (root / "data.yaml").write_text(yaml)
    dataset = open_dataset(root)
    groups = {dataset[each].group_id for each in dataset.splits["train"]}
    assert groups == {"7_jpg", "8_jpg"}
    assert "8_jpg (train, val)" in warning(dataset, "Groups in more than one split")
    assert "Healthy" in warning(dataset, "Class that marks healthy images")


@given(st.binary(max_size=200))
def test_any_bytes_are_a_truth_or_a_dataset_error(content: bytes) -> None:
    try:
        findings = parse_label(content, "a.txt", {0: 0, 1: 1})
    except DatasetError:
        return
    kept = keep_usable(findings, 1, 1, IssueLog())
    assert kept is None or len(gt_of(kept, 40, 30, is_normalised=True)) == len(kept)


numbers = st.one_of(
    st.floats(width=32).map(str), st.sampled_from(["0", "1", "0.5", "1e300", "-1e300", "1e-300"])
)


@given(st.lists(st.lists(numbers, min_size=4, max_size=9), max_size=4))
def test_any_numbers_are_a_truth_or_a_dataset_error(lines: list[list[str]]) -> None:
    text = "\n".join(" ".join(["0", *line]) for line in lines)
    try:
        findings = parse_label(text.encode(), "a.txt", {0: 0})
    except DatasetError:
        return
    kept = keep_usable(findings, 1, 1, IssueLog())
    if kept is not None:
        ground_truth = gt_of(kept, 40, 30, is_normalised=True)
        assert (ground_truth.xyxy <= [30, 40, 30, 40]).all()


corners = st.tuples(
    st.integers(0, 200), st.integers(0, 100), st.integers(1, 100), st.integers(1, 50)
).map(lambda each: (each[0], each[1], each[0] + each[2], each[1] + each[3]))


@given(st.lists(st.tuples(corners, st.integers(0, 4)), max_size=6))
def test_written_boxes_are_read_back(boxes_and_labels: list[tuple[tuple[int, ...], int]]) -> None:
    height, width = 150, 300
    lines = []
    for xyxy, label in boxes_and_labels:
        shares = np.array([xyxy]) / [width, height, width, height]
        values = " ".join(f"{value:.6f}" for value in boxes.xyxy_to_cxcywh(shares)[0])
        lines.append(f"{label} {values}")
    content = "\r\n".join(lines).encode()
    findings = keep_usable(
        parse_label(content, "a.txt", {i: i for i in range(5)}),
        1,
        1,
        IssueLog(),
    )
    assert findings is not None
    ground_truth = gt_of(findings, height, width, is_normalised=True)
    assert ground_truth.labels.tolist() == [label for _, label in boxes_and_labels]
    expected = np.array([xyxy for xyxy, _ in boxes_and_labels]).reshape(-1, 4)
    np.testing.assert_allclose(ground_truth.xyxy, expected, atol=1e-3)
