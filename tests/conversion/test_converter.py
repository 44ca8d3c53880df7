"""Data sets from one format to another: what was known before is known after."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

from fracture_core import masks
from fracture_core.cli import app
from fracture_core.conversion import Converted, Options, convert
from fracture_core.conversion.converter import name_items
from fracture_core.conversion.options import fitted, resize_finding, resize_pixels
from fracture_core.datasets import Dataset, open_dataset
from fracture_core.datasets.findings import Finding
from fracture_core.datasets.formats import writable
from fracture_core.datasets.layout import SPLITS, assign_splits, group_of, parse_shares
from fracture_core.datasets.writing import Item, safe_path, stem_of
from fracture_core.demo import CT_CLASSES, layouts
from fracture_core.demo.samples import demo_studies
from fracture_core.errors import ConfigError, DatasetError, StorageError
from fracture_core.models import quiet_ultralytics
from fracture_core.types import Sample

FORMATS = tuple(writable())
SIDE = 96
# Labels of YOLO have eight decimals of a side, HDF5 float32; the box of a mask drawn as a polygon
# moves by nothing, as its edges are those of the pixels.
TOLERANCE_PX = 0.001
GroundTruths = dict[tuple[str, str, str], list[tuple[float, ...]] | None]


@pytest.fixture(scope="module")
def slices() -> tuple[Sample, ...]:
    studies = demo_studies(6, 0, slices=5, size=SIDE)
    # Splits by hand, as six demo studies hardly reach test.
    named = zip(studies, ("train", "train", "train", "val", "test", "test"), strict=True)
    return tuple(replace(each, split=split) for study, split in named for each in study)


@pytest.fixture(scope="module")
def sources(
    slices: tuple[Sample, ...], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """The same slices in each format."""
    folder = tmp_path_factory.mktemp("sources")
    (folder / "hdf5").mkdir()
    layouts.write_hdf5(slices, folder / "hdf5" / "demo.h5", corners=False)
    layouts.write_coco(slices, CT_CLASSES, folder / "coco")
    layouts.write_yolo_folder(slices, CT_CLASSES, folder / "yolo", outlines=True)
    made = {name: folder / name for name in ("hdf5", "coco", "yolo")}
    for name in set(FORMATS) - set(made):
        drop = frozenset({"masks"})
        made[name] = convert(made["coco"], folder / name, options(name, drop=drop)).destination
    return made


def ground_truths(dataset: Dataset) -> GroundTruths:
    """Group, split, ordered boxes: all of an image but its name, and its place among others."""
    found: GroundTruths = {}
    counts: dict[tuple[str, str], int] = {}
    rows = []
    for sample_id in dataset:
        sample = dataset[sample_id]
        boxes = None
        if sample.ground_truth is not None:
            pairs = zip(
                sample.ground_truth.xyxy.tolist(), sample.ground_truth.labels.tolist(), strict=True
            )
            boxes = [(*corners, label) for corners, label in pairs]
        rows.append((sample.group_id, sample.split, boxes))
    for group, split, boxes in sorted(rows, key=repr):
        number = counts[group, split] = counts.get((group, split), 0) + 1
        found[group, split, str(number)] = boxes
    return found


def assert_same(one: GroundTruths, other: GroundTruths, scale: float = 1.0) -> None:
    assert one.keys() == other.keys()
    for key, boxes in one.items():
        theirs = other[key]
        if boxes is None or theirs is None:
            assert boxes == theirs
            continue
        assert [each[4] for each in boxes] == [each[4] for each in theirs]
        mine, yours = (np.array([each[:4] for each in b]).reshape(-1, 4) for b in (boxes, theirs))
        assert np.abs(mine * scale - yours).max(initial=0) <= TOLERANCE_PX


def options(to: str, size_px: int | None = SIDE, **others: object) -> Options:
    return Options(to=to, size_px=size_px, **others)  # type: ignore[arg-type]


@pytest.mark.parametrize("to", FORMATS)
@pytest.mark.parametrize("source", FORMATS)
def test_what_was_known_is_known_after_and_back_again(
    source: str, to: str, sources: dict[str, Path], tmp_path: Path
) -> None:
    drop = frozenset({"masks"})
    before = open_dataset(sources[source])
    made = convert(sources[source], tmp_path / "there", options(to, drop=drop))
    assert made.left_out == ()
    after = open_dataset(made.destination)
    assert (after.format, after.classes, after.warnings) == (to, before.classes, ())
    assert_same(ground_truths(before), ground_truths(after))
    assert sum(len(boxes or ()) for boxes in ground_truths(after).values()) > 5
    convert(made.destination, tmp_path / "back", options(source, drop=drop))
    back = open_dataset(tmp_path / "back")
    assert_same(ground_truths(before), ground_truths(back))


@pytest.mark.parametrize("to", ["coco", "yolo"])
def test_slices_keep_their_names_by_way_of_another_format(
    to: str, sources: dict[str, Path], tmp_path: Path
) -> None:
    convert(sources["hdf5"], tmp_path / "there", options(to))
    convert(tmp_path / "there", tmp_path / "back.h5", options("hdf5"))
    before, back = open_dataset(sources["hdf5"]), open_dataset(tmp_path / "back.h5")
    assert set(before.ids) == set(back.ids)
    for sample_id in before.ids[::7]:
        one, other = before[sample_id].pixels, back[sample_id].pixels
        # YOLO has 8 bits, of which one step is 257.
        assert np.abs(one.astype(int) - other).max() <= (129 if to == "yolo" else 0)


def test_sixteen_bits_stay_sixteen_in_coco_and_yolo_gets_what_is_shown(
    sources: dict[str, Path], tmp_path: Path
) -> None:
    before = open_dataset(sources["hdf5"])
    for to in ("coco", "yolo"):
        convert(sources["hdf5"], tmp_path / to, options(to, None))
        after = open_dataset(tmp_path / to)
        assert {after[each].pixels.dtype.itemsize for each in after} == {1 if to == "yolo" else 2}
        named = {stem_of(each).replace(".rf.", "/"): each for each in after}
        for sample_id in before.ids[::5]:
            one, other = before[sample_id], after[named[sample_id]]
            assert np.array_equal(one.pixels if to == "coco" else one.shown(), other.pixels)


def test_polygons_and_masks_go_along(sources: dict[str, Path], tmp_path: Path) -> None:
    convert(sources["coco"], tmp_path / "yolo", options("yolo", None))
    convert(tmp_path / "yolo", tmp_path / "coco", options("coco", None))
    before, after = open_dataset(sources["coco"]), open_dataset(tmp_path / "coco")
    first = sorted((s for s in map(before.__getitem__, before)), key=_by_boxes)
    second = sorted((s for s in map(after.__getitem__, after)), key=_by_boxes)
    compared = 0
    for one, other in zip(first, second, strict=True):
        assert one.ground_truth is not None
        assert other.ground_truth is not None
        for mine, yours in zip(one.ground_truth.masks, other.ground_truth.masks, strict=True):
            a, b = masks.decode(mine), masks.decode(yours)
            assert (a & b).sum() / (a | b).sum() > 0.85
            compared += 1
    assert compared > 5


def _by_boxes(sample: Sample) -> tuple[object, ...]:
    ground_truth = sample.ground_truth
    boxes = [] if ground_truth is None else np.round(ground_truth.xyxy, 2).tolist()
    return sample.group_id, boxes


@pytest.mark.parametrize("to", FORMATS)
def test_a_new_size_moves_boxes_and_masks_along(
    to: str, sources: dict[str, Path], tmp_path: Path
) -> None:
    drop = frozenset({"masks"}) if to == "hdf5" else frozenset()
    convert(sources["coco"], tmp_path / "half", options(to, SIDE // 2, drop=drop))
    before, after = open_dataset(sources["coco"]), open_dataset(tmp_path / "half")
    sample = after[after.ids[0]]
    assert (sample.height, sample.width) == (SIDE // 2, SIDE // 2)
    if to != "yolo":
        # The box of a polygon along the pixels of a smaller mask is at most a pixel off.
        assert_same(ground_truths(before), ground_truths(after), scale=0.5)
    for sample_id in after:
        ground_truth = after[sample_id].ground_truth
        assert ground_truth is not None
        for box, code in zip(ground_truth.xyxy, ground_truth.masks, strict=False):
            rows, columns = np.nonzero(masks.decode(code))
            tight = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert np.abs(box - tight).max() <= 1.5


def _unknown_and_empty(folder: Path) -> Path:
    """COCO: one image annotated, one empty, one unknown; two classes, one never used."""
    (folder / "images").mkdir(parents=True)
    (folder / "annotations").mkdir()
    entries = []
    for number, name in enumerate(("found", "empty", "unknown"), start=1):
        layouts.write_png(np.full((40, 60), number, np.uint8), folder / "images" / f"{name}.png")
        entries.append(
            {"id": number, "file_name": f"{name}.png", "height": 40, "width": 60, "patient_id": "p"}
        )
    found = {"id": 1, "image_id": 1, "category_id": 7, "bbox": [1, 2, 30, 20.5]}
    kinds = [{"id": 3, "name": "unused"}, {"id": 7, "name": "fracture"}]
    known = {"images": entries[:2], "annotations": [found], "categories": kinds}
    unknown = {"images": entries[2:], "categories": kinds}
    (folder / "annotations" / "train.json").write_text(json.dumps(known))
    (folder / "annotations" / "train-more.json").write_text(json.dumps(unknown))
    return folder


@pytest.mark.parametrize("to", ["coco", "yolo"])
def test_unknown_stays_unknown_and_empty_stays_empty(to: str, tmp_path: Path) -> None:
    source = _unknown_and_empty(tmp_path / "source")
    convert(source, tmp_path / "there", options(to, None))
    convert(tmp_path / "there", tmp_path / "back", options("coco", None))
    for place in ("there", "back"):
        dataset = open_dataset(tmp_path / place)
        assert dataset.classes == ("unused", "fracture")
        samples = [dataset[each] for each in dataset]
        counts = [None if each.ground_truth is None else len(each.ground_truth) for each in samples]
        assert sorted(map(str, counts)) == ["0", "1", "None"]
        (found,) = [each.ground_truth for each in samples if each.ground_truth]
        assert found.xyxy[0].tolist() == pytest.approx([1, 2, 31, 22.5], abs=TOLERANCE_PX)
        assert found.labels.tolist() == [1]


def test_hdf5_refuses_what_it_cannot_hold_and_leaves_it_out_when_told(tmp_path: Path) -> None:
    source = _unknown_and_empty(tmp_path / "source")
    told: list[str] = []
    with pytest.raises(DatasetError, match="--drop classes --drop unknown") as error:
        convert(source, tmp_path / "out", options("hdf5"), tell=told.append)
    assert "1 image of unknown ground truth" in str(error.value)
    assert any("'unused', 'fracture'" in each for each in told)
    assert [each.name for each in tmp_path.iterdir()] == ["source"]
    allowed = options("hdf5", drop=frozenset({"classes", "unknown"}))
    made = convert(source, tmp_path / "out", allowed)
    assert made.images == 2
    dataset = open_dataset(tmp_path / "out")
    assert sorted(len(dataset[each].ground_truth or ()) for each in dataset) == [0, 1]


def test_boxes_that_mark_healthy_images_are_no_fractures_in_hdf5(tmp_path: Path) -> None:
    (tmp_path / "s" / "train" / "images").mkdir(parents=True)
    (tmp_path / "s" / "train" / "labels").mkdir()
    for name, label in (("a", 0), ("b", 1)):
        layouts.write_png(np.eye(32, dtype=np.uint8), tmp_path / f"s/train/images/{name}.png")
        (tmp_path / f"s/train/labels/{name}.txt").write_text(f"{label} .5 .5 .5 .5\n")
    (tmp_path / "s/data.yaml").write_text("names: [Healthy, Spiral]\ntrain: train/images\n")
    convert(tmp_path / "s", tmp_path / "out", options("hdf5", 32, drop=frozenset({"classes"})))
    dataset = open_dataset(tmp_path / "out")
    assert {each: len(dataset[each].ground_truth or ()) for each in dataset} == {"a/a": 0, "b/b": 1}


def test_more_than_ten_boxes_are_refused_or_the_largest_kept(tmp_path: Path) -> None:
    source = _unknown_and_empty(tmp_path / "source")
    path = source / "annotations" / "train.json"
    content = json.loads(path.read_text())
    content["categories"] = [{"id": 7, "name": "fracture"}]
    content["annotations"] = [
        {"id": n, "image_id": 1, "category_id": 7, "bbox": [n, n, 2 + n, 3]} for n in range(12)
    ]
    path.write_text(json.dumps(content))
    (source / "annotations" / "train-more.json").unlink()
    with pytest.raises(DatasetError, match="more than 10 boxes"):
        convert(source, tmp_path / "out", options("hdf5"))
    convert(source, tmp_path / "out", options("hdf5", 60, drop=frozenset({"boxes"})))
    dataset = open_dataset(tmp_path / "out")
    kept = max(
        (dataset[each].ground_truth for each in dataset),
        key=lambda ground_truth: len(ground_truth or ()),
    )
    assert kept is not None
    assert sorted(kept.xyxy[:, 0].tolist()) == list(range(2, 12))


def test_yolo_refuses_a_box_that_is_not_the_bounds_of_its_mask(tmp_path: Path) -> None:
    source = _unknown_and_empty(tmp_path / "source")
    path = source / "annotations" / "train.json"
    content = json.loads(path.read_text())
    content["annotations"][0]["segmentation"] = [[5, 5, 20, 5, 20, 15]]
    path.write_text(json.dumps(content))
    with pytest.raises(DatasetError, match="not the bounds of their mask, which YOLO takes: 1"):
        convert(source, tmp_path / "out", options("yolo", None))
    for drop, box in (("masks", [1, 2, 31, 22.5]), ("boxes", [5, 5, 20, 15])):
        convert(source, tmp_path / drop, options("yolo", None, drop=frozenset({drop})))
        dataset = open_dataset(tmp_path / drop)
        (ground_truth,) = [
            dataset[each].ground_truth for each in dataset if dataset[each].ground_truth
        ]
        assert ground_truth.xyxy[0].tolist() == pytest.approx(box, abs=TOLERANCE_PX)


def test_a_box_rounded_by_its_tool_becomes_the_bounds_of_its_mask_and_that_is_said(
    tmp_path: Path,
) -> None:
    source = _unknown_and_empty(tmp_path / "source")
    path = source / "annotations" / "train.json"
    content = json.loads(path.read_text())
    content["annotations"][0]["segmentation"] = [[1.5, 2, 31.5, 2, 31.5, 22.5]]
    path.write_text(json.dumps(content))
    told: list[str] = []
    convert(source, tmp_path / "out", options("yolo", None), tell=told.append)
    assert any("1 box moved to the bounds" in each for each in told)


def test_a_label_file_never_mixes_boxes_and_polygons(tmp_path: Path) -> None:
    source = _unknown_and_empty(tmp_path / "source")
    path = source / "annotations" / "train.json"
    content = json.loads(path.read_text())
    second = {"id": 2, "image_id": 1, "category_id": 7, "bbox": [5, 5, 15, 10]}
    # A corner outside the image, as annotation tools write them.
    content["annotations"].append({**second, "segmentation": [[5, 5, 20, 5, 20, 15, 5, 15]]})
    path.write_text(json.dumps(content))
    convert(source, tmp_path / "out", options("yolo", None))
    (label,) = [each for each in tmp_path.glob("out/train/labels/*.txt") if each.stat().st_size]
    assert [len(line.split()) for line in label.read_text().splitlines()] == [9, 9]


def test_images_without_a_split_get_one_or_are_refused(tmp_path: Path) -> None:
    source = _unknown_and_empty(tmp_path / "source")
    (source / "annotations" / "train-more.json").unlink()
    (source / "annotations" / "train.json").rename(source / "annotations" / "all.json")
    drop = frozenset({"classes"})
    with pytest.raises(DatasetError, match="--splits 70,15,15"):
        convert(source, tmp_path / "out", options("hdf5", drop=drop))
    convert(source, tmp_path / "out", options("hdf5", drop=drop, shares=(0.0, 0.0, 1.0)))
    assert set(open_dataset(tmp_path / "out").splits) == {"test"}
    for to in ("coco", "yolo"):
        convert(source, tmp_path / to, options(to, None))
        assert set(open_dataset(tmp_path / to).splits) == {""}


def jpeg_set(folder: Path, **how: object) -> Path:
    """A YOLO set of two colour JPEG files in train and val."""
    for n, split in enumerate(("train", "valid")):
        for name in ("images", "labels"):
            (folder / split / name).mkdir(parents=True)
        pixels = np.random.default_rng(n).integers(0, 255, (40, 60, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / split / "images" / f"wrist-{n}.jpg", **how)
        (folder / split / "labels" / f"wrist-{n}.txt").write_text("0 0.5 0.5 0.25 0.5\n")
    (folder / "data.yaml").write_text("train: train/images\nval: valid/images\nnames: [a]\n")
    return folder


@pytest.mark.parametrize("to", ["coco", "yolo", "voc"])
def test_jpeg_files_are_copied_byte_by_byte_under_their_names(to: str, tmp_path: Path) -> None:
    source = jpeg_set(tmp_path / "source")
    made = convert(source, tmp_path / to, Options(to=to)).destination
    files = {path.name: path.read_bytes() for path in made.rglob("*.jpg")}
    assert files == {path.name: path.read_bytes() for path in source.rglob("*.jpg")}
    assert not list(made.rglob("*.png"))
    opened = open_dataset(made)
    assert len(opened) == 2
    assert all(len(opened[each].ground_truth) == 1 for each in opened)


def test_a_jpeg_that_must_change_is_written_anew(tmp_path: Path) -> None:
    smaller = convert(
        jpeg_set(tmp_path / "source"), tmp_path / "small", options("yolo", size_px=30)
    ).destination
    assert not list(smaller.rglob("*.jpg"))
    turned = Image.Exif()
    turned[274] = 6
    source = jpeg_set(tmp_path / "turned", exif=turned)
    made = convert(source, tmp_path / "upright", Options(to="yolo")).destination
    assert [open_dataset(made)[each].width for each in open_dataset(made)] == [40, 40]
    assert len(list(made.rglob("*.png"))) == 2


def test_a_converted_set_passes_ultralytics_own_check(tmp_path: Path) -> None:
    made = convert(jpeg_set(tmp_path / "source"), tmp_path / "yolo", options("yolo")).destination
    checks = quiet_ultralytics.part("ultralytics.data.utils")
    found = checks.check_det_dataset(str(made / "data.yaml"), autodownload=False)
    assert found["names"] == {0: "a"}
    assert {Path(found[split]) for split in ("train", "val")} == {
        made / "train" / "images",
        made / "valid" / "images",
    }


def test_that_ultralytics_wants_validation_is_told(tmp_path: Path) -> None:
    source = jpeg_set(tmp_path / "source")
    (source / "data.yaml").write_text("train: train/images\nnames: [a]\n")
    told: list[str] = []
    convert(source, tmp_path / "yolo", options("yolo"), tell=told.append)
    assert any("Ultralytics trains only with splits train and val" in each for each in told)


def test_a_broken_image_is_listed_and_the_others_converted(
    sources: dict[str, Path], tmp_path: Path
) -> None:
    import shutil

    shutil.copytree(sources["coco"], tmp_path / "source")
    broken = sorted((tmp_path / "source" / "train").iterdir())[2]
    broken.write_bytes(broken.read_bytes()[:300])
    result = CliRunner().invoke(
        app, ["convert", str(tmp_path / "source"), str(tmp_path / "out"), "--to", "yolo"]
    )
    assert result.exit_code == 1
    assert f"train/{broken.name}: expected a whole PNG" in result.stderr
    card = json.loads((tmp_path / "out" / "conversion.json").read_text())
    assert [each["sample_id"] for each in card["left_out"]] == [f"train/{broken.name}"]
    before = len(open_dataset(sources["coco"]))
    assert len(open_dataset(tmp_path / "out")) == before - 1
    assert sum(count["images"] for count in card["counts"].values()) == before - 1


def test_a_image_of_another_size_matters_only_where_it_has_boxes(tmp_path: Path) -> None:
    source = _unknown_and_empty(tmp_path / "source")
    for name in ("found", "empty"):
        layouts.write_png(np.zeros((60, 40), np.uint8), source / "images" / f"{name}.png")
    made = convert(source, tmp_path / "out", options("coco", None))
    assert [each.sample_id for each in made.left_out] == ["images/found.png"]


def test_nothing_readable_is_no_data_set(tmp_path: Path) -> None:
    source = _unknown_and_empty(tmp_path / "source")
    for path in (source / "images").iterdir():
        path.write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(DatasetError, match="at least one image that can be read"):
        convert(source, tmp_path / "out", options("yolo"))
    assert not (tmp_path / "out").exists()


def test_a_destination_with_something_in_it_is_left_alone(
    sources: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file.txt").write_text("keep")
    (tmp_path / "old.h5").write_text("keep")
    for name, found in (("mine", "files in it"), ("old.h5", "a file")):
        with pytest.raises(DatasetError, match=f"new or empty, found {found}"):
            convert(sources["hdf5"], tmp_path / name, options("hdf5"))
    assert sorted(each.name for each in tmp_path.iterdir()) == ["mine", "old.h5"]
    (tmp_path / "empty").mkdir()
    assert convert(sources["hdf5"], tmp_path / "empty", options("hdf5")).images == 30
    assert sorted(each.name for each in (tmp_path / "empty").iterdir()) == [
        "conversion.json",
        "empty.h5",
    ]


@pytest.mark.parametrize(
    ("others", "sentence"),
    [
        ({"to": "dicom"}, "one of hdf5, coco, yolo, voc, found 'dicom'"),
        ({"size_px": 4}, "16 to 8,192 pixels, found 4"),
        ({"drop": frozenset({"pixels"})}, "masks, classes, boxes, unknown, found 'pixels'"),
        ({"negatives": -1.0}, "0 to 10,000"),
    ],
)
def test_options_out_of_range_get_a_sentence(others: dict[str, object], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        Options(**{"to": "coco", **others})  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["70,30", "a,b,c", "0,0,0", "-1,1,1", "nan,1,1"])
def test_shares_that_make_no_sense_get_a_sentence(text: str) -> None:
    with pytest.raises(ConfigError, match="such as 70,15,15"):
        parse_shares(text)


def test_negatives_are_for_the_raw_download_only(sources: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the raw RSNA download"):
        convert(sources["coco"], tmp_path / "out", options("yolo", negatives=2.0))


def test_a_full_disk_is_a_sentence_and_what_is_done_is_kept(
    sources: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fracture_core.datasets import writing as writer

    real, calls = writer.write_png, []

    def fail(pixels: object, path: Path) -> None:
        calls.append(path)
        if len(calls) == 20:
            raise OSError(28, "No space left on device", str(path))
        real(pixels, path)  # type: ignore[arg-type]

    monkeypatch.setattr(writer, "write_png", fail)
    with pytest.raises(StorageError, match="found a full disk") as error:
        convert(sources["hdf5"], tmp_path / "out", options("coco"))
    assert "run the same command again" in str(error.value)
    assert not (tmp_path / "out").exists()
    made = convert(sources["hdf5"], tmp_path / "out", options("coco"))
    assert (made.images, len(calls)) == (30, 20 + 14)


GROUPS = st.text(
    st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=300
) | st.sampled_from(
    ["..", ".hidden", "train", "a/../b", "con/images/x", "a.rf.1", "/etc", "A", "a"]
)


def _item(sample_id: str, group: str) -> Item:
    return Item(
        opener=None,  # type: ignore[arg-type]
        sample_id=sample_id,
        group_id=group,
        split="train",
        findings=(),
        is_normalised=True,
    )


@given(st.lists(st.tuples(GROUPS, GROUPS), max_size=12, unique=True), st.sampled_from(FORMATS))
def test_names_are_safe_unique_and_keep_images_of_a_group_together(
    pairs: list[tuple[str, str]], to: str
) -> None:
    items = [_item(f"{group}/{number}", group) for group, number in pairs]
    named = list(name_items(items, writable()[to](name="set", side_px=64)))
    places = [(each.group_id if to == "hdf5" else "", each.name.casefold()) for each in named]
    assert len(set(places)) == len(places)
    groups = {}
    for before, after in zip(items, named, strict=True):
        if to != "hdf5":
            path = Path("/root/train/images") / f"{after.name}.png"
            assert path.resolve().is_relative_to("/root/train/images")
            assert all(part[0] != "." and len(part.encode()) < 255 for part in path.parts[1:])
        told = group_of(f"train/images/{after.name}.png") if to == "yolo" else after.group_id
        assert groups.setdefault(before.group_id, told) == told
    assert len(set(groups.values())) == len(groups)


def test_names_lose_what_only_names_a_split() -> None:
    assert stem_of("train/images/p1/a.v2.jpg") == "p1/a.v2"
    assert stem_of("1.2.840/7") == "1.2.840/7"
    assert safe_path("p1/a b") == "p1/a b"
    assert ".." not in safe_path("../../etc")


@given(st.integers(1, 300), st.integers(1, 300), st.integers(16, 300))
def test_the_longer_side_is_what_was_asked_for(height: int, width: int, side: int) -> None:
    new = fitted((height, width), side)
    assert max(new) == side
    assert min(new) >= 1
    assert abs(min(new) - min(height, width) * side / max(height, width)) <= 0.5 or min(new) == 1


def test_halving_takes_the_mean_of_four_pixels() -> None:
    pixels = np.arange(16, dtype=np.uint16).reshape(4, 4) * 100
    assert resize_pixels(pixels, (2, 2)).tolist() == [[250, 450], [1050, 1250]]
    assert resize_pixels(pixels, (4, 4)) is pixels
    bright = np.full((5, 7), 65_535, np.uint16)
    assert resize_pixels(bright, (11, 13)).min() == 65_535


def test_a_thin_mask_does_not_vanish_when_it_shrinks() -> None:
    mask = np.zeros((64, 64), np.bool_)
    mask[10, 5:50] = True
    finding = Finding(
        label=0, xyxy=np.array([5.0, 10, 50, 11]), place="", outline=masks.encode(mask)
    )
    small = resize_finding(finding, (64, 64), (16, 16))
    assert small.xyxy.tolist() == [1.25, 2.5, 12.5, 2.75]
    assert isinstance(small.outline, masks.Rle)
    assert masks.decode(small.outline)[2].sum() >= 11


@given(st.dictionaries(st.text(max_size=4), st.booleans(), max_size=40), st.integers(0, 3))
def test_splits_keep_the_shares_and_do_not_depend_on_order(
    strata: dict[str, bool], seed: int
) -> None:
    splits = assign_splits(strata, (0.5, 0.25, 0.25), seed)
    again = assign_splits(dict(reversed(strata.items())), (0.5, 0.25, 0.25), seed)
    assert splits == again
    for kind in (True, False):
        members = [splits[group] for group, each in strata.items() if each == kind]
        counts = [members.count(name) for name in SPLITS]
        assert np.abs(np.array(counts) - len(members) * np.array([0.5, 0.25, 0.25])).max() <= 1


def _boxes(dataset: Dataset) -> int:
    return sum(sum(count.boxes.values()) for count in dataset.summary().values())


def test_fracture7_keeps_every_box_from_coco_to_yolo_and_back(
    shared_data: Path, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    _link_fracture7(shared_data / "fracture7", source)
    before = open_dataset(source)
    made = convert(source, tmp_path / "yolo", options("yolo", 64))
    assert made.left_out == ()
    convert(tmp_path / "yolo", tmp_path / "coco", options("coco", 64))
    after = open_dataset(tmp_path / "coco")
    assert after.classes == before.classes
    assert _boxes(after) == _boxes(before) > 150
    for one, other in zip(_by_group(before), _by_group(after), strict=True):
        factor = 64 / max(one.height, one.width)
        assert one.ground_truth is not None
        assert other.ground_truth is not None
        assert np.abs(one.ground_truth.xyxy * factor - other.ground_truth.xyxy).max(initial=0) < 1
        assert one.ground_truth.labels.tolist() == other.ground_truth.labels.tolist()


def _link_fracture7(folder: Path, to: Path) -> None:
    """The valid split, by links: the whole would take minutes."""
    import shutil

    (to / "annotations").mkdir(parents=True)
    shutil.copy(folder / "annotations" / "valid.json", to / "annotations")
    shutil.copytree(folder / "valid" / "images", to / "valid")


def _by_group(dataset: Dataset) -> list[Sample]:
    samples = [dataset[each] for each in dataset]
    return sorted(samples, key=lambda each: (each.group_id, Path(each.sample_id).stem))


def test_fracatlas_keeps_every_box_in_yolo(shared_data: Path, tmp_path: Path) -> None:
    import shutil

    source = tmp_path / "source"
    (source / "annotations").mkdir(parents=True)
    shutil.copy(shared_data / "fracatlas" / "annotations" / "valid.json", source / "annotations")
    content = json.loads((source / "annotations" / "valid.json").read_text())
    (source / "images").mkdir()
    for image in content["images"]:
        name = Path(image["file_name"]).name
        shutil.copy(shared_data / "fracatlas" / "images" / name, source / "images" / name)
    made: Converted = convert(source, tmp_path / "yolo", options("yolo", 64))
    assert (made.images, made.left_out) == (382, ())
    assert _boxes(open_dataset(tmp_path / "yolo")) == len(content["annotations"]) == 91
