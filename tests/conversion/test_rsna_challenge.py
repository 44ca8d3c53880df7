"""The raw RSNA 2022 download to HDF5: choice of slices, pixels, broken files, kill and resume."""

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import psutil
import pytest
from typer.testing import CliRunner

from fracture_core.cli import app
from fracture_core.conversion import Options, convert
from fracture_core.datasets import open_dataset
from fracture_core.errors import DatasetError
from tests.support.rsna_download import SIDE, SLICES, slice_path, uid, write_download

HALF = SIDE // 2


@pytest.fixture(scope="module")
def download(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_download(tmp_path_factory.mktemp("rsna"), studies=20)


def raw(**others: object) -> Options:
    return Options(to="hdf5", size_px=HALF, **others)  # type: ignore[arg-type]


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def digests(folder: Path) -> dict[str, str]:
    files = (each for each in folder.rglob("*") if each.is_file())
    return {str(each.relative_to(folder)): digest(each) for each in files}


def test_the_file_is_in_the_layout_of_the_published_subset(download: Path, tmp_path: Path) -> None:
    made = convert(download, tmp_path / "rsna.h5", Options(to="hdf5"))
    assert made.left_out == ()
    assert made.card.name == "rsna.h5.conversion.json"
    with h5py.File(made.destination) as file:
        count = len(file["images"])
        assert file["images"].shape == (count, 256, 256)
        assert (file["images"].dtype, file["images"].compression) == (np.float32, None)
        assert file["images"].chunks == (1, 256, 256)
        assert all(array.fletcher32 for array in file.values())
        assert (file["bboxes"].shape, file["bboxes"].dtype) == ((count, 10, 4), np.float32)
        assert (file["labels"].dtype, file["split"].dtype) == (np.int8, np.int8)
        assert h5py.check_string_dtype(file["SliceNumber"].dtype).encoding == "utf-8"
        labels, splits = file["labels"][()], file["split"][()]
        boxes, studies = file["bboxes"][()], file["StudyInstanceUID"].asstr()[()]
        # Seven of twenty studies have boxes, on three slices each.
        assert labels.sum() == 21
        for split in (0, 1, 2):
            here = labels[splits == split]
            assert (here == 0).sum() == 3 * here.sum() > 0
        assert ((boxes[..., 2] > 0).sum(axis=1) == labels).all()
        assert (boxes[labels == 0] == -1).all()
        row = int(np.flatnonzero(labels)[0])
        study = int(studies[row].rpartition(".")[2])
        factor = 256 / SIDE
        expected = np.array([10.0 + study, 20.0, 8.0, 6.5]) * factor
        assert boxes[row, 0].tolist() == pytest.approx(expected.tolist())


def test_no_patient_is_in_two_splits_and_doubtful_studies_give_no_negative(
    download: Path, tmp_path: Path
) -> None:
    convert(download, tmp_path / "rsna.h5", raw())
    dataset = open_dataset(tmp_path / "rsna.h5")
    assert dataset.warnings == ()
    groups = [{dataset[each].group_id for each in ids} for ids in dataset.splits.values()]
    assert sum(map(len, groups)) == len(set().union(*groups))
    doubtful = {uid(study) for study in range(1, 20, 3)}
    assert not doubtful & set().union(*groups)
    convert(download, tmp_path / "any.h5", raw(any_negatives=True))
    taken = {open_dataset(tmp_path / "any.h5")[each].group_id for each in _ids(tmp_path / "any.h5")}
    assert doubtful & taken
    card = json.loads((tmp_path / "rsna.h5.conversion.json").read_text())
    assert any("without any box give no slice: 7" in each for each in card["told"])


def _ids(path: Path) -> tuple[str, ...]:
    return open_dataset(path).ids


def test_pixels_are_normed_over_the_whole_slice_and_then_halved(
    download: Path, tmp_path: Path
) -> None:
    import pydicom

    convert(download, tmp_path / "rsna.h5", raw())
    with h5py.File(tmp_path / "rsna.h5") as file:
        study, number = file["StudyInstanceUID"].asstr()[5], file["SliceNumber"].asstr()[5]
        image = file["images"][5]
    header = pydicom.dcmread(download / "train_images" / study / f"{number}.dcm")
    values = header.pixel_array.astype(np.float64)
    share = (values - values.min()) / (values.max() - values.min())
    means = share.reshape(HALF, 2, HALF, 2).mean(axis=(1, 3))
    assert np.abs(image - means).max() < 1e-6


@pytest.mark.parametrize(("ratio", "expected"), [(0.0, 0), (1.0, 21), (0.5, 11)])
def test_the_ratio_of_negatives_is_a_parameter(
    ratio: float, expected: int, download: Path, tmp_path: Path
) -> None:
    convert(download, tmp_path / "rsna.h5", raw(negatives=ratio))
    counts = open_dataset(tmp_path / "rsna.h5").summary().values()
    assert sum(count.with_findings for count in counts) == 21
    assert abs(sum(count.empty for count in counts) - expected) <= 2


def test_too_few_negatives_are_said(download: Path, tmp_path: Path) -> None:
    told: list[str] = []
    convert(download, tmp_path / "rsna.h5", raw(negatives=50.0), tell=told.append)
    assert sum("slices without a box were asked for, all" in each for each in told) == 3


def test_another_seed_takes_other_slices_and_the_same_seed_the_same(
    download: Path, tmp_path: Path
) -> None:
    for name, seed, workers in (("a", 1, 1), ("b", 1, 2), ("c", 2, 1)):
        convert(download, tmp_path / name / "x.h5", raw(seed=seed), workers=workers)
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    assert _ids(tmp_path / "a" / "x.h5") != _ids(tmp_path / "c" / "x.h5")


def test_the_raw_download_goes_to_the_other_formats_as_well(download: Path, tmp_path: Path) -> None:
    for to, bits in (("coco", 16), ("yolo", 8)):
        convert(download, tmp_path / to, Options(to=to))
        dataset = open_dataset(tmp_path / to)
        assert len(dataset) == 84
        assert sum(count.boxes["fracture"] for count in dataset.summary().values()) == 21
        assert dataset[dataset.ids[0]].pixels.dtype.itemsize * 8 == bits


def test_broken_slices_are_listed_and_the_others_converted(tmp_path: Path) -> None:
    folder = write_download(tmp_path / "raw", studies=9)
    whole, bare, absent = (slice_path(folder, 0, number) for number in (3, 4, 5))
    whole.write_bytes(whole.read_bytes()[:900])
    _take_pixels_away(bare)
    absent.unlink()
    (folder / "train_images" / uid(2) / "notes.txt").write_text("not a slice")
    with (folder / "train_bounding_boxes.csv").open("a") as file:
        file.write(f"{uid(2)},900,900,10,10,1\n")
    out = tmp_path / "rsna.h5"
    arguments = ["convert", str(folder), str(out), "--to", "hdf5", "--size", str(HALF)]
    result = CliRunner().invoke(app, [*arguments, "--workers", "1"])
    assert result.exit_code == 1
    assert "4 left out, listed there" in result.stdout
    assert "not named <number>.dcm, left out: 1" in result.stderr
    card = json.loads((tmp_path / "rsna.h5.conversion.json").read_text())
    reasons = {each["sample_id"]: each["reason"] for each in card["left_out"]}
    assert reasons.keys() == {f"{uid(0)}/{number}" for number in (3, 4, 5)} | {f"{uid(2)}/1"}
    assert "no such file" in reasons[f"{uid(0)}/5"]
    assert "none of its boxes there" in reasons[f"{uid(2)}/1"]
    assert not reasons.keys() & set(_ids(out))
    assert f"{uid(3)}/4" in _ids(out)


def _take_pixels_away(path: Path) -> None:
    import pydicom

    header = pydicom.dcmread(path)
    del header.PixelData
    header.save_as(path)


def test_an_interrupted_run_goes_on_and_gives_the_same_bits(
    download: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fracture_core.conversion import workspace

    monkeypatch.setattr(workspace, "IMAGES", 5)
    convert(download, tmp_path / "straight" / "x.h5", raw())

    def stop(done: int, total: int) -> None:
        if done >= 30:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(download, tmp_path / "again" / "x.h5", raw(), progress=stop)
    assert [each.name for each in (tmp_path / "again").iterdir()] == [".x.h5.converting"]
    seen: list[int] = []
    convert(
        download, tmp_path / "again" / "x.h5", raw(), progress=lambda done, total: seen.append(done)
    )
    assert seen[0] == 30
    assert digests(tmp_path / "straight") == digests(tmp_path / "again")


def test_another_conversion_does_not_go_on_with_a_stopped_one(tmp_path: Path) -> None:
    folder = write_download(tmp_path / "raw", studies=9)

    def stop(done: int, total: int) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(folder, tmp_path / "x.h5", raw(), progress=stop)
    with pytest.raises(DatasetError, match="with the same options and fingerprint"):
        convert(folder, tmp_path / "x.h5", raw(seed=5))
    os.utime(slice_path(folder, 0, 3), (0, 0))
    with pytest.raises(DatasetError, match="with the same fingerprint"):
        convert(folder, tmp_path / "x.h5", raw())


def test_two_conversions_to_one_place_do_not_run_at_once(download: Path, tmp_path: Path) -> None:
    def nested(done: int, total: int) -> None:
        with pytest.raises(DatasetError, match="another one that is still running"):
            convert(download, tmp_path / "x.h5", raw())

    assert convert(download, tmp_path / "x.h5", raw(), progress=nested).images == 84


def test_a_killed_run_goes_on_and_its_processes_end(tmp_path: Path) -> None:
    folder = write_download(tmp_path / "raw", studies=60)
    straight = tmp_path / "straight" / "x"
    convert(folder, straight, Options(to="hdf5", size_px=512))
    arguments = ["convert", str(folder), "x", "--to", "hdf5", "--size", "512", "--workers", "2"]
    killed = tmp_path / "killed"
    killed.mkdir()
    command = [sys.executable, "-m", "fracture_core", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    run = subprocess.Popen(
        command, cwd=killed, env=environment, stderr=subprocess.DEVNULL, start_new_session=True
    )
    records = killed / ".x.converting" / "chunks"
    deadline = time.monotonic() + 60
    while not list(records.glob("*.json")) and time.monotonic() < deadline:
        time.sleep(0.01)
    # Only the parent, as the system does for want of memory: the others must notice.
    run.kill()
    run.wait()
    done = len(list(records.glob("*.json")))
    assert not (killed / "x").exists()
    while _is_alive(run.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _is_alive(run.pid)
    assert 0 < done < 15
    again = subprocess.run(command, cwd=killed, env=environment, capture_output=True, check=False)
    assert again.returncode == 0, again.stderr.decode()
    assert [each.name for each in killed.iterdir()] == ["x"]
    assert digests(killed / "x") == digests(straight)


def _is_alive(group: int) -> bool:
    """Whether a process of the group runs; one that has ended may wait for its parent."""
    for each in psutil.process_iter():
        try:
            if os.getpgid(each.pid) == group and each.status() != psutil.STATUS_ZOMBIE:
                return True
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return False


def _head(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text + path.read_text().partition("\n")[2])
    return folder


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("train_bounding_boxes.csv", "StudyInstanceUID,x,y,w,h\n", "found no width, height, slice"),
        (
            "train_bounding_boxes.csv",
            "StudyInstanceUID,x,y,width,height,slice_number\n1.2,a,2,3,4,5\n",
            "line 2: expected a number as 'x', found 'a'",
        ),
        (
            "train_bounding_boxes.csv",
            "StudyInstanceUID,x,y,width,height,slice_number\n1.2,1,2,3,nan,5\n",
            "a number as 'height', found 'nan'",
        ),
        (
            "train_bounding_boxes.csv",
            "StudyInstanceUID,x,y,width,height,slice_number\n1.2,1,2,3,4,5.5\n",
            "a whole 'slice_number', found '5.5'",
        ),
        (
            "train.csv",
            "StudyInstanceUID,patient_overall\n1.2,7\n",
            "'patient_overall' of 0 or 1, found '7'",
        ),
    ],
)
def test_tables_that_make_no_sense_get_a_sentence(
    name: str, text: str, sentence: str, tmp_path: Path
) -> None:
    folder = _head(write_download(tmp_path / "raw", studies=3), name, text)
    with pytest.raises(DatasetError, match=sentence):
        convert(folder, tmp_path / "x.h5", raw())
    assert [each.name for each in tmp_path.iterdir()] == ["raw"]


def test_a_part_of_the_download_gets_a_sentence(tmp_path: Path) -> None:
    folder = write_download(tmp_path / "raw", studies=3)
    (folder / "train.csv").rename(folder / "kept")
    with pytest.raises(DatasetError, match=r"train\.csv beside train_images"):
        convert(folder, tmp_path / "x.h5", raw())
    assert convert(folder, tmp_path / "x.h5", raw(any_negatives=True)).images == 12
    (folder / "train_bounding_boxes.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DatasetError, match="comma-separated"):
        convert(folder, tmp_path / "y.h5", raw(any_negatives=True))
    (folder / "train_bounding_boxes.csv").unlink()
    with pytest.raises(DatasetError, match=r"train_bounding_boxes\.csv beside"):
        convert(folder, tmp_path / "y.h5", raw())


def test_a_study_that_leads_out_of_the_folder_reads_nothing_there(tmp_path: Path) -> None:
    folder = write_download(tmp_path / "raw", studies=9)
    with (folder / "train_bounding_boxes.csv").open("a") as file:
        file.write(f"../../other,1,1,10,10,{SLICES}\n")
    made = convert(folder, tmp_path / "x.h5", raw())
    assert [each.sample_id for each in made.left_out] == [f"../../other/{SLICES}"]
