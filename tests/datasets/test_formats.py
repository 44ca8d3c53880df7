"""The formats that are registered: what all have in common, and those of other packages."""

import pickle
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest
from typer.testing import CliRunner

from fracture_core.cli import app
from fracture_core.conversion import Options, convert
from fracture_core.datasets import is_dataset, open_dataset
from fracture_core.datasets.formats import FORMATS, installed, writable
from fracture_core.demo import write_demo
from fracture_core.errors import ConfigError, DatasetError
from fracture_core.health.checking import check_health
from fracture_core.health.repair import Repair, repair_dataset
from fracture_core.health.report import Limits
from tests.support.made_packages import install, install_boxes


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same data set in every format that can be written."""
    folder = tmp_path_factory.mktemp("formats")
    demo = write_demo(folder / "demo", count=20, seed=1, size=(128, 128))
    drop = frozenset({"masks", "classes", "boxes", "unknown"})
    return {
        name: convert(demo, folder / name, Options(to=name, size_px=96, drop=drop)).destination
        for name in writable()
    }


@pytest.mark.parametrize("name", FORMATS)
def test_a_data_set_looks_like_its_format_alone(name: str, examples: dict[str, Path]) -> None:
    path = examples[name]
    assert [each for each, known in FORMATS.items() if known.looks_like(path)] == [name]
    assert is_dataset(path)
    dataset = open_dataset(path)
    assert (dataset.format, dataset.warnings) == (name, ())
    assert FORMATS[name].root(dataset.path) == path
    assert " lie beside it" not in dataset.found


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_opened_has_ids_splits_and_counts_that_agree(
    name: str, examples: dict[str, Path]
) -> None:
    dataset = open_dataset(examples[name])
    assert sorted(id_ for ids in dataset.splits.values() for id_ in ids) == sorted(dataset.ids)
    assert set(dataset.splits) == {"train", "val", "test"}
    boxes = sum(len(dataset[each].ground_truth or ()) for each in dataset)
    counts = dataset.summary().values()
    assert sum(sum(each.boxes.values()) for each in counts) == boxes > 10
    assert sum(each.images for each in counts) == len(dataset) == 20
    assert pickle.loads(pickle.dumps(dataset)).ids == dataset.ids


@pytest.mark.parametrize("name", FORMATS)
def test_a_copy_without_leaks_is_written_in_the_format_the_data_set_has(
    name: str, examples: dict[str, Path], tmp_path: Path
) -> None:
    dataset = open_dataset(examples[name])
    report = check_health(dataset, Limits())
    made = repair_dataset(dataset, report, Repair(destination=tmp_path / "copy"))
    assert open_dataset(made.destination).format == name
    assert (made.images, made.left_out) == (20, ())


@pytest.mark.parametrize("name", FORMATS)
def test_a_folder_that_holds_nothing_of_a_format_is_not_taken_for_it(
    name: str, tmp_path: Path
) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    assert not FORMATS[name].looks_like(tmp_path)
    assert not FORMATS[name].looks_like(tmp_path / "a.png")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder where packages are found; what was found before is forgotten around the test."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    installed.cache_clear()
    yield folder
    installed.cache_clear()
    for name in ("bad", "boxes_format"):
        sys.modules.pop(name, None)


@pytest.fixture
def boxes(tmp_path: Path) -> Path:
    """A data set in the format of the tiny package."""
    folder = tmp_path / "boxes"
    folder.mkdir()
    for name in "abc":
        Image.fromarray(np.full((40, 60), 90, dtype=np.uint8)).save(folder / f"{name}.png")
    (folder / "boxes.txt").write_text("a.png 1 2 30 20\nb.png 5 5 9 9 10 10 20 20\nc.png\n")
    return folder


def test_a_format_of_another_package_is_opened_and_converted(site: Path, boxes: Path) -> None:
    with pytest.raises(DatasetError, match="found a folder without any"):
        open_dataset(boxes)
    install_boxes(site)
    installed.cache_clear()
    dataset = open_dataset(boxes)
    assert (dataset.format, len(dataset)) == ("boxes", 3)
    assert "boxes  " in CliRunner().invoke(app, ["formats"]).output
    convert(boxes, site / "coco", Options(to="coco"))
    copy = open_dataset(site / "coco")
    assert sum(len(copy[each].ground_truth or ()) for each in copy) == 3


def test_a_format_that_is_only_read_is_refused_as_a_target(site: Path, boxes: Path) -> None:
    install_boxes(site)
    installed.cache_clear()
    listed = ", ".join(writable())
    with pytest.raises(ConfigError, match="found 'boxes', which can be read but not written") as to:
        Options(to="boxes")
    assert f"expected one of {listed}" in str(to.value)
    dataset = open_dataset(boxes)
    report = check_health(dataset, Limits())
    with pytest.raises(ConfigError, match=f"written: {listed}, found boxes") as repaired:
        repair_dataset(dataset, report, Repair(destination=site / "copy"))
    assert "Convert it to one of these first" in str(repaired.value)
    done = CliRunner().invoke(app, ["convert", str(boxes), str(site / "x"), "--to", "boxes"])
    assert "can be read but not written" in str(done.exception)
    assert not (site / "x").exists()


def test_the_pages_offer_what_can_be_written(
    site: Path, boxes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_boxes(site)
    installed.cache_clear()
    monkeypatch.setenv("FRACTURE_DATA_ROOTS", str(boxes))
    page = Path(__file__).parents[2] / "pages" / "train" / "datasets.py"
    app = AppTest.from_file(str(page), default_timeout=120)
    app.session_state["path"] = app.session_state["path_agreed"] = str(boxes)
    app.run()
    assert not app.exception
    target = next(each for each in app.selectbox if each.label == "To")
    assert target.options == [each.title for each in FORMATS.values() if each.write]
    next(each for each in app.button if each.label == "Check health").click().run()
    deadline = time.monotonic() + 120
    while not any("can only be read" in each.value for each in app.info):
        assert not app.exception
        assert time.monotonic() < deadline
        time.sleep(0.2)
        app.run()
    assert not any(each.label == "Make the copy" for each in app.button)


@pytest.mark.parametrize(
    ("entry", "code", "sentence"),
    [
        (
            "bad:THIS",
            "raise RuntimeError('gone')",
            "imported, found RuntimeError: gone",
        ),
        ("bad:THIS", "", "AttributeError"),
        ("bad:THIS", "THIS = 3", "bad:THIS to be a DatasetFormat, found int"),
        (
            "bad:COCO",
            "from fracture_core.datasets.formats import COCO",
            "of its own, found 'coco'",
        ),
    ],
)
def test_a_broken_package_is_told_and_stops_no_other(
    entry: str, code: str, sentence: str, site: Path, boxes: Path
) -> None:
    install(site, "formats", "bad", entry, code)
    install_boxes(site)
    installed.cache_clear()
    [told] = installed().broken
    assert sentence in told
    assert open_dataset(boxes).format == "boxes"
    assert told in CliRunner().invoke(app, ["formats"]).output
    with pytest.raises(DatasetError, match="found no such file") as unknown:
        open_dataset(site / "absent")
    assert told in str(unknown.value)
