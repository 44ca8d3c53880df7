"""Tables of attributes beside data sets: which image a row is of, what it says, what is wrong."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fracture_core.datasets import Dataset, open_dataset
from fracture_core.datasets.attributes import MOST_VALUES
from fracture_core.datasets.recognition import tell, told_file, told_of
from fracture_core.errors import ConfigError
from tests.datasets.test_coco import box, image, make_coco
from tests.datasets.test_hdf5 import arrays, write
from tests.datasets.test_yolo import make_yolo, warning

FRACATLAS = "image_id,hand,leg,hip,shoulder,mixed,hardware,frontal,lateral,oblique\n"


def coco(root: Path, text: str, name: str = "views.csv") -> Dataset:
    """Images 1.png and 2.png, and a table."""
    make_coco(root, [box()])
    (root / name).write_text(text)
    return open_dataset(root)


def test_columns_of_0_and_1_become_body_part_and_view(tmp_path: Path) -> None:
    rows = "1.png,1,0,0,0,0,1,1,1,0\n2.png,1,0,0,1,1,0,0,0,1\n"
    dataset = coco(tmp_path, FRACATLAS + rows)
    assert dataset["images/1.png"].attributes == {
        "body part": "hand",
        "view": "frontal, lateral",
        "hardware": "yes",
    }
    assert dataset["images/2.png"].attributes["body part"] == "hand, shoulder"
    assert dataset.attributes["images/2.png"] == dataset["images/2.png"].attributes
    assert dataset.found.endswith("views.csv tells body part, view, hardware of 2 images.")
    assert not [each for each in dataset.warnings if "Classes without" not in each]


def test_several_body_parts_not_marked_as_mixed_are_told_and_left_out(tmp_path: Path) -> None:
    rows = "1.png,1,0,0,1,0,0,1,0,0\n2.png,0,1,0,0,0,0,1,0,0\n"
    dataset = coco(tmp_path, FRACATLAS + rows)
    assert "body part" not in dataset["images/1.png"].attributes
    assert dataset["images/2.png"].attributes["body part"] == "leg"
    assert warning(dataset, "Images with several body parts").endswith(
        "not told: 1 (views.csv, '1.png': hand, shoulder)."
    )


@pytest.mark.parametrize("name", ["images/1.png", "1.png", "1"])
def test_a_row_names_its_image_by_id_file_or_stem(tmp_path: Path, name: str) -> None:
    dataset = coco(tmp_path, f"Age_Group;file\nchild;{name}\nadult;2\n", "attributes.csv")
    assert dataset["images/1.png"].attributes == {"age group": "child"}


def test_the_file_of_a_split_finds_the_table_of_its_data_set(tmp_path: Path) -> None:
    coco(tmp_path, "file,body_part\n1.png,LWRIST\n")
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations.json").rename(tmp_path / "annotations" / "train.json")
    dataset = open_dataset(tmp_path / "annotations" / "train.json")
    assert dataset["images/1.png"].attributes == {"body part": "wrist"}


def test_yolo_and_hdf5_are_joined_too_there_by_study(tmp_path: Path) -> None:
    root = make_yolo(tmp_path / "yolo", {"a": "", "b": ""})
    (root / "attributes.csv").write_text("name,metal\na.png,1\nb.png,0\n")
    metal = [open_dataset(root)[f"train/images/{name}.png"].attributes for name in "ab"]
    assert metal == [{"metal": "yes"}, {"metal": "no"}]
    (tmp_path / "ct").mkdir()
    path = write(tmp_path / "ct" / "rsna.h5", arrays())
    (tmp_path / "ct" / "attributes.csv").write_text("study,count,sex\n1.2.1,10,F\n1.2.2,11,M\n")
    slices = open_dataset(path)
    assert [slices[each].attributes.get("sex") for each in slices] == ["f", "f", "m", *[None] * 3]


def test_of_two_tables_the_first_goes_before(tmp_path: Path) -> None:
    coco(tmp_path, "file,hardware\n1.png,0\n2.png,0\n")
    (tmp_path / "attributes.csv").write_text("file,hardware\n1.png,1\n")
    dataset = open_dataset(tmp_path)
    hardware = [dataset[f"images/{k}.png"].attributes["hardware"] for k in (1, 2)]
    assert hardware == ["yes", "no"]


def test_what_a_cell_does_not_tell_is_left_out(tmp_path: Path) -> None:
    dataset = coco(tmp_path, "file,sex,hardware\n1.png,nan,\n2.png,M,1\n")
    assert not dataset["images/1.png"].attributes
    assert dataset["images/2.png"].attributes == {"sex": "m", "hardware": "yes"}


def test_a_table_without_any_image_is_one_sentence(tmp_path: Path) -> None:
    dataset = coco(tmp_path, "file,sex\nx.png,m\ny.png,f\n")
    assert not any(dataset.attributes.values())
    assert warning(dataset, "Tables of attributes left out") == (
        "Tables of attributes left out: 1 (views.csv: expected a column that names images of the "
        "data set, such as 'images/1.png', found none among file, sex)."
    )


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "expected a CSV file with a heading, found nothing in it"),
        (b"\xff\xfe\x00file", "found no text in UTF-8 with columns"),
        (b'file,"sex\n1.png,m', "found no text in UTF-8 with columns"),
        (b"file,sex,sex\n1.png,m,f\n", "expected a heading of two or more columns, each with"),
        (b"file\n1.png\n", "found 'file'"),
    ],
)
def test_what_is_no_table_is_one_sentence(tmp_path: Path, content: bytes, found: str) -> None:
    make_coco(tmp_path, [box()])
    (tmp_path / "views.csv").write_bytes(content)
    assert found in warning(open_dataset(tmp_path), "Tables of attributes left out: 1 (views.csv")


def test_a_table_elsewhere_is_not_followed(tmp_path: Path) -> None:
    write(tmp_path / "rsna.h5", arrays())
    outside = tmp_path.parent / f"{tmp_path.name}.csv"
    outside.write_text("study,sex\n1.2.1,f\n")
    (tmp_path / "views.csv").symlink_to(outside)
    dataset = open_dataset(tmp_path)
    assert "found a link that leads out" in warning(dataset, "Tables of attributes left out")
    assert not any("sex" in told for told in dataset.attributes.values())


def test_rows_that_contradict_or_do_not_fit_are_told(tmp_path: Path) -> None:
    rows = "1.png,m\n1.png,f\n2.png,m\n2.png,m\n2.png,m,7\n"
    dataset = coco(tmp_path, f"file,sex\n{rows}")
    assert dataset["images/1.png"].attributes == {"sex": "m"}
    contradiction = warning(dataset, "Rows of a table that contradict an earlier one")
    assert contradiction.endswith("the earlier one kept: 1 (views.csv, '1.png').")
    assert "views.csv row 6, 3 of 2 cells" in warning(dataset, "Rows of a table that are no row")


def test_a_table_counts_before_the_annotation_and_contradictions_are_told(tmp_path: Path) -> None:
    images = [image(1, view="lateral", body_part="wrist"), image(2, view="PA")]
    make_coco(tmp_path, [box()], images=images)
    (tmp_path / "views.csv").write_text("file,view,body part\n1.png,AP,hand\n")
    dataset = open_dataset(tmp_path)
    # Of a region and its part the finer one is right.
    assert dataset["images/1.png"].attributes == {"view": "frontal", "body part": "wrist"}
    assert dataset["images/2.png"].attributes == {"view": "frontal"}
    assert warning(dataset, "Images whose annotation and table").endswith(
        "contradict each other: 1 (images/1.png, View: the annotation says lateral, the table "
        "says frontal. What the table says counts)."
    )


def test_images_without_a_row_are_told(tmp_path: Path) -> None:
    dataset = coco(tmp_path, "file,sex\n1.png,m\n")
    assert warning(dataset, "Images that no row") == (
        "Images that no row of a table names: 1 (images/2.png)."
    )


def test_a_file_name_of_two_images_names_neither(tmp_path: Path) -> None:
    root = make_yolo(tmp_path, {"a": ""}, yaml="train: train/images\nval: val/images\nnames: [w]\n")
    make_yolo(tmp_path / "more", {"a": ""})
    (tmp_path / "more" / "train").rename(tmp_path / "val")
    (root / "attributes.csv").write_text("name,sex\na.png,m\n")
    dataset = open_dataset(root)
    assert warning(dataset, "Rows of a table with a file name of several images")


def test_an_attribute_of_500_values_is_kept_and_told(tmp_path: Path) -> None:
    root = make_yolo(tmp_path, {str(k): "" for k in range(500)})
    lines = [f"{k}.png,patient {k},{k % 2}" for k in range(500)]
    (root / "attributes.csv").write_text("\n".join(["name,patient,hardware", *lines]))
    dataset = open_dataset(root)
    assert dataset["train/images/7.png"].attributes["patient"] == "patient 7"
    assert warning(dataset, "Attributes with more than") == (
        f"Attributes with more than {MOST_VALUES} values, kept but no subgroups: 1 "
        "('patient' with 500)."
    )


@settings(deadline=None)
@given(st.binary(max_size=200) | st.text(alphabet='1.png,";\n0\t', max_size=80).map(str.encode))
def test_no_table_keeps_a_data_set_from_opening(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    root = tmp_path_factory.getbasetemp() / "any"
    if not root.is_dir():
        make_coco(root, [box()])
    (root / "views.csv").write_bytes(content)
    dataset = open_dataset(root)
    assert set(dataset.attributes) <= set(dataset.ids)


def test_fracatlas(shared_data: Path) -> None:
    dataset = open_dataset(shared_data / "fracatlas")
    told = [dataset.attributes[each].get("body part") for each in dataset]
    counts = {part: told.count(part) for part in ("hand", "leg", "hip", "shoulder")}
    # Counted in views.csv with a spreadsheet's rules: one body part, not mixed.
    assert counts == {"hand": 797, "leg": 1160, "hip": 88, "shoulder": 54}
    assert sum("," in part for part in told if part) == 256
    assert not [each for each in dataset.warnings if "table" in each]


class TestToldOfTheWholeSet:
    def test_it_counts_for_images_whose_table_does_not_say_it(self, tmp_path: Path) -> None:
        dataset = coco(tmp_path, "file,modality,body part\n1.png,CT,\n2.png,,hand\n")
        tell(dataset.path, {"Modality": "dx"})
        told = open_dataset(tmp_path)
        assert told["images/1.png"].attributes == {"modality": "CT"}
        assert told["images/2.png"].attributes == {"modality": "DX", "body part": "hand"}
        assert told.found.endswith("You told of it: modality DX.")

    def test_it_is_forgotten_and_other_sets_are_not(self, tmp_path: Path) -> None:
        first, second = (coco(tmp_path / name, "file,view\n1.png,AP\n") for name in "ab")
        tell(first.path, {"modality": "DX"})
        tell(second.path, {"modality": "CT"})
        tell(first.path, {})
        assert told_of(first.path) == {}
        assert told_of(second.path) == {"modality": "CT"}

    def test_a_file_of_nonsense_is_one_sentence(self, tmp_path: Path) -> None:
        told_file().parent.mkdir(parents=True, exist_ok=True)
        told_file().write_text('{"version": 1, "tell": 3}')
        with pytest.raises(ConfigError, match=r"data_sets.json: expected what was told of data"):
            coco(tmp_path, "file,view\n1.png,AP\n")
