"""The RSNA HDF5 file: both box conventions, bad shapes and types, and hostile files."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from fracture_core.datasets import open_dataset
from fracture_core.datasets.hdf5 import Slice, write_rsna
from fracture_core.datasets.rsna import NO_CHECKSUMS
from fracture_core.errors import DatasetError

ROWS, SIDE, SLOTS = 6, 64, 3
XYXY = {1: [(40, 30, 60, 44)], 3: [(5, 6, 17, 28), (30, 30, 50, 60)]}


def arrays(convention: str = "xywh") -> dict[str, Any]:
    fill = -1.0 if convention == "xywh" else 0.0
    bboxes = np.full((ROWS, SLOTS, 4), fill, dtype=np.float32)
    labels = np.zeros(ROWS, dtype=np.int8)
    for row, listed in XYXY.items():
        labels[row] = 1
        for slot, (x1, y1, x2, y2) in enumerate(listed):
            xywh = (x1, y1, x2 - x1, y2 - y1)
            bboxes[row, slot] = xywh if convention == "xywh" else (x1, y1, x2, y2)
    rng = np.random.default_rng(0)
    return {
        "images": rng.random((ROWS, SIDE, SIDE)).astype(np.float32),
        "bboxes": bboxes,
        "labels": labels,
        "split": np.array([0, 0, 0, 1, 1, 2], dtype=np.int8),
        "StudyInstanceUID": ["1.2.1", "1.2.1", "1.2.2", "1.2.3", "1.2.3", "1.2.4"],
        "SliceNumber": ["10", "11", "10", "1", "2", "1"],
    }


def write(path: Path, content: dict[str, Any]) -> Path:
    with h5py.File(path, "w") as file:
        for key, value in content.items():
            if isinstance(value, list):
                file.create_dataset(key, data=value, dtype=h5py.string_dtype())
            else:
                file[key] = value
    return path


def with_boxes(content: dict[str, Any], row: int, *listed: tuple[float, ...]) -> dict[str, Any]:
    bboxes = content["bboxes"].copy()
    bboxes[row, : len(listed)] = listed
    return {**content, "bboxes": bboxes}


@pytest.mark.parametrize("convention", ["xywh", "xyxy"])
def test_both_conventions_give_the_same_truths(tmp_path: Path, convention: str) -> None:
    dataset = open_dataset(write(tmp_path / "r.h5", arrays(convention)))
    assert dataset.format == "hdf5"
    assert dataset.classes == ("fracture",)
    assert dataset.ids == ("1.2.1/10", "1.2.1/11", "1.2.2/10", "1.2.3/1", "1.2.3/2", "1.2.4/1")
    for row, sample_id in enumerate(dataset.ids):
        ground_truth = dataset[sample_id].ground_truth
        assert ground_truth is not None
        assert ground_truth.xyxy.tolist() == [list(map(float, each)) for each in XYXY.get(row, [])]
    words = {"xywh": "width, height with unused rows of −1", "xyxy": "x2, y2 with unused rows of 0"}
    assert words[convention] in dataset.found
    assert dataset.warnings == ()


def test_splits_groups_and_pixels(tmp_path: Path) -> None:
    content = arrays()
    dataset = open_dataset(write(tmp_path / "r.h5", content))
    assert {split: len(ids) for split, ids in dataset.splits.items()} == {
        "train": 3,
        "val": 2,
        "test": 1,
    }
    counts = dataset.summary()["val"]
    assert (counts.images, counts.with_findings, counts.empty) == (2, 1, 1)
    assert counts.boxes == {"fracture": 2}
    sample = dataset["1.2.3/1"]
    assert (sample.group_id, sample.split, sample.image_class) == ("1.2.3", "val", 0)
    assert dataset["1.2.3/2"].image_class is None
    assert sample.pixels.dtype == np.uint16
    np.testing.assert_allclose(sample.pixels / 65_535, content["images"][3], atol=1e-5)


def test_slice_numbers_may_be_numbers_and_texts_of_fixed_length(tmp_path: Path) -> None:
    content = arrays()
    content["SliceNumber"] = np.arange(ROWS)
    content["StudyInstanceUID"] = np.array(["1.2.3"] * ROWS, dtype="S5")
    dataset = open_dataset(write(tmp_path / "r.h5", content))
    assert dataset.ids[:2] == ("1.2.3/0", "1.2.3/1")
    assert any("1.2.3 (test, train, val)" in each for each in dataset.warnings)


def test_a_file_without_unused_rows_is_read_by_its_boxes(tmp_path: Path) -> None:
    content = arrays()
    content["bboxes"] = np.tile(np.float32([40, 30, 20, 14]), (ROWS, 1, 1))
    content["labels"][:] = 1
    assert "x, y, width, height" in open_dataset(write(tmp_path / "a.h5", content)).found
    content["bboxes"] = np.tile(np.float32([40, 30, 60, 44]), (ROWS, 1, 1))
    assert "x1, y1, x2, y2" in open_dataset(write(tmp_path / "b.h5", content)).found


@pytest.mark.parametrize(
    "bboxes",
    [
        np.tile(np.float32([5, 5, 20, 20]), (ROWS, 1, 1)),
        np.where(arrays("xyxy")["bboxes"] == 0, -1, arrays("xyxy")["bboxes"]),
        np.where(arrays("xywh")["bboxes"] == -1, 0, arrays("xywh")["bboxes"]),
        np.concatenate([arrays("xywh")["bboxes"], np.zeros((ROWS, 1, 4), np.float32)], axis=1),
        np.tile(np.float32([-9, -9, -9, -9]), (ROWS, SLOTS, 1)),
        np.full((ROWS, SLOTS, 4), np.nan, dtype=np.float32),
    ],
    ids=["fits both", "xyxy with −1", "xywh with 0", "both paddings", "negative", "NaN"],
)
def test_boxes_that_fit_no_convention_are_refused(tmp_path: Path, bboxes: Any) -> None:
    content = {**arrays(), "bboxes": bboxes, "labels": np.ones(ROWS, dtype=np.int8)}
    with pytest.raises(DatasetError, match=r"r\.h5: expected 'bboxes' as x, y, width, height"):
        open_dataset(write(tmp_path / "r.h5", content))


def test_odd_boxes_are_put_right_and_said(tmp_path: Path) -> None:
    content = with_boxes(arrays(), 3, (50, 50, 30, 8), (5, 5, -3, 4), (np.nan, 5, 5, 5))
    content = with_boxes(content, 1, (40, 30, 20, 14), (10, 10, 20, 30), (1, 40, 5, 20))
    dataset = open_dataset(write(tmp_path / "r.h5", content))
    ground_truth = dataset["1.2.3/1"].ground_truth
    assert ground_truth is not None
    assert ground_truth.xyxy.tolist() == [[50, 50, 64, 58]]
    said = " ".join(dataset.warnings)
    assert "Boxes cut at the edge of their image: 1 (row 3" in said
    assert "expected a width and height above 0: 1 (row 3" in said
    assert "expected numbers: 1 (row 3" in said


def test_labels_and_boxes_that_contradict_are_said(tmp_path: Path) -> None:
    content = arrays()
    content["labels"][[0, 1]] = [1, 0]
    dataset = open_dataset(write(tmp_path / "r.h5", content))
    assert dataset["1.2.1/10"].ground_truth is None
    kept = dataset["1.2.1/11"].ground_truth
    assert kept is not None
    assert len(kept) == 1
    said = " ".join(dataset.warnings)
    assert "Slices labelled fracture without a box, ground truth unknown: 1 (row 0)" in said
    assert "Slices labelled healthy with boxes, boxes kept: 1 (row 1)" in said


def test_a_repeated_slice_is_left_out_and_said(tmp_path: Path) -> None:
    content = arrays()
    content["SliceNumber"][1] = "10"
    dataset = open_dataset(write(tmp_path / "r.h5", content))
    assert len(dataset) == ROWS - 1
    assert any("row 1, 1.2.1/10" in each for each in dataset.warnings)


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.1, 1.5, 255])
def test_values_outside_0_to_1_name_the_row(tmp_path: Path, value: float) -> None:
    content = arrays()
    content["images"][3, 2, 1] = value
    dataset = open_dataset(write(tmp_path / "r.h5", content))
    assert dataset["1.2.3/2"].pixels.shape == (SIDE, SIDE)
    with pytest.raises(DatasetError, match=r"r\.h5: expected 'images' row 3 in \[0, 1\]"):
        dataset["1.2.3/1"].pixels  # noqa: B018


@pytest.mark.parametrize("key", list(arrays()))
def test_a_missing_key_is_named(tmp_path: Path, key: str) -> None:
    content = arrays()
    del content[key]
    with pytest.raises(DatasetError, match=rf"r\.h5: expected the key '{key}', found "):
        open_dataset(write(tmp_path / "r.h5", content))


@pytest.mark.parametrize(
    ("key", "value", "found"),
    [
        ("images", np.zeros((ROWS, SIDE, SIDE), np.uint8), "uint8"),
        ("images", np.zeros((ROWS, SIDE, SIDE), np.float64), "float64"),
        ("images", np.zeros((ROWS, SIDE), np.float32), "(6, 64)"),
        ("images", np.zeros((0, SIDE, SIDE), np.float32), "(0, 64, 64)"),
        ("images", np.zeros((ROWS + 1, SIDE, SIDE), np.float32), "(6, 3, 4)"),
        ("images", np.float32(1), "()"),
        ("bboxes", np.zeros((ROWS, 4), np.float32), "(6, 4)"),
        ("bboxes", np.zeros((ROWS, SLOTS, 5), np.float32), "(6, 3, 5)"),
        ("bboxes", np.zeros((ROWS, SLOTS, 4), np.int64), "int64"),
        ("labels", np.zeros(ROWS + 1, np.int8), "(7,)"),
        ("labels", np.full(ROWS, 3, np.int8), "3 in row 0"),
        ("labels", np.zeros(ROWS, np.float32), "float32"),
        ("split", np.array([0, 0, 0, 0, 0, 9], np.int8), "9 in row 5"),
        ("StudyInstanceUID", np.zeros(ROWS, np.float32), "float32"),
        ("StudyInstanceUID", [""] * ROWS, "0 characters"),
        ("StudyInstanceUID", ["x" * 1000] * ROWS, "1000 characters"),
        ("StudyInstanceUID", ["a\nb"] * ROWS, "control characters"),
    ],
)
def test_wrong_shapes_and_types_name_key_expected_and_found(
    tmp_path: Path, key: str, value: Any, found: str
) -> None:
    with pytest.raises(DatasetError) as caught:
        open_dataset(write(tmp_path / "r.h5", {**arrays(), key: value}))
    assert caught.value.name == "r.h5"
    assert found in caught.value.found


def test_what_is_no_hdf5_file_is_refused(tmp_path: Path) -> None:
    whole = write(tmp_path / "r.h5", arrays()).read_bytes()
    for content in (b"", b"text", whole[:8], whole[: len(whole) // 2]):
        (tmp_path / "bad.h5").write_bytes(content)
        with pytest.raises(DatasetError, match=r"bad\.h5: expected an HDF5 file"):
            open_dataset(tmp_path / "bad.h5")


def hostile(path: Path, key: str, make: Any) -> Path:
    content = arrays()
    del content[key]
    write(path, content)
    with h5py.File(path, "a") as file:
        make(file)
    return path


def test_links_and_data_elsewhere_are_not_followed(tmp_path: Path) -> None:
    write(tmp_path / "other.h5", arrays())
    layout = h5py.VirtualLayout(shape=(ROWS, SIDE, SIDE), dtype=np.float32)
    layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "images", (ROWS, SIDE, SIDE))
    external = [("/etc/passwd", 0, h5py.h5f.UNLIMITED)]
    shape = {"shape": (ROWS, SIDE, SIDE), "dtype": np.float32}

    def link(file: Any) -> None:
        file["images"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "images")

    def soft(file: Any) -> None:
        file["images"] = h5py.SoftLink("/bboxes")

    def virtual(file: Any) -> None:
        file.create_virtual_dataset("images", layout)

    def raw(file: Any) -> None:
        file.create_dataset("images", external=external, **shape)

    def group(file: Any) -> None:
        file.create_group("images")

    for number, make in enumerate((link, soft, virtual, raw, group)):
        path = hostile(tmp_path / f"{number}.h5", "images", make)
        with pytest.raises(DatasetError, match=r"'images' (in the file itself|to be an array)"):
            open_dataset(path)


def test_references_are_not_taken_for_text(tmp_path: Path) -> None:
    def make(file: Any) -> None:
        file.create_dataset("SliceNumber", data=[file["bboxes"].ref] * ROWS, dtype=h5py.ref_dtype)

    with pytest.raises(DatasetError, match="'SliceNumber' of whole numbers or text, found object"):
        open_dataset(hostile(tmp_path / "r.h5", "SliceNumber", make))


@pytest.mark.parametrize(
    ("key", "shape", "dtype", "chunks"),
    [
        ("images", (ROWS, 10**6, 10**6), np.float32, (1, 10, 10)),
        ("images", (10**12, SIDE, SIDE), np.float32, (1, SIDE, SIDE)),
        ("images", (ROWS, SIDE, SIDE), np.float32, (10**6, SIDE, SIDE)),
        ("bboxes", (ROWS, 10**9, 4), np.float32, (1, 10, 4)),
    ],
)
def test_giant_shapes_are_refused_before_they_are_allocated(
    tmp_path: Path, key: str, shape: Any, dtype: Any, chunks: Any
) -> None:
    def make(file: Any) -> None:
        most = (None, *shape[1:])
        file.create_dataset(key, shape=shape, dtype=dtype, chunks=chunks, maxshape=most)

    path = hostile(tmp_path / "r.h5", key, make)
    assert path.stat().st_size < 10**6
    with pytest.raises(DatasetError, match=f"'{key}'"):
        open_dataset(path)


@pytest.mark.parametrize("offset", [-8, 0, 8, 16])
def test_a_damaged_header_is_refused(tmp_path: Path, offset: int) -> None:
    path = write(tmp_path / "r.h5", arrays())
    content = bytearray(path.read_bytes())
    place = content.index(np.array([ROWS, SIDE, SIDE], dtype="<u8").tobytes()) + offset
    content[place : place + 8] = b"\xff" * 8
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=r"r\.h5: expected "):
        open_dataset(path)


def test_every_value_of_a_written_file_is_under_a_checksum(tmp_path: Path) -> None:
    path = rsna_file(tmp_path)
    whole = path.read_bytes()
    with h5py.File(path) as file:
        places = [array.id.get_chunk_info(0).byte_offset for array in file.values()]
    assert len(places) == 6
    for at in (*places, whole.index(b'"body part"') + 1):
        changed = bytearray(whole)
        changed[at] ^= 1
        path.write_bytes(changed)
        with pytest.raises(DatasetError, match=r"r\.h5: expected an(?: undamaged)? HDF5 file"):
            open_dataset(path)["1/0"].pixels  # noqa: B018


def rsna_file(folder: Path) -> Path:
    image = np.random.default_rng(0).random((SIDE, SIDE), dtype=np.float32)
    corners = np.array([[4, 5, 16, 17]], np.float32)
    shared = {"xyxy": corners, "fractured": True, "split": "train", "study": "1"}
    rows = [Slice(image=image, number=str(number), **shared) for number in range(3)]
    write_rsna(rows, folder / "r.h5", attributes={"body part": "neck"})
    return folder / "r.h5"


def test_a_written_file_says_nothing_of_checksums_and_others_do(tmp_path: Path) -> None:
    assert "checksum" not in open_dataset(rsna_file(tmp_path)).found
    assert NO_CHECKSUMS in open_dataset(write(tmp_path / "p.h5", arrays())).found


def test_bytes_added_or_removed_are_noticed(tmp_path: Path) -> None:
    path = write(tmp_path / "r.h5", arrays())
    whole = path.read_bytes()
    with h5py.File(path) as file:
        middle = file["images"].id.get_offset() + 5000
    path.write_bytes(whole + bytes(4))
    with pytest.raises(DatasetError, match=rf"expected {len(whole):,} bytes, as its header says"):
        open_dataset(path)
    for changed in (
        whole[:middle] + bytes(4) + whole[middle:],
        whole[:middle] + whole[middle + 4 :],
    ):
        path.write_bytes(changed)
        with pytest.raises(DatasetError):
            open_dataset(path)


@pytest.mark.parametrize("version", ["earliest", "v110"])
def test_missing_chunks_are_noticed(tmp_path: Path, version: str) -> None:
    content = arrays()
    images = content.pop("images")
    path = write(tmp_path / "r.h5", content)
    with h5py.File(path, "a", libver=version) as file:
        chunks = (2, SIDE, SIDE)
        stored = file.create_dataset("images", images.shape, "f4", chunks=chunks)
        stored[:2], stored[4:] = images[:2], images[4:]
    with pytest.raises(DatasetError, match="expected 'images' in 3 chunks, found 2"):
        open_dataset(path)
    with h5py.File(path, "a") as file:
        file["images"][2:4] = images[2:4]
    assert len(open_dataset(path)) == ROWS


def test_values_that_lie_over_others_are_noticed(tmp_path: Path) -> None:
    path = write(tmp_path / "r.h5", arrays())
    whole = path.read_bytes()
    with h5py.File(path) as file:
        labels, split = (file[key].id.get_offset() for key in ("labels", "split"))
    address = labels.to_bytes(8, "little")
    assert whole.count(address) == 1
    path.write_bytes(whole.replace(address, split.to_bytes(8, "little")))
    with pytest.raises(DatasetError, match="in their place, found over those of"):
        open_dataset(path)


def test_a_damaged_number_type_is_noticed(tmp_path: Path) -> None:
    path = write(tmp_path / "r.h5", arrays())
    whole = path.read_bytes()
    # IEEE 754 single: exponent at bit 23 of 8 bits, mantissa at 0 of 23 bits, bias 127.
    properties = bytes([23, 8, 0, 23]) + (127).to_bytes(4, "little")
    assert properties in whole
    path.write_bytes(whole.replace(properties, bytes([23, 8, 0, 23]) + (126).to_bytes(4, "little")))
    with pytest.raises(DatasetError, match="of floating point numbers"):
        open_dataset(path)


def test_a_user_block_is_no_damage(tmp_path: Path) -> None:
    path = tmp_path / "r.h5"
    with h5py.File(path, "w", userblock_size=512) as file:
        for key, value in arrays().items():
            kind = h5py.string_dtype() if isinstance(value, list) else None
            file.create_dataset(key, data=value, dtype=kind)
    assert len(open_dataset(path)) == ROWS
