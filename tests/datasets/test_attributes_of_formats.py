"""What readers tell of an image: DICOM tags, COCO fields, the RSNA file, synthetic data."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from fracture_core.conversion import Options, convert
from fracture_core.datasets import open_dataset
from fracture_core.demo import demo_case, layouts, write_demo
from fracture_core.demo.samples import CT_ATTRIBUTES, demo_studies
from fracture_core.errors import DatasetError
from fracture_core.imaging.opening import open_images
from fracture_core.scope import SYNTHETIC, check_scope
from tests.support.dicom_files import dicom, ramp

CT = {"modality": "CT", "body part": "cervical spine", "view": "axial"}


def told_by(data: bytes) -> dict[str, str]:
    (image,) = open_images([("IM1", data)]).images
    (sample,) = image.samples()
    return dict(sample.attributes)


def coco_of(folder: Path, data: bytes | None = None, **entry: object) -> Path:
    """One image, 16 × 16, as a PNG or a DICOM file."""
    folder.mkdir()
    name = "1.png" if data is None else "1.dcm"
    if data is None:
        Image.fromarray(np.full((16, 16), 7, dtype=np.uint8)).save(folder / name)
    else:
        (folder / name).write_bytes(data)
    image = {"id": 1, "file_name": name, "height": 16, "width": 16, **entry}
    content = {"images": [image], "annotations": [], "categories": [{"id": 0, "name": "fracture"}]}
    (folder / "train.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def only_sample(folder: Path):
    dataset = open_dataset(folder)
    (sample_id,) = dataset.ids
    return dataset[sample_id]


def test_dicom_tags_tell_kind_body_part_and_view() -> None:
    data = dicom(ramp(), BodyPartExamined="LHAND", ViewPosition="PA", PatientAge="005Y")
    assert told_by(data) == {"modality": "CR", "body part": "hand", "view": "frontal"}


def test_dicom_tags_that_are_absent_tell_nothing() -> None:
    assert told_by(dicom(ramp())) == {"modality": "CR"}


def test_a_png_tells_nothing(tmp_path: Path) -> None:
    assert only_sample(coco_of(tmp_path / "set")).attributes == {}


def test_coco_fields_and_the_object_attributes_tell(tmp_path: Path) -> None:
    inner = {"view": "lateral", "ward": "B", "nested": {"a": 1}, "hardware": True}
    entry = {
        "modality": "cr",
        "body_part": "ANKLE",
        "view": "AP",
        "license": 3,
        "attributes": inner,
    }
    assert only_sample(coco_of(tmp_path / "set", **entry)).attributes == {
        "modality": "CR",
        "body part": "ankle",
        "view": "lateral",
        "ward": "b",
        "hardware": "yes",
    }


@pytest.mark.parametrize("attributes", ["hand", ["hand"], None, 7, {"body_part": "x" * 500}])
def test_attributes_of_another_form_are_none(tmp_path: Path, attributes: object) -> None:
    assert only_sample(coco_of(tmp_path / "set", attributes=attributes)).attributes == {}


def test_what_file_and_data_set_say_is_brought_together_and_contradictions_are_said(
    tmp_path: Path,
) -> None:
    data = dicom(ramp(), BodyPartExamined="HAND")
    sample = only_sample(coco_of(tmp_path / "set", data, body_part="knee", modality="CT"))
    assert sample.attributes == {"modality": "CR", "body part": "knee"}
    assert set(sample.notes) == {
        "Body part: the file says hand, the data set says knee. What the data set says counts.",
        "Modality: the file says CR, the data set says CT. What the file says counts.",
    }


def test_the_demo_case_lies_in_the_scope_of_what_is_trained_on_such_images() -> None:
    assert demo_case().attributes["body part"] == "wrist"
    assert check_scope(SYNTHETIC, demo_case().attributes).standing == "inside"


@pytest.mark.parametrize("kind", ["coco", "dicom"])
def test_synthetic_radiographs_say_so_on_disk(tmp_path: Path, kind: str) -> None:
    folder = write_demo(tmp_path / "demo", count=4, size=(160, 128), format=kind)
    if kind == "coco":
        dataset = open_dataset(folder)
        told = [dict(dataset[sample_id].attributes) for sample_id in dataset.ids]
    else:
        told = [told_by(path.read_bytes()) for path in sorted(folder.glob("radiographs/*.dcm"))]
    assert len(told) == 4
    for attributes in told:
        assert check_scope(SYNTHETIC, attributes).standing == "inside"


def test_ct_slices_of_the_challenge_and_of_the_demo(tmp_path: Path) -> None:
    samples = demo_studies(1, 0, slices=2, size=64)[0]
    path = tmp_path / "demo.h5"
    layouts.write_hdf5(samples, path, corners=False)
    dataset = open_dataset(path)
    assert [dict(dataset[each].attributes) for each in dataset.ids] == [CT_ATTRIBUTES] * 2
    with h5py.File(path, "a") as file:
        del file.attrs["attributes"]
    assert dict(open_dataset(path)[dataset.ids[0]].attributes) == CT
    with h5py.File(path, "a") as file:
        file.attrs["attributes"] = "[1]"
    with pytest.raises(DatasetError, match="attribute 'attributes' to be a JSON object"):
        open_dataset(path)


@pytest.mark.parametrize("to", ["coco", "hdf5"])
def test_converting_keeps_what_is_known_and_makes_nothing_up(tmp_path: Path, to: str) -> None:
    known = coco_of(tmp_path / "known", modality="DX", body_part="foot")
    unknown = coco_of(tmp_path / "unknown")
    for source, expected in ((known, {"modality": "DX", "body part": "foot"}), (unknown, {})):
        target = tmp_path / f"{source.name}-{to}"
        convert(source, target, Options(to=to, size_px=16, drop=frozenset({"classes"})))
        dataset = open_dataset(target)
        assert [dict(dataset[each].attributes) for each in dataset.ids] == [expected]
