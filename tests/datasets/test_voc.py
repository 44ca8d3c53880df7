"""Pascal VOC: where things lie, boxes counted from 1, and files that are not to be trusted."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fracture_core.conversion import Options, convert
from fracture_core.datasets import Dataset, open_dataset
from fracture_core.datasets.voc_xml import MAX_BYTES, parse_voc
from fracture_core.errors import DatasetError
from fracture_core.health.checking import check_health
from fracture_core.health.report import Limits

HEIGHT, WIDTH = 50, 100


def box(name: str, corners: str, more: str = "") -> str:
    keys = ("xmin", "ymin", "xmax", "ymax")
    pairs = zip(keys, corners.split(), strict=True)
    inside = "".join(f"<{key}>{value}</{key}>" for key, value in pairs)
    return f"<object><name>{name}</name>{more}<bndbox>{inside}</bndbox></object>"


def xml(objects: str = "", *, name: str = "a.png", size: tuple[int, int] = (WIDTH, HEIGHT)) -> str:
    told = f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>1</depth></size>"
    return f"<annotation><filename>{name}</filename>{told}{objects}</annotation>"


def make_voc(root: Path, files: dict[str, str | None], lists: dict[str, str] | None = None) -> Path:
    """An image a stem; an annotation of None is a file that is not there."""
    for kind in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (root / kind).mkdir(parents=True)
    for stem, text in files.items():
        pixels = np.full((HEIGHT, WIDTH), 7, dtype=np.uint8)
        Image.fromarray(pixels).save(root / "JPEGImages" / f"{stem}.png")
        if text is not None:
            (root / "Annotations" / f"{stem}.xml").write_text(text, encoding="utf-8")
    for name, text in (lists or {}).items():
        (root / "ImageSets" / "Main" / f"{name}.txt").write_text(text)
    return root


def warning(dataset: Dataset, start: str) -> str:
    [found] = [each for each in dataset.warnings if each.startswith(start)]
    return found


def test_boxes_are_counted_from_one_and_hold_their_last_pixels(tmp_path: Path) -> None:
    whole = box("wrist", f"1 1 {WIDTH} {HEIGHT}")
    one_pixel = box("elbow", "11 21 11 21")
    sample = open_dataset(make_voc(tmp_path, {"a": xml(whole + one_pixel)}))["JPEGImages/a.png"]
    assert sample.ground_truth is not None
    assert sample.ground_truth.xyxy.tolist() == [[0, 0, WIDTH, HEIGHT], [10, 20, 11, 21]]
    # Classes are in the order of the alphabet, the class of the image that of its first object.
    assert sample.ground_truth.labels.tolist() == [1, 0]
    assert (sample.image_class, sample.group_id, sample.split) == (1, "a", "")


def test_no_file_is_unknown_and_no_object_is_empty(tmp_path: Path) -> None:
    files = {"a": xml(box("wrist", "1 1 9 9")), "b": xml(name="b.png"), "c": None}
    dataset = open_dataset(make_voc(tmp_path, files))
    assert len(dataset["JPEGImages/a.png"].ground_truth or ()) == 1
    empty = dataset["JPEGImages/b.png"].ground_truth
    assert empty is not None
    assert len(empty) == 0
    assert dataset["JPEGImages/c.png"].ground_truth is None
    assert "(JPEGImages/c.png)" in warning(dataset, "Images without a label file")
    assert dataset.found == (
        "Pascal VOC (Annotations and JPEGImages): 3 images, 1 class, 1 finding."
    )


def test_splits_are_those_of_the_lists_but_not_of_lists_by_class(tmp_path: Path) -> None:
    files = {stem: xml(box("wrist", "1 1 9 9"), name=f"{stem}.png") for stem in "abcd"}
    lists = {
        "train": "a\n",
        "val": "b\r\na\n",
        "test": "c\ngone\n",
        "trainval": "a\nb\nd\n",
        "wrist_train": "a  1\nd -1\n",
    }
    dataset = open_dataset(make_voc(tmp_path, files, lists))
    assert {split: [Path(each).stem for each in ids] for split, ids in dataset.splits.items()} == {
        "train": ["a"],
        "val": ["b"],
        "test": ["c"],
        "": ["d"],
    }
    assert "('gone')" in warning(dataset, "Images listed but absent, left out")
    assert "JPEGImages/a.png" in warning(dataset, "Images in two splits, kept in the first")
    faults = {each.check for each in check_health(dataset, Limits()).faults}
    assert "listed-twice" in faults


def test_trainval_is_train_where_nothing_tells_the_two_apart(tmp_path: Path) -> None:
    files = {stem: xml(box("wrist", "1 1 9 9")) for stem in "ab"}
    dataset = open_dataset(make_voc(tmp_path, files, {"trainval": "a\n", "test": "b\n"}))
    assert list(dataset.splits) == ["train", "test"]


def test_difficult_objects_stay_and_are_told(tmp_path: Path) -> None:
    objects = box("wrist", "1 1 9 9", "<difficult>1</difficult>")
    dataset = open_dataset(make_voc(tmp_path, {"a": xml(objects)}))
    assert len(dataset["JPEGImages/a.png"].ground_truth or ()) == 1
    told = warning(dataset, "Objects marked difficult, kept as findings")
    assert "Annotations/a.xml object 1" in told


def test_wrong_sizes_and_boxes_outside_are_told_as_of_any_format(tmp_path: Path) -> None:
    files = {
        "cut": xml(box("wrist", "90 10 120 20")),
        "outside": xml(box("wrist", "200 10 300 20")),
        "flat": xml(box("wrist", "20 10 10 20") + box("wrist", "1 1 9 9")),
        "other": xml(box("wrist", "1 1 9 9"), size=(WIDTH * 2, HEIGHT)),
        "untold": xml(box("wrist", "1 1 9 9"), size=(0, 0)),
    }
    dataset = open_dataset(make_voc(tmp_path, files))
    assert "x 89 to 120" in warning(dataset, "Boxes cut at the edge of their image")
    assert "outside.xml object 1" in warning(dataset, "Boxes left out, expected inside the image")
    assert "flat.xml object 1" in warning(dataset, "Boxes left out, expected a width and height")
    assert dataset["JPEGImages/outside.png"].ground_truth is None
    assert len(dataset["JPEGImages/flat.png"].ground_truth or ()) == 1
    assert len(dataset["JPEGImages/untold.png"].ground_truth or ()) == 1
    with pytest.raises(DatasetError, match="expected 200 × 50 pixels, as its annotation says"):
        dataset["JPEGImages/other.png"]


def test_an_annotation_of_another_name_belongs_to_the_image_it_names(tmp_path: Path) -> None:
    root = make_voc(tmp_path, {"a": None, "b": xml(box("wrist", "1 1 9 9"))})
    (root / "Annotations" / "0001.xml").write_text(xml(box("wrist", "1 1 5 5"), name="a.png"))
    (root / "Annotations" / "0002.xml").write_text(xml(name="../../etc/passwd.png"))
    dataset = open_dataset(root)
    assert len(dataset["JPEGImages/a.png"].ground_truth or ()) == 1
    assert "(Annotations/0002.xml)" in warning(dataset, "Label files without an image")


BOMB = """<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "bbbbbbbbbb">
<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]>
<annotation><object><name>&c;</name></object></annotation>"""
FILE = """<!DOCTYPE a [<!ENTITY f SYSTEM "file:///etc/passwd">]>
<annotation><object><name>&f;</name></object></annotation>"""


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (BOMB, "without declarations of its own, found a DOCTYPE"),
        (FILE, "without declarations of its own, found a DOCTYPE"),
        (BOMB.encode("utf-16"), "without declarations of its own, found a DOCTYPE"),
        ("<annotation>" + "<a>" * 100_000, "found nested elements"),
        ("<annotation>", "expected XML, found no element found"),
        ('<?xml version="1.0" encoding="klingon"?><annotation/>', "expected XML"),
        ("<annotation><object><name>&who;</name></object></annotation>", "undefined entity"),
        ("<svg/>", "expected an <annotation>, found <svg>"),
        (xml("<object><name>x</name></object>"), "object 1: expected a <bndbox>, found none"),
        (xml(box("", "1 1 2 2")), "object 1: expected a <name>, found none"),
        (xml(box("x", "1 1 2 two")), "expected a number as <ymax>, found 'two'"),
        (xml(size=(-3, 5)), "a width and height of at most"),
        (xml(size=(10**9, 10**9)), "a width and height of at most"),
        (b"\xff\xfe\x00", "expected XML"),
    ],
)
def test_what_is_no_annotation_is_one_sentence(content: str | bytes, sentence: str) -> None:
    data = content if isinstance(content, bytes) else content.encode()
    with pytest.raises(DatasetError) as refused:
        parse_voc(data, "a.xml")
    assert sentence in str(refused.value)


def test_a_file_that_cannot_be_read_leaves_its_image_unknown(tmp_path: Path) -> None:
    files = {"a": BOMB, "b": xml(box("wrist", "1 1 9 9")), "c": " " * (MAX_BYTES + 1)}
    dataset = open_dataset(make_voc(tmp_path, files))
    assert dataset["JPEGImages/a.png"].ground_truth is None
    assert dataset["JPEGImages/c.png"].ground_truth is None
    told = warning(
        dataset, "Label files that cannot be read, ground truth of their images unknown: 2"
    )
    assert "found a DOCTYPE" in told
    assert "at most 4,194,304 bytes" in told


def test_the_folder_of_annotations_may_be_named(tmp_path: Path) -> None:
    root = make_voc(tmp_path / "set", {"a": xml(box("wrist", "1 1 9 9"))})
    dataset = open_dataset(root / "Annotations")
    assert (dataset.format, dataset.name, dataset.ids) == ("voc", "set", ("JPEGImages/a.png",))
    (root / "data.yaml").write_text("train: JPEGImages\nnames: [wrist]\n")
    beside = open_dataset(root)
    assert beside.format == "yolo"
    assert beside.found.endswith("Pascal VOC files lie beside it; open Annotations for them.")


def test_a_written_box_is_what_the_development_kit_says(tmp_path: Path) -> None:
    root = make_voc(tmp_path / "set", {"a": xml(box("wrist", "11 21 30 40.5"))})
    convert(root, tmp_path / "copy", Options(to="voc"))
    text = (tmp_path / "copy" / "Annotations" / "a.xml").read_text()
    told = parse_voc(text.encode(), "a.xml")
    assert told.objects[0].xyxy.tolist() == [10, 20, 30, 40.5]
    assert "<xmin>11</xmin>" in text
    assert "<ymax>40.5</ymax>" in text
    assert told.size == (HEIGHT, WIDTH)


def test_a_class_that_xml_cannot_hold_is_refused(tmp_path: Path) -> None:
    labels = tmp_path / "set" / "labels"
    labels.mkdir(parents=True)
    (tmp_path / "set" / "images").mkdir()
    Image.new("L", (8, 8)).save(tmp_path / "set" / "images" / "a.png")
    (labels / "a.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    (tmp_path / "set" / "data.yaml").write_text('train: images\nnames: [" wrist"]\n')
    with pytest.raises(DatasetError, match="names that Pascal VOC can hold, found ' wrist'"):
        convert(tmp_path / "set", tmp_path / "copy", Options(to="voc"))
