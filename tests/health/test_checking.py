"""The health check: faults of every kind planted in demo data are found, and nothing else is."""

import csv
import io
import json
import shutil

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fracture_core.datasets import open_dataset
from fracture_core.demo import write_demo
from fracture_core.errors import DatasetError
from fracture_core.health import (
    Fault,
    HealthReport,
    Limits,
    Place,
    Severity,
    check_health,
    command,
)
from fracture_core.health.checking import stem_of
from fracture_core.health.fingerprints import (
    POSES,
    Pose,
    band_passed,
    fingerprints,
    pose_matrix,
)
from fracture_core.health.near_duplicates import Groups
from fracture_core.health.repair import Repair, joined_groups, repair_dataset
from fracture_core.health.report import look_at
from tests.support.planted_faults import plant_in_coco, plant_in_yolo

SIZE = (256, 208)
# Names and images tell of one source at once, so that a copy may be found in two ways.
IN_YOLO = (
    "unreadable",
    "blank",
    "labels-missing",
    "labels-unreadable",
    "boxes-degenerate",
    "boxes-outside",
    "boxes-cut",
    "objects-small",
    "stems-across",
)
COPIES = ("duplicates-across", "duplicates-within", "look-alikes-across", "look-alikes-within")


@pytest.fixture(scope="module")
def clean_yolo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clean") / "yolo"
    return write_demo(folder, count=60, size=SIZE, format="yolo", outlines=False)


@pytest.fixture(scope="module")
def clean_coco(tmp_path_factory):
    return write_demo(tmp_path_factory.mktemp("clean") / "coco", count=30, size=SIZE)


@pytest.fixture(scope="module")
def faulty(clean_yolo, tmp_path_factory):
    folder = tmp_path_factory.mktemp("faulty") / "yolo"
    planted = plant_in_yolo(clean_yolo, folder)
    return planted, open_dataset(folder), check_health(open_dataset(folder))


@pytest.mark.parametrize("name", ["yolo", "coco"])
def test_clean_radiographs_have_no_fault(name, clean_yolo, clean_coco):
    report = check_health(open_dataset({"yolo": clean_yolo, "coco": clean_coco}[name]))
    assert report.faults == ()


def test_clean_studies_have_no_fault(tmp_path):
    folder = write_demo(tmp_path / "set", count=3, format="hdf5")
    report = check_health(open_dataset(folder))
    assert [each for each in report.faults if each.check != "splits-bare"] == []


@pytest.mark.parametrize("check", IN_YOLO)
def test_a_planted_fault_is_found_where_it_is(check, faulty):
    planted, _, report = faulty
    assert {place.sample_id for place in report.fault(check).places} == planted[check]


@pytest.mark.parametrize("check", COPIES)
def test_a_planted_copy_is_found_with_its_original(check, faulty):
    planted, dataset, report = faulty
    [place] = report.fault(check).places
    assert planted[check] < {place.sample_id, place.other}
    assert (place.split == place.other_split) == check.endswith("within")
    assert {place.sample_id, place.other} < set(dataset.ids)


def test_unused_and_healthy_classes_are_named(faulty):
    _, _, report = faulty
    assert [place.detail for place in report.fault("class-unused").places] == ["6 'phantom'"]
    assert [place.detail for place in report.fault("class-healthy").places] == ["Healthy"]
    assert [place.detail for place in report.fault("class-rare").places] == ["Healthy: 1 object"]


def test_nothing_else_is_reported(faulty):
    planted, _, report = faulty
    others = {"class-unused", "class-healthy", "class-rare"}
    assert {fault.check for fault in report.faults} == set(planted) | others


def test_errors_come_first(faulty):
    order = [list(Severity).index(fault.severity) for fault in faulty[2].faults]
    assert order == sorted(order)
    assert order[0] == 0


def test_json_and_csv_hold_every_place(faulty):
    _, _, report = faulty
    read = json.loads(report.as_json())
    assert [each["check"] for each in read["faults"]] == [each.check for each in report.faults]
    rows = list(csv.DictReader(io.StringIO(report.as_csv())))
    assert len(rows) == sum(len(fault.places) for fault in report.faults)
    [pair] = [row for row in rows if row["check"] == "look-alikes-across"]
    assert pair["other"] == report.fault("look-alikes-across").places[0].other


def test_a_cell_is_no_formula():
    place = Place(sample_id="=cmd|' /C calc'!A0", detail="-1")
    fault = Fault(
        check="c", severity=Severity.NOTE, title="t", meaning="m", advice="a", places=(place,)
    )
    report = HealthReport(
        name="n",
        path="p",
        format="yolo",
        images=1,
        splits={},
        input_size=640,
        faults=(fault,),
        seconds=0,
    )
    [row] = csv.DictReader(io.StringIO(report.as_csv()))
    assert row["sample"] == "'=cmd|' /C calc'!A0"
    assert row["detail"] == "'-1"


def test_faults_of_coco_and_the_labels_beside_it(clean_coco, tmp_path):
    folder = tmp_path / "coco"
    planted = plant_in_coco(clean_coco, folder)
    report = check_health(open_dataset(folder))
    for check, images in planted.items():
        assert {place.sample_id for place in report.fault(check).places} == images
    assert [place.detail for place in report.fault("class-unused").places] == ["9 'bones'"]
    backwards = check_health(open_dataset(folder / "data.yaml")).fault("labels-emptied-beside")
    assert {place.sample_id for place in backwards.places} == planted["labels-emptied"]


def test_progress_grows_to_one_and_may_stop_the_check(clean_coco):
    shares = []
    check_health(open_dataset(clean_coco), progress=lambda share, words: shares.append(share))
    assert shares == sorted(shares)
    assert shares[-1] == 1.0

    def stop(share, words):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check_health(open_dataset(clean_coco), progress=stop)


def test_a_repaired_copy_leaks_nothing_and_the_original_stays(faulty, tmp_path):
    planted, dataset, report = faulty
    before = {path: path.read_bytes() for path in dataset.path.rglob("*") if path.is_file()}
    made = repair_dataset(dataset, report, Repair.of(tmp_path / "copy", "60,20,20", 0))
    assert {each.sample_id for each in made.left_out} == planted["unreadable"]
    copy = open_dataset(made.destination)
    assert len(copy) == len(dataset) - len(made.left_out)
    assert copy.format == "yolo"
    assert set(copy.splits) == {"train", "val", "test"}
    again = check_health(copy)
    assert [fault.check for fault in again.faults if fault.check.endswith("-across")] == []
    assert again.fault("unreadable") is None
    assert {path: path.read_bytes() for path in before} == before


def test_what_belongs_together_gets_one_group(faulty):
    _, dataset, report = faulty
    groups = joined_groups(dataset, report)
    for fault in report.faults:
        for place in fault.places:
            if place.other:
                assert groups[place.sample_id] == groups[place.other]
    # The clean ones keep theirs.
    assert len(set(groups.values())) > 20


def test_a_destination_with_files_is_refused(faulty, tmp_path):
    _, dataset, report = faulty
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(DatasetError, match="new or empty"):
        repair_dataset(dataset, report, Repair.of(tmp_path, "70,15,15", 0))


def test_the_command_prints_writes_and_tells_by_its_exit_code(clean_coco, tmp_path, capsys):
    files = tmp_path / "report.json", tmp_path / "report.csv"
    assert command.run(clean_coco, Limits(), json=files[0], csv=files[1], repair=None) == 0
    assert "Nothing was found" in capsys.readouterr().out
    assert json.loads(files[0].read_text())["faults"] == []
    faulty = tmp_path / "faulty"
    shutil.copytree(clean_coco, faulty)
    next((faulty / "train").iterdir()).write_bytes(b"no picture")
    repair = Repair.of(tmp_path / "copy", "70,15,15", 0)
    assert command.run(faulty, Limits(), json=None, csv=None, repair=repair) == 1
    said = capsys.readouterr().out
    assert "ERROR: Images that cannot be read: 1" in said
    assert "29 images" in said
    assert len(open_dataset(tmp_path / "copy")) == 29


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=20))
def test_groups_are_the_parts_that_hang_together(pairs):
    groups = Groups()
    for one, other in pairs:
        groups.join(f"{one:02}", f"{other:02}")
    reached = np.eye(13, dtype=bool)
    for one, other in pairs:
        reached[one, other] = reached[other, one] = True
    for _ in range(4):
        reached = reached @ reached
    for one in range(13):
        assert groups.head(f"{one:02}") == f"{int(np.flatnonzero(reached[one])[0]):02}"


@pytest.mark.parametrize("pose", POSES)
def test_a_fingerprint_in_a_pose_is_that_of_the_image_in_it(pose):
    """An image moved as the pose says, seen upright, is the original seen in the pose."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 255, (12, 12)).astype(np.uint8)
    grey = cv2.resize(coarse, (128, 128), interpolation=cv2.INTER_CUBIC)
    centre = np.array([63.5, 63.5])
    linear = pose_matrix(pose)
    matrix = np.column_stack([linear, centre - linear @ centre])
    moved = cv2.warpAffine(grey, matrix, (128, 128), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    [seen] = fingerprints(band_passed(moved)[None], Pose(mirrored=False, degrees=0.0))
    [posed] = fingerprints(band_passed(grey)[None], pose)
    assert float(seen @ posed) > 0.9


def test_a_flat_image_is_like_none():
    flat = look_at(np.full((50, 40), 9, np.uint8))
    [seen] = fingerprints(band_passed(flat.thumb)[None], POSES[0])
    assert not seen.any()


def test_stems_of_names():
    assert stem_of("train/images/101_jpg.rf.2a0fe354.jpg") == "101_jpg"
    assert stem_of("valid/images/FOO-aug1.png") == stem_of("train/images/FOO.png") == "FOO"
    assert stem_of("a/FOO_augmented_12.png") == "a/FOO"
    assert stem_of("haug1.png") == "haug1"
