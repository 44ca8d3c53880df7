"""The product on a full disk and with a home that cannot be written: sentences, nothing lost."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

import trainers.__main__
from fracture_core import class_names, cli, jobs
from fracture_core.demo import write_demo
from fracture_core.errors import StorageError
from fracture_core.evaluations import list_evaluations
from fracture_core.imaging import deidentify
from fracture_core.imaging.opening import open_image
from fracture_core.models import library
from fracture_core.models.cards import read_card
from fracture_core.models.fake import CARD
from fracture_core.models.library import list_cards, points_of, rename_model, store_points
from fracture_core.models.points import Measurements
from fracture_core.runs import RunFolder
from fracture_core.settings import settings
from tests.support.dicom_files import dicom
from tests.support.measurements import measured

APP = Path(__file__).parents[1] / "streamlit_app.py"
RESNET = library.SHIPPED / "resnet"
PIXELS = np.arange(64, dtype=np.uint16).reshape(8, 8)
REFUSALS = {"full": "a full disk", "read-only": "a read-only file system"}
SMALL = (
    "start=",
    "device=cpu",
    "input_size=64",
    "network.backbone=resnet18",
    "network.backbone_width=8",
    "network.width=16",
    "network.feedforward_width=16",
    "network.encoder_depth=1",
    "network.decoder_depth=1",
    "network.head_count=2",
    "epochs=1",
    "limit=4",
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_demo(tmp_path_factory.mktemp("data") / "set", count=12, size=(128, 128))


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home on a disk of 200 MB, with a file of the user in it."""
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200m", "tmpfs", str(place)],
        capture_output=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"cannot mount here: {done.stderr.decode().strip()}")
    monkeypatch.setenv("FRACTURE_HOME", str(place))
    settings.cache_clear()
    (place / "kept.txt").write_text("mine")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def remount(disk: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(disk)], check=True)


def fill(disk: Path, *, leaving: int = 0) -> Path:
    filler = disk / "filler"
    free = os.statvfs(disk)
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_bsize - leaving)
    return filler


def files_of(disk: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in disk.rglob("*") if path.is_file()}


@contextmanager
def refusing(disk: Path, how: str, *, leaving: int = 0) -> Iterator[None]:
    """In the block the disk takes nothing more; what was there before is there after it, and of
    what was begun nothing, apart from logs, locks and what runs and conversions go on from.
    """
    before = files_of(disk)
    if how == "full":
        filler = fill(disk, leaving=leaving)
    else:
        remount(disk, "ro")
    yield
    if how == "full":
        filler.unlink()
    else:
        remount(disk, "rw")
    after = files_of(disk)
    assert {path: after.get(path) for path in before} == before
    # A log goes on growing, and a queue that nobody holds is an empty file.
    left = [path.relative_to(disk) for path in disk.rglob("*")]
    halves = (".part", ".adding-", ".model-", ".deleting-", ".uid-key-")
    assert not [path for path in left if any(half in str(path) for half in halves)]


def run(
    capsys: pytest.CaptureFixture[str], *words: str, main: Callable[[], None] = cli.main
) -> tuple[int, str]:
    """The exit status of a command and what it said on stderr."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["program", *words])
        try:
            main()
        except SystemExit as ended:
            return int(ended.code or 0), capsys.readouterr().err
    return 0, capsys.readouterr().err


def assert_refused(done: tuple[int, str], how: str) -> None:
    """With one sentence, after whatever was told before."""
    status, said = done
    assert status == 2, said
    assert "Traceback" not in said
    sentence = said.strip().splitlines()[-1]
    assert f"found {REFUSALS[how]}" in sentence or ("full" in how and "MB free" in sentence), said


both = pytest.mark.parametrize("how", list(REFUSALS))


# ---- commands ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "leaving"),
    [("read-only", 0), *(("full", pages * 4_096) for pages in (0, 1, 2, 4, 8, 16))],
)
def test_an_evaluation_ends_with_a_sentence_and_goes_on(
    how: str, leaving: int, disk: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("evaluate", "--model", "fake", "--data", str(data), "--split", "val")
    with refusing(disk, how, leaving=leaving):
        assert_refused(run(capsys, *asked), how)
    begun = list(settings().evaluations.glob("*/config.json"))
    assert len(begun) == int(leaving > 4_096) or leaving == 4_096
    words = ("evaluate", "--resume", str(begun[0].parent)) if begun else asked
    assert run(capsys, *words)[0] == 0
    (done,) = list_evaluations()
    assert done.complete
    assert (done.folder / "report.json").is_file()


@both
def test_a_weights_file_is_added_whole_or_not_at_all(
    how: str, disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = str(RESNET / "weights.safetensors")
    names = ("--classes", ",".join(read_card(RESNET).classes), "--id", "mine")
    asked = ("add-model", weights, "--family", "resnet", *names)
    with refusing(disk, how, leaving=40_960):
        assert_refused(run(capsys, *asked), how)
        assert [card.model_id for card in list_cards()] == ["fake"]
    assert run(capsys, *asked)[0] == 0
    assert [card.model_id for card in list_cards()] == ["fake", "mine"]


@both
def test_a_named_model_is_added_whole_or_not_at_all(
    how: str, disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with refusing(disk, how, leaving=40_960):
        assert_refused(run(capsys, "add-model", "detr:tiny"), how)
    assert run(capsys, "add-model", "detr:tiny")[0] == 0


@both
def test_predictions_are_written_whole_or_the_old_file_stays(
    how: str, disk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image, out = tmp_path / "a.dcm", disk / "out.json"
    image.write_bytes(dicom(PIXELS))
    asked = ("predict", str(image), "--model", "fake", "--out")
    out.write_text("old")
    with refusing(disk, how):
        assert_refused(run(capsys, *asked, str(out)), how)
        assert out.read_text() == "old"
        # Elsewhere there is room: the image's key that could not be kept refuses nothing.
        assert run(capsys, *asked, str(tmp_path / "out.json"))[0] == 0
    assert not (disk / "uid.key").exists()
    assert run(capsys, *asked, str(out))[0] == 0
    assert out.read_text() != "old"
    assert (disk / "uid.key").is_file()


@pytest.mark.parametrize(
    ("how", "to", "leaving"),
    [
        ("read-only", "yolo", 0),
        *(("full", to, room) for to in ("coco", "yolo", "hdf5") for room in (0, 40_960)),
    ],
)
def test_a_conversion_goes_on_when_there_is_room(
    how: str,
    to: str,
    leaving: int,
    disk: Path,
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def convert(place: Path) -> tuple[int, str]:
        more = ("--size", "64", "--drop", "classes", "--drop", "masks") if to == "hdf5" else ()
        return run(
            capsys, "convert", str(data), str(place / "out"), "--to", to, "--workers", "1", *more
        )

    with refusing(disk, how, leaving=leaving):
        status, said = convert(disk)
        assert (status, "Traceback" in said) == (2, False)
        assert REFUSALS[how] in said.strip().splitlines()[-1] or "GiB" in said
        assert not (disk / "out").exists()
    assert convert(disk)[0] == convert(tmp_path)[0] == 0
    made, straight = (
        {path.relative_to(place): path.read_bytes() for path in (place / "out").rglob("*.*")}
        for place in (disk, tmp_path)
    )
    assert made == straight
    assert not list(disk.glob(".out*"))


@both
def test_health_reports_are_whole_or_not_there(
    how: str, disk: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("health", str(data), "--json", str(disk / "health.json"))
    with refusing(disk, how):
        assert_refused(run(capsys, *asked), how)
        assert not (disk / "health.json").exists()
    assert run(capsys, *asked)[0] in {0, 1}
    assert (disk / "health.json").stat().st_size > 100


# ---- trainings --------------------------------------------------------------------------------


def train(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    return run(capsys, *words, main=trainers.__main__.main)


def new(capsys: pytest.CaptureFixture[str], folder: Path, data: Path) -> tuple[int, str]:
    sets = [word for each in SMALL for word in ("--set", each)]
    asked = ("new", str(folder), "--recipe", "r3-detr-scratch", "--data", str(data), *sets)
    return train(capsys, *asked)


@both
def test_a_training_goes_on_when_there_is_room(
    how: str, disk: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = settings().runs / "mine"
    with refusing(disk, how):
        assert_refused(new(capsys, folder, data), how)
        assert not folder.exists()
    assert new(capsys, folder, data)[0] == 0
    with refusing(disk, how):
        assert_refused(train(capsys, "train", str(folder)), how)
    assert train(capsys, "train", str(folder))[0] == 0
    assert RunFolder(path=folder).card.is_file()


@pytest.mark.parametrize("pages", [0, 1, 3, 40])
def test_a_disk_that_fills_while_it_trains_leaves_what_to_go_on_from(
    pages: int,
    disk: Path,
    data: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from trainers.loop import Loop

    folder = settings().runs / "mine"
    assert new(capsys, folder, data)[0] == 0
    whole, filler = Loop._train_epoch, disk / "filler"

    def fill_and_train(*given: object) -> bool:
        fill(disk, leaving=pages * 4_096)
        return whole(*given)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "_train_epoch", fill_and_train)
        assert_refused(train(capsys, "train", str(folder)), "full")
    assert not [path for path in disk.rglob("*") if ".part" in path.name]
    filler.unlink()
    assert train(capsys, "train", str(folder))[0] == 0
    assert RunFolder(path=folder).card.is_file()


# ---- settings, points and cards ---------------------------------------------------------------


def keep_classes() -> None:
    class_names.keep(["fracture"], ["broken"], {"broken": "fracture"})


def keep_points() -> None:
    store_points(measured(weights_sha256=CARD.weights_sha256))


def give_a_title() -> None:
    rename_model(RESNET.name, "Another")


def read_settings() -> tuple[dict[str, str] | None, Measurements | None, str]:
    kept = class_names.kept(["fracture"], ["broken"])
    titles = {card.model_id: card.title for card in list_cards()}
    return kept, points_of(CARD), titles[RESNET.name]


@both
@pytest.mark.parametrize("write", [keep_classes, keep_points, give_a_title])
def test_what_was_kept_before_stays(write: Callable[[], None], how: str, disk: Path) -> None:
    library.add_folder(RESNET)
    before = read_settings()
    with refusing(disk, how):
        with pytest.raises(StorageError, match=REFUSALS[how]):
            write()
        assert read_settings() == before
    write()
    assert read_settings() != before


def test_a_model_is_deleted_on_a_full_disk(disk: Path) -> None:
    """That is how room is made."""
    library.add_folder(RESNET)
    filler = fill(disk)
    library.delete_model(RESNET.name)
    assert [card.model_id for card in list_cards()] == ["fake"]
    assert list((disk / "models").iterdir()) == []
    filler.unlink()


# ---- pages ------------------------------------------------------------------------------------


def said(app: AppTest) -> list[str]:
    assert not app.exception, app.exception
    return [each.value.replace("\\", "") for each in app.error]


@pytest.mark.parametrize(("how", "pages"), [("read-only", 0), ("full", 0), ("full", 1)])
def test_an_evaluation_from_the_page_can_be_started_again(
    how: str, pages: int, disk: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRACTURE_RUNNER", "inline")
    settings.cache_clear()
    app = AppTest.from_file(str(APP), default_timeout=120).run()
    app.switch_page("pages/evaluate/metrics.py").run()
    app.text_input(key="path").set_value(str(data)).run()
    app.selectbox(key="evaluation_model").set_value("fake").run()
    with refusing(disk, how, leaving=pages * 4_096):
        app.button(key="evaluation_start").click().run()
        assert REFUSALS[how] in said(app)[0]
    app.button(key="evaluation_start").click().run()
    assert said(app) == []
    assert [each.complete for each in list_evaluations()] == [True]
    assert len(jobs.list_jobs()) == 1


@both
def test_a_training_from_the_page_can_be_started_again(
    how: str, disk: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fracture_core.ui.train import launching

    fine = {"findings": [], "parameters": 1, "step_seconds": 1, "seconds": 1, "memory_bytes": 1}
    monkeypatch.setattr(launching, "_preflight", lambda *_: {**fine, "device": "CPU"})
    monkeypatch.setattr(launching.st, "switch_page", lambda _: None)
    monkeypatch.setattr("fracture_core.jobs.verbs.tend", lambda: None)
    app = AppTest.from_file(str(APP.parent / "pages/train/launch.py"), default_timeout=60)
    app.session_state["path"] = app.session_state["path_agreed"] = str(data)
    app.session_state["recipe"] = "r3-detr-scratch"
    app.run()
    named = {each.label: each for each in app.button}
    named["Check before the start"].click().run()
    with refusing(disk, how):
        next(each for each in app.button if each.label == "Start training").click().run()
        assert REFUSALS[how] in said(app)[0]
    next(each for each in app.button if each.label == "Start training").click().run()
    assert said(app) == []
    assert len(jobs.list_jobs()) == 1


# ---- DICOM files ------------------------------------------------------------------------------


def test_a_dicom_file_is_read_with_a_home_that_is_read_only(disk: Path) -> None:
    remount(disk, "ro")
    before = open_image(dicom(PIXELS), "a.dcm")
    assert any("could not be kept" in each for each in before.warnings)
    assert open_image(dicom(PIXELS), "a.dcm").group_id == before.group_id
    # The secret in use is kept as soon as it can be.
    remount(disk, "rw")
    after = open_image(dicom(PIXELS), "a.dcm")
    assert after.group_id == before.group_id
    assert not any("could not be kept" in each for each in after.warnings)
    deidentify._new_key.cache_clear()
    assert open_image(dicom(PIXELS), "a.dcm").group_id == before.group_id


def test_a_dicom_file_is_read_on_a_full_disk(disk: Path) -> None:
    fill(disk)
    read = open_image(dicom(PIXELS), "a.dcm")
    assert any("could not be kept" in each for each in read.warnings)
    assert sorted(each.name for each in disk.iterdir()) == ["filler", "kept.txt"]


def test_a_key_that_is_there_and_unreadable_is_not_replaced(disk: Path) -> None:
    (disk / "uid.key").mkdir()
    with pytest.raises(Exception, match=r"uid\.key"):
        open_image(dicom(PIXELS), "a.dcm")


def page_that_fails() -> None:
    from fracture_core.ui.widgets.text import say_in_a_sentence

    error = OSError(28, "No space left on device", "/home/x.json")
    assert say_in_a_sentence(error)
    assert not say_in_a_sentence(ZeroDivisionError())


def test_a_page_says_what_the_disk_refused() -> None:
    app = AppTest.from_function(page_that_fails, default_timeout=60).run()
    (sentence,) = said(app)
    assert sentence == (
        "/home/x.json: expected room on the disk, found a full disk. Make room and do it again: "
        "what was there before is as it was."
    )
