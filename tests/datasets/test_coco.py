"""COCO JSON files: layouts, objects, outlines, and what must not be followed."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fracture_core import masks
from fracture_core.datasets import open_dataset
from fracture_core.errors import DatasetError, ImageError

HEIGHT, WIDTH = 50, 100
CATEGORIES = [{"id": 1, "name": "wrist"}, {"id": 5, "name": "elbow"}]


def write_image(path: Path, *, height: int = HEIGHT, width: int = WIDTH) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((height, width), 7, dtype=np.uint8)).save(path)


def image(number: int, **more: Any) -> dict[str, Any]:
    return {
        "id": number,
        "file_name": f"{number}.png",
        "height": HEIGHT,
        "width": WIDTH,
        **more,
    }


def box(image_id: Any = 1, category_id: Any = 1, bbox: Any = (10, 20, 30, 10), **more: Any) -> Any:
    return {
        "id": 9,
        "image_id": image_id,
        "category_id": category_id,
        "bbox": list(bbox) if isinstance(bbox, tuple) else bbox,
        **more,
    }


def make_coco(root: Path, objects: list[Any], **more: Any) -> Path:
    """Images 1.png and 2.png in `images`, all in one file."""
    for number in (1, 2):
        write_image(root / "images" / f"{number}.png")
    content = {
        "images": [image(1), image(2)],
        "annotations": objects,
        "categories": CATEGORIES,
        **more,
    }
    path = root / "annotations.json"
    path.write_text(json.dumps(content))
    return path


def warning(dataset: Any, start: str) -> str:
    found = [each for each in dataset.warnings if each.startswith(start)]
    assert len(found) == 1, dataset.warnings
    return str(found[0])


def test_boxes_become_corners_and_categories_classes_in_the_order_of_ids(tmp_path: Path) -> None:
    dataset = open_dataset(make_coco(tmp_path, [box(1, 5), box(1, 1, (0, 0, 100, 50))]))
    assert dataset.format == "coco"
    assert dataset.classes == ("wrist", "elbow")
    assert dataset.ids == ("images/1.png", "images/2.png")
    sample = dataset["images/1.png"]
    assert sample.ground_truth is not None
    assert sample.ground_truth.xyxy.tolist() == [[10, 20, 40, 30], [0, 0, 100, 50]]
    assert sample.ground_truth.labels.tolist() == [1, 0]
    assert sample.ground_truth.masks == ()
    assert sample.image_class == 1
    empty = dataset["images/2.png"]
    assert empty.ground_truth is not None
    assert len(empty.ground_truth) == 0
    assert dataset.summary()[""].boxes == {"wrist": 1, "elbow": 1}
    assert dataset.warnings == ()


def test_a_folder_has_a_split_for_each_file(tmp_path: Path) -> None:
    for split in ("train", "val", "test"):
        write_image(tmp_path / split / "1.png")
        path = tmp_path / "annotations" / f"instances_{split}2017.json"
        path.parent.mkdir(exist_ok=True)
        content = {"images": [image(1)], "annotations": [box()], "categories": CATEGORIES}
        path.write_text(json.dumps(content))
    dataset = open_dataset(tmp_path)
    assert dataset.splits == {split: (f"{split}/1.png",) for split in ("train", "val", "test")}
    assert dataset["val/1.png"].split == "val"
    alone = open_dataset(tmp_path / "annotations" / "instances_val2017.json")
    assert alone.splits == {"val": ("val/1.png",)}


def test_a_file_in_the_folder_of_its_split(tmp_path: Path) -> None:
    write_image(tmp_path / "valid" / "1.png")
    path = tmp_path / "valid" / "_annotations.coco.json"
    content = {"images": [image(1)], "annotations": [], "categories": CATEGORIES}
    path.write_text(json.dumps(content))
    assert open_dataset(tmp_path).splits == {"val": ("valid/1.png",)}
    assert open_dataset(path).splits == {"val": ("valid/1.png",)}


def test_a_category_that_heads_others_is_no_class(tmp_path: Path) -> None:
    categories = [
        {"id": 0, "name": "bones", "supercategory": "none"},
        {"id": 1, "name": "wrist", "supercategory": "bones"},
        {"id": 2, "name": "elbow", "supercategory": "bones"},
    ]
    dataset = open_dataset(make_coco(tmp_path, [box()], categories=categories))
    assert dataset.classes == ("wrist", "elbow")
    assert "0 'bones'" in warning(dataset, "Category that only heads others")
    assert "2 'elbow'" in warning(dataset, "Classes without a box")
    used = open_dataset(make_coco(tmp_path, [box(1, 0)], categories=categories))
    assert used.classes == ("bones", "wrist", "elbow")
    alone = [{"id": 0, "name": "bones", "supercategory": "bones"}]
    assert open_dataset(make_coco(tmp_path, [], categories=alone)).classes == ("bones",)


def rectangle_mask() -> Any:
    mask = np.zeros((HEIGHT, WIDTH), dtype=np.bool_)
    mask[20:30, 10:40] = True
    return mask


POLYGON = [[10, 20, 40, 20, 40, 30, 10, 30]]
RUNS = [10 * 50 + 20, *([10, 40] * 29), 10, 60 * 50 + 20]


@pytest.mark.parametrize(
    "segmentation",
    [
        POLYGON,
        {"size": [HEIGHT, WIDTH], "counts": RUNS},
        masks.encode(rectangle_mask()).as_coco(),
    ],
    ids=["polygon", "run lengths", "compressed run lengths"],
)
@pytest.mark.parametrize("bbox", [[10, 20, 30, 10], None], ids=["box", "no box"])
def test_outlines_are_masks(tmp_path: Path, segmentation: Any, bbox: Any) -> None:
    objects = [box(bbox=bbox, segmentation=segmentation)]
    ground_truth = open_dataset(make_coco(tmp_path, objects))["images/1.png"].ground_truth
    assert ground_truth is not None
    assert (masks.decode(ground_truth.masks[0]) == rectangle_mask()).all()
    assert ground_truth.xyxy.tolist() == [[10, 20, 40, 30]]


@pytest.mark.parametrize("seed", range(5))
def test_compressed_run_lengths_of_any_mask_are_read(tmp_path: Path, seed: int) -> None:
    mask = np.random.default_rng(seed).random((HEIGHT, WIDTH)) < [0.01, 0.3, 0.5, 0.9, 1][seed]
    objects = [box(segmentation=masks.encode(mask).as_coco())]
    ground_truth = open_dataset(make_coco(tmp_path, objects))["images/1.png"].ground_truth
    assert ground_truth is not None
    assert (masks.decode(ground_truth.masks[0]) == mask).all()


@pytest.mark.parametrize(
    "segmentation",
    [
        [[1, 2, 3]],
        [[1, 2, 3, 4, 5, "6"]],
        [[1, 2, 3, 4, 5, float("nan")]],
        [[1, 2, 3, 4, 5, 10**400]],
        "text",
        {"size": [HEIGHT, WIDTH], "counts": [1, 2]},
        {"size": [HEIGHT, WIDTH], "counts": [-1, HEIGHT * WIDTH + 1]},
        {"size": [10**9, 10**9], "counts": [10**18]},
        {"size": [HEIGHT, WIDTH], "counts": "zzzzzzzzzzzzzzzzzzzzzzzzzzzz"},
        {"size": [HEIGHT, WIDTH], "counts": "\x01"},
        {"size": [HEIGHT, WIDTH], "counts": None},
    ],
)
def test_an_outline_that_makes_no_sense_leaves_the_truth_unknown(
    tmp_path: Path, segmentation: Any
) -> None:
    dataset = open_dataset(make_coco(tmp_path, [box(segmentation=segmentation)]))
    assert dataset["images/1.png"].ground_truth is None
    said = warning(dataset, "Annotations that cannot be read")
    assert "annotations.json annotation 9: expected a segmentation" in said


@pytest.mark.parametrize(
    "broken",
    [
        {"bbox": [1, 2, 3]},
        {"bbox": [1, 2, 3, "4"]},
        {"bbox": None},
        {"bbox": [1, 2, 3, 10**400]},
        {"bbox": {"x": 1}},
        {"category_id": 2},
        {"category_id": "wrist"},
        {"category_id": None},
        {"category_id": [1]},
    ],
)
def test_an_object_that_makes_no_sense_leaves_the_truth_unknown(
    tmp_path: Path, broken: dict[str, Any]
) -> None:
    dataset = open_dataset(make_coco(tmp_path, [box(), {**box(), **broken}]))
    assert dataset["images/1.png"].ground_truth is None
    assert dataset["images/2.png"].ground_truth is not None
    said = warning(dataset, "Annotations that cannot be read")
    assert "annotations.json annotation 9: expected" in said


@pytest.mark.parametrize(
    "bbox",
    [
        [10, 10, -5, 5],
        [10, 10, 0, 5],
        [float("nan"), 0, 5, 5],
        [0, 0, float("inf"), 5],
        [200, 0, 5, 5],
    ],
)
def test_an_impossible_box_is_left_out_and_said(tmp_path: Path, bbox: list[float]) -> None:
    dataset = open_dataset(make_coco(tmp_path, [box(bbox=bbox), box(2, bbox=bbox), box(2)]))
    assert dataset["images/1.png"].ground_truth is None
    ground_truth = dataset["images/2.png"].ground_truth
    assert ground_truth is not None
    assert ground_truth.xyxy.tolist() == [[10, 20, 40, 30]]
    assert ": 2 (annotations.json annotation 9, found x" in warning(dataset, "Boxes left out")


def test_a_box_partly_outside_is_cut(tmp_path: Path) -> None:
    dataset = open_dataset(make_coco(tmp_path, [box(bbox=(-5, 40, 20, 20))]))
    ground_truth = dataset["images/1.png"].ground_truth
    assert ground_truth is not None
    assert ground_truth.xyxy.tolist() == [[0, 40, 15, 50]]
    assert warning(dataset, "Boxes cut at the edge")


def test_crowds_are_no_truths(tmp_path: Path) -> None:
    objects = [box(iscrowd=1), box(2, iscrowd=1), box(2)]
    dataset = open_dataset(make_coco(tmp_path, objects))
    # Where there is only a crowd there is something: the image is not free of findings.
    assert dataset["images/1.png"].ground_truth is None
    assert dataset.summary()[""].boxes["wrist"] == 1
    assert ": 2 (" in warning(dataset, "Crowd regions")


def test_what_does_not_fit_together_is_said(tmp_path: Path) -> None:
    images = [image(1), image(2), image(3), {**image(4), "file_name": "1.png"}]
    objects = [box(1), box(4), box(77), box("x")]
    dataset = open_dataset(make_coco(tmp_path, objects, images=images))
    assert dataset.ids == ("images/1.png", "images/2.png")
    assert "'3.png'" in warning(dataset, "Images listed but absent")
    assert "'1.png'" in warning(dataset, "File names listed twice")
    assert ": 2 (" in warning(dataset, "Annotations of images the file does not list")
    ground_truth = dataset["images/1.png"].ground_truth
    assert ground_truth is not None
    assert len(ground_truth) == 2


def test_no_annotations_at_all_is_unknown(tmp_path: Path) -> None:
    path = make_coco(tmp_path, [])
    content = json.loads(path.read_text())
    del content["annotations"]
    path.write_text(json.dumps(content))
    dataset = open_dataset(path)
    assert dataset.summary()[""].unknown == 2
    assert warning(dataset, "Files without 'annotations'")


def test_sizes_are_read_where_the_file_has_none(tmp_path: Path) -> None:
    images = [{"id": 1, "file_name": "1.png"}]
    dataset = open_dataset(make_coco(tmp_path, [box(bbox=(90, 0, 30, 10))], images=images))
    ground_truth = dataset["images/1.png"].ground_truth
    assert ground_truth is not None
    assert ground_truth.xyxy.tolist() == [[90, 0, 100, 10]]


def test_a_image_of_another_size_is_refused_when_it_is_asked_for(tmp_path: Path) -> None:
    path = make_coco(tmp_path, [box()], images=[{**image(1), "width": 640}])
    dataset = open_dataset(path)
    with pytest.raises(DatasetError, match=r"images/1\.png: expected 640 × 50.*found 100 × 50"):
        dataset["images/1.png"]


def test_a_broken_image_is_an_error_of_its_own(tmp_path: Path) -> None:
    path = make_coco(tmp_path, [box()])
    (tmp_path / "images" / "1.png").write_bytes(b"no picture")
    with pytest.raises(ImageError, match=r"images/1\.png"):
        open_dataset(path)["images/1.png"]


def test_a_broken_image_without_a_size_is_left_out_and_said(tmp_path: Path) -> None:
    images = [{"id": number, "file_name": f"{number}.png"} for number in (1, 2)]
    path = make_coco(tmp_path, [box()], images=images)
    (tmp_path / "images" / "2.png").write_bytes(b"no picture")
    dataset = open_dataset(path)
    assert dataset.ids == ("images/1.png",)
    assert any("Images that cannot be read, left out: 1" in each for each in dataset.warnings)


def test_patients_are_groups(tmp_path: Path) -> None:
    images = [image(1, patient_id=12), image(2, patient_id=12)]
    dataset = open_dataset(make_coco(tmp_path, [], images=images))
    assert {dataset[each].group_id for each in dataset} == {"12"}


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", "C:\\x.png", "a\\..\\..\\x.png", "", "a\0b.png"]
)
def test_names_that_lead_out_are_refused(tmp_path: Path, name: str) -> None:
    path = make_coco(tmp_path, [], images=[{**image(1), "file_name": name}])
    with pytest.raises(DatasetError, match=r"annotations\.json: expected names of files inside"):
        open_dataset(path)


def test_links_that_lead_out_are_refused(tmp_path: Path) -> None:
    write_image(tmp_path / "secret.png")
    path = make_coco(tmp_path / "set", [])
    (tmp_path / "set" / "images" / "1.png").unlink()
    (tmp_path / "set" / "images" / "1.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(DatasetError, match="leads out"):
        open_dataset(path)


@pytest.mark.parametrize(
    ("more", "expected", "found"),
    [
        ({"images": None}, "a list 'images'", "null"),
        ({"images": [5]}, "an object as images[0]", "number"),
        ({"images": [{"id": 1}]}, "'file_name'", "'id': 1"),
        ({"images": [image(1), image(1)]}, "an 'id' of their own", "1.png"),
        ({"images": [{**image(1), "height": -1}]}, "'height' and 'width'", "-1"),
        ({"images": [{**image(1), "height": 10**9, "width": 10**9}]}, "at most", "1000000000"),
        ({"images": [image(8)]}, "the images it lists", "none of them"),
        ({"annotations": {}}, "a list 'annotations'", "object"),
        ({"categories": []}, "at least one category", "none"),
        ({"categories": [{"id": 1}]}, "a 'name'", "'id': 1"),
        (
            {"categories": [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]},
            "number of their own",
            "b",
        ),
    ],
)
def test_a_file_that_makes_no_sense_is_refused(
    tmp_path: Path, more: dict[str, Any], expected: str, found: str
) -> None:
    path = make_coco(tmp_path, [], **more)
    with pytest.raises(DatasetError) as caught:
        open_dataset(path)
    assert str(caught.value).startswith("annotations.json: expected ")
    assert expected in caught.value.expected
    assert found in caught.value.found


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[" * 100_000, b"\xff\xfe", b'{"a": 1' + b"0" * 5000 + b"}"]
)
def test_broken_json_is_refused(tmp_path: Path, content: bytes) -> None:
    path = make_coco(tmp_path, [])
    path.write_bytes(content)
    for opened in (path, tmp_path):
        with pytest.raises(DatasetError, match=r"annotations\.json: expected a COCO JSON file"):
            open_dataset(opened)


def test_results_are_no_data_set(tmp_path: Path) -> None:
    path = make_coco(tmp_path, [])
    path.write_text(json.dumps([box()]))
    with pytest.raises(DatasetError, match="found a JSON list"):
        open_dataset(path)


def test_files_that_disagree_on_classes_are_refused(tmp_path: Path) -> None:
    for split, name in (("train", "wrist"), ("val", "elbow")):
        write_image(tmp_path / split / "1.png")
        content = {
            "images": [image(1)],
            "annotations": [],
            "categories": [{"id": 1, "name": name}],
        }
        (tmp_path / f"{split}.json").write_text(json.dumps(content))
    with pytest.raises(DatasetError, match=r"val\.json: expected category 1 to be 'wrist'"):
        open_dataset(tmp_path)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
KEYS = ["id", "image_id", "category_id", "bbox", "segmentation", "file_name", "width", "name"]


@given(
    part=st.sampled_from(["images", "annotations", "categories"]),
    key=st.sampled_from(KEYS),
    value=json_values,
)
def test_any_value_anywhere_is_a_data_set_or_a_dataset_error(
    tmp_path_factory: pytest.TempPathFactory, part: str, key: str, value: Any
) -> None:
    content = {"images": [image(1)], "annotations": [box()], "categories": CATEGORIES}
    content[part] = [{**content[part][0], key: value}, *content[part][1:]]
    path = make_coco(tmp_path_factory.mktemp("any"), [], **content)
    try:
        dataset = open_dataset(path)
        samples = [dataset[each] for each in dataset]
    except DatasetError:
        return
    assert [sample.sample_id for sample in samples] == list(dataset.ids)
    json.dumps(dataset.warnings).encode()
    "".join((*dataset.warnings, *dataset.classes, dataset.found)).encode()


def test_a_image_of_another_size_matters_only_where_something_is_there(tmp_path: Path) -> None:
    dataset = open_dataset(make_coco(tmp_path, [box(image_id=1)]))
    for number in (1, 2):
        write_image(tmp_path / "images" / f"{number}.png", height=WIDTH, width=HEIGHT)
    with pytest.raises(
        DatasetError, match="100 × 50 pixels, as its annotation says, found 50 × 100"
    ):
        dataset["images/1.png"]
    empty = dataset["images/2.png"]
    assert (empty.height, empty.width) == (WIDTH, HEIGHT)
    assert empty.ground_truth is not None
    assert len(empty.ground_truth) == 0
