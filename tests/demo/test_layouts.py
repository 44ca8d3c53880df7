"""Demo data sets on disk: what was written is what is read back, in every format."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from fracture_core import masks
from fracture_core.cli import app
from fracture_core.datasets import open_dataset
from fracture_core.demo import CLASSES, CT_CLASSES, demo_samples, layouts, write_demo
from fracture_core.demo.samples import demo_studies
from fracture_core.errors import ConfigError, DatasetError
from fracture_core.imaging.opening import open_images
from fracture_core.types import Sample

SIZE = (256, 208)
COUNT = 8


@pytest.fixture(scope="module")
def radiographs() -> tuple[Sample, ...]:
    return demo_samples(COUNT, 0, size=SIZE)


@pytest.fixture(scope="module")
def slices() -> tuple[Sample, ...]:
    return tuple(each for study in demo_studies(4, 0, slices=6, size=128) for each in study)


def read_back(path: Path, samples: Sequence[Sample], named: dict[str, str]) -> list[Sample]:
    """The samples as read, in the order of those written; `named` leads from id to id."""
    dataset = open_dataset(path)
    assert len(dataset) == len(samples)
    assert not [each for each in dataset.warnings if "Classes without a box" not in each]
    return [dataset[named[sample.sample_id]] for sample in samples]


def assert_same(
    written: Sequence[Sample], read: Sequence[Sample], tolerance_px: float = 0.0
) -> None:
    for one, other in zip(written, read, strict=True):
        assert (one.group_id, one.split, one.image_class) == (
            other.group_id,
            other.split,
            other.image_class,
        )
        assert one.ground_truth is not None
        assert other.ground_truth is not None
        assert (
            np.abs(one.ground_truth.xyxy - other.ground_truth.xyxy).max(initial=0) <= tolerance_px
        )
        assert one.ground_truth.labels.tolist() == other.ground_truth.labels.tolist()


def overlap(one: masks.Rle, other: masks.Rle) -> float:
    a, b = masks.decode(one), masks.decode(other)
    return float((a & b).sum() / (a | b).sum())


def coco_ids(samples: Sequence[Sample]) -> dict[str, str]:
    return {
        each.sample_id: f"{each.split}/{each.sample_id.replace('/', '-')}.png" for each in samples
    }


def yolo_ids(samples: Sequence[Sample]) -> dict[str, str]:
    return {
        each.sample_id: f"{layouts.FOLDERS[each.split]}/images/{layouts.image_stem(each)}.png"
        for each in samples
    }


def test_coco_gives_back_boxes_classes_masks_splits_and_groups(
    tmp_path: Path, radiographs: tuple[Sample, ...]
) -> None:
    layouts.write_coco(radiographs, CLASSES, tmp_path)
    assert open_dataset(tmp_path).classes == CLASSES
    read = read_back(tmp_path, radiographs, coco_ids(radiographs))
    assert_same(radiographs, read)
    for one, other in zip(radiographs, read, strict=True):
        assert one.ground_truth is not None
        assert other.ground_truth is not None
        assert one.ground_truth.masks == other.ground_truth.masks
        assert np.array_equal(one.pixels, other.pixels >> 4)


@pytest.mark.parametrize("outlines", [True, False])
def test_yolo_gives_back_boxes_classes_splits_and_groups(
    outlines: bool, tmp_path: Path, radiographs: tuple[Sample, ...]
) -> None:
    layouts.write_yolo_folder(radiographs, CLASSES, tmp_path, outlines=outlines)
    assert open_dataset(tmp_path).classes == CLASSES
    read = read_back(tmp_path, radiographs, yolo_ids(radiographs))
    assert_same(radiographs, read, tolerance_px=0.01)
    for one, other in zip(radiographs, read, strict=True):
        assert one.ground_truth is not None
        assert other.ground_truth is not None
        assert np.array_equal(one.shown(), other.pixels)
        pairs = zip(one.ground_truth.masks, other.ground_truth.masks, strict=outlines)
        assert all(overlap(mine, yours) > 0.9 for mine, yours in pairs)


@pytest.mark.parametrize("corners", [True, False])
def test_hdf5_gives_back_boxes_classes_splits_and_groups(
    corners: bool, tmp_path: Path, slices: tuple[Sample, ...]
) -> None:
    path = tmp_path / "demo.h5"
    layouts.write_hdf5(slices, path, corners=corners)
    assert ("x1, y1" in open_dataset(path).found) == corners
    assert_same(slices, read_back(path, slices, {s.sample_id: s.sample_id for s in slices}))


def test_all_formats_agree_on_the_same_slices(tmp_path: Path, slices: tuple[Sample, ...]) -> None:
    layouts.write_hdf5(slices, tmp_path / "demo.h5", corners=False)
    layouts.write_coco(slices, CT_CLASSES, tmp_path / "coco")
    layouts.write_yolo_folder(slices, CT_CLASSES, tmp_path / "yolo", outlines=True)
    one = read_back(tmp_path / "demo.h5", slices, {s.sample_id: s.sample_id for s in slices})
    assert_same(one, read_back(tmp_path / "coco", slices, coco_ids(slices)))
    assert_same(one, read_back(tmp_path / "yolo", slices, yolo_ids(slices)), tolerance_px=0.01)
    assert sum(len(each.ground_truth or ()) for each in one) > 3


def test_hdf5_pixels_run_from_black_to_white_in_every_slice(
    tmp_path: Path, slices: tuple[Sample, ...]
) -> None:
    layouts.write_hdf5(slices[:3], tmp_path / "demo.h5", corners=False)
    dataset = open_dataset(tmp_path / "demo.h5")
    for sample_id in dataset:
        pixels = dataset[sample_id].pixels
        assert (pixels.min(), pixels.max()) == (0, 65_535)


def test_dicom_files_open_as_radiographs_and_one_stack(
    tmp_path: Path, radiographs: tuple[Sample, ...], slices: tuple[Sample, ...]
) -> None:
    layouts.write_dicom((*radiographs[:2], *slices[:6]), tmp_path)
    one = open_images([(p.name, p) for p in sorted((tmp_path / "radiographs").iterdir())])
    assert not one.errors
    for sample, image in zip(radiographs, one.images, strict=False):
        assert (image.bits, image.warnings) == (12, ())
        assert np.array_equal(image.pixels[0], sample.pixels)
        assert np.array_equal(image.shown(), sample.shown())
        assert sample.spacing_mm == pytest.approx(image.spacing_mm, abs=1e-5)
    (stack,) = open_images([(p.name, p) for p in sorted((tmp_path / "ct").iterdir())]).images
    assert stack.frames == 6
    assert stack.warnings == ()
    assert stack.scale.unit == "HU"
    positions = np.diff(stack.positions_mm or ())
    assert np.abs(positions) == pytest.approx(1.5)
    # Which end a reader puts first is its own affair.
    frames = stack.pixels if positions[0] < 0 else stack.pixels[::-1]
    for sample, frame in zip(slices, frames, strict=False):
        mine = sample.pixels * sample.scale.slope + sample.scale.offset
        assert np.array_equal(mine, frame * stack.scale.slope + stack.scale.offset)


def test_dicom_files_say_that_they_are_synthetic(
    tmp_path: Path, radiographs: tuple[Sample, ...]
) -> None:
    import pydicom

    layouts.write_dicom(radiographs[:1], tmp_path)
    header = pydicom.dcmread(next(tmp_path.rglob("*.dcm")))
    assert header.PatientName == "Synthetic^Demo"
    assert header.PatientID.startswith("SYNTHETIC")
    assert "no patient" in header.ImageComments


@pytest.mark.parametrize("layout", ["coco", "yolo", "dicom"])
def test_write_demo_leaves_one_complete_folder(layout: str, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "demo"
    assert write_demo(folder, count=2, seed=1, format=layout, size=SIZE) == folder
    assert [each.name for each in folder.parent.iterdir()] == ["demo"]
    if layout != "dicom":
        assert len(open_dataset(folder)) == 2


def test_no_group_is_cut_by_the_splits(tmp_path: Path) -> None:
    dataset = open_dataset(write_demo(tmp_path / "demo", count=COUNT, seed=0, size=SIZE))
    groups = [{dataset[each].group_id for each in ids} for ids in dataset.splits.values() if ids]
    assert len(groups) == 3
    assert sum(map(len, groups)) == len(set().union(*groups)) == COUNT // 2


def test_a_folder_with_something_in_it_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(DatasetError, match="new or empty, found files in it"):
        write_demo(tmp_path, count=1)
    assert [each.name for each in tmp_path.iterdir()] == ["mine.txt"]
    with pytest.raises(DatasetError, match="found a file"):
        write_demo(tmp_path / "mine.txt", count=1)


def test_an_interrupted_set_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(layouts, "write_coco", fail)
    with pytest.raises(OSError, match="disk full"):
        write_demo(tmp_path / "demo", count=1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"format": "voc"}, "one of coco, yolo, hdf5, dicom, found 'voc'"),
        ({"count": 0}, "1 to 100,000, found 0"),
        ({"size": (8, 8)}, "found 8 × 8 pixels"),
    ],
)
def test_options_out_of_range_get_a_sentence(
    options: dict[str, object], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=sentence):
        write_demo(tmp_path / "demo", **{"count": 1, **options})  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_the_command_writes_a_set_and_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    arguments = ["demo", str(folder), "--count", "2", "--size", "208x256", "--format", "yolo"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0
    assert "2 radiographs, yolo, seed 0" in result.stdout
    assert len(open_dataset(folder)) == 2
    again = CliRunner().invoke(app, arguments)
    assert isinstance(again.exception, DatasetError)
