"""The product on a full disk and with a home that cannot be written: sentences, nothing lost."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from fracture_core import cli
from fracture_core.demo import write_demo
from fracture_core.errors import StorageError
from fracture_core.evaluations import EvaluateConfig, new_evaluation, run_evaluation
from fracture_core.imaging import deidentify
from fracture_core.imaging.opening import open_picture
from fracture_core.models import library
from fracture_core.settings import settings
from tests.dicom_files import dicom

PIXELS = np.arange(64, dtype=np.uint16).reshape(8, 8)


def mount(place: Path, options: str) -> None:
    place.mkdir(exist_ok=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)],
        capture_output=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"cannot mount here: {done.stderr.decode().strip()}")


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home on a disk of 512 kB."""
    place = tmp_path / "disk"
    mount(place, "size=512k")
    monkeypatch.setenv("FRACTURE_HOME", str(place))
    settings.cache_clear()
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def read_only(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)


def fill(disk: Path) -> Path:
    filler = disk / "filler"
    free = os.statvfs(disk)
    filler.write_bytes(b"0" * (free.f_bavail * free.f_bsize))
    return filler


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    """The exit status of a command and what it said on stderr."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["fracture_core", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
    return int(ended.value.code or 0), capsys.readouterr().err


def test_an_evaluation_ends_with_a_sentence_and_goes_when_there_is_room(
    disk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_demo(tmp_path / "set", count=6, size=(128, 128))
    filler = fill(disk)
    status, said = run(capsys, "evaluate", "--model", "fake", "--data", str(data), "--split", "val")
    assert status == 2
    assert said.strip().count("\n") == 0
    assert "room on the disk" in said
    assert [each for each in disk.rglob("*") if each.is_file()] == [filler]
    filler.unlink()
    run_folder = new_evaluation(EvaluateConfig.of(model="fake", data=str(data), split="val"))
    assert run_evaluation(run_folder.path) is not None


def test_a_model_that_does_not_fit_leaves_the_library_as_it_was(disk: Path, tmp_path: Path) -> None:
    weights = tmp_path / "weights.pt"
    weights.write_bytes(b"0" * 1_000_000)
    with pytest.raises(StorageError, match="a full disk"), library._adding("model") as part:
        shutil.copyfile(weights, part / "weights.pt")
    assert not list((disk / "models").iterdir())


def test_with_a_home_that_is_read_only_they_end_with_a_sentence(disk: Path, tmp_path: Path) -> None:
    read_only(disk)
    with pytest.raises(StorageError, match="a read-only file system"), library._adding("model"):
        pytest.fail("there is no place to write to")
    config = EvaluateConfig.of(model="fake", data=str(tmp_path), split="val")
    with pytest.raises(StorageError, match="a read-only file system"):
        new_evaluation(config)


def test_a_dicom_file_is_read_with_a_home_that_is_read_only(disk: Path) -> None:
    read_only(disk)
    before = open_picture(dicom(PIXELS), "a.dcm")
    assert any("could not be kept" in each for each in before.warnings)
    assert open_picture(dicom(PIXELS), "a.dcm").group_id == before.group_id
    # The secret in use is kept as soon as it can be.
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    after = open_picture(dicom(PIXELS), "a.dcm")
    assert after.group_id == before.group_id
    assert not any("could not be kept" in each for each in after.warnings)
    deidentify._new_key.cache_clear()
    assert open_picture(dicom(PIXELS), "a.dcm").group_id == before.group_id


def test_a_dicom_file_is_read_on_a_full_disk(disk: Path) -> None:
    fill(disk)
    read = open_picture(dicom(PIXELS), "a.dcm")
    assert any("could not be kept" in each for each in read.warnings)
    assert [each.name for each in disk.iterdir()] == ["filler"]


def test_a_key_that_is_there_and_unreadable_is_not_replaced(disk: Path) -> None:
    (disk / "uid.key").mkdir()
    with pytest.raises(Exception, match=r"uid\.key"):
        open_picture(dicom(PIXELS), "a.dcm")


def page_that_fails() -> None:
    from fracture_core.ui.script_errors import say_in_a_sentence

    error = OSError(28, "No space left on device", "/home/x.json")
    assert say_in_a_sentence(error)
    assert not say_in_a_sentence(ZeroDivisionError())


def test_a_page_says_what_the_disk_refused() -> None:
    app = AppTest.from_function(page_that_fails, default_timeout=60).run()
    assert not app.exception
    assert [each.value for each in app.error] == [
        "/home/x\\.json: expected room on the disk, found a full disk\\. Make room and do it "
        "again: what was there before is as it was\\."
    ] or "a full disk" in app.error[0].value
