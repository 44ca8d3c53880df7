"""A path box reaches the data folders of the server and tells nothing of any other place."""

from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from fracture_core.demo import write_demo
from fracture_core.errors import DatasetError
from fracture_core.settings import settings
from fracture_core.ui import protection
from fracture_core.ui.protection import check_start, inside_roots
from fracture_core.ui.read import dataset_choice

PAGE = str(Path(__file__).parents[2] / "pages" / "train" / "datasets.py")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    monkeypatch.setenv("FRACTURE_DATA_ROOTS", str(folder))
    settings.cache_clear()
    dataset_choice._KNOWN.clear()
    return folder


def refused(text: str) -> str:
    with pytest.raises(DatasetError) as caught:
        inside_roots(text)
    return str(caught.value)


def test_what_lies_below_a_root_may_be_opened_whether_it_exists_or_not(root: Path) -> None:
    assert inside_roots(str(root)) == root
    assert inside_roots(str(root / "new" / "set")) == root / "new" / "set"


def test_outside_the_same_is_said_of_files_folders_links_and_nothing(
    root: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    secret = outside / "name"
    gone = refused(str(secret))
    secret.write_text("secret")
    file = refused(str(secret))
    (root / "name").symlink_to(secret)
    link = refused(str(root / "name"))
    around = refused(str(root / ".." / "outside" / "name"))
    assert gone == file == link == around
    assert "FRACTURE_DATA_ROOTS" in gone
    assert "6" not in gone


@pytest.mark.parametrize("text", ["~nobody-of-this-name/data", "a\0b", "/", "/etc/passwd"])
def test_what_is_no_path_of_ours_is_refused_in_the_same_words(root: Path, text: str) -> None:
    assert "found one outside them" in refused(text)


def test_a_path_longer_than_any_file_is_a_sentence(root: Path) -> None:
    with pytest.raises(DatasetError):
        dataset_choice.opened_dataset(str(root / ("x" * 5000)))


def test_by_default_a_local_server_has_home_and_working_folder(
    root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("FRACTURE_DATA_ROOTS")
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.chdir(root)
    settings.cache_clear()
    monkeypatch.setattr(protection, "is_local", lambda: True)
    assert inside_roots(str(tmp_path / "user" / "data"))
    assert inside_roots("data")
    assert "outside" in refused(str(tmp_path / "other"))
    monkeypatch.setattr(protection, "is_local", lambda: False)
    assert "outside" in refused(str(tmp_path / "user" / "data"))
    assert inside_roots(str(settings().home / "demo" / "coco"))


def test_weights_to_begin_from_are_names_or_lie_in_the_roots(root: Path, tmp_path: Path) -> None:
    for name in ("", "COCO_V1", "facebook/detr-resnet-50", "my-model-2", str(root / "w.pt")):
        check_start(name)
    for path in ("/etc/passwd", "~/w.pt", "../w.pt", str(tmp_path / "w.pt")):
        with pytest.raises(DatasetError):
            check_start(path)


@pytest.fixture
def demo(root: Path) -> Path:
    return write_demo(root / "set", count=6, size=(128, 128))


def page(**query: str) -> AppTest:
    app = AppTest.from_file(PAGE, default_timeout=120)
    for name, value in query.items():
        app.query_params[name] = value
    return app.run()


def test_a_link_asks_before_its_path_is_opened(demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    really = dataset_choice.opened_dataset
    monkeypatch.setattr(
        dataset_choice, "opened_dataset", lambda path: (opened.append(path), really(path))[1]
    )
    app = page(path=str(demo))
    assert not opened
    assert not app.dataframe
    assert "names this data set" in app.info[0].value
    next(each for each in app.button if each.label == "Open it").click().run()
    assert set(opened) == {str(demo)}
    assert app.dataframe
    # What is open already is opened again without a question: links of the app's own lead there.
    assert page(path=str(demo)).dataframe


def test_a_link_out_of_the_roots_says_the_same_of_what_exists_and_what_does_not(
    root: Path,
) -> None:
    said = []
    for path in ("/etc/passwd", "/etc/passwd-not-there/passwd"):
        app = page(path=path)
        assert not app.error
        next(each for each in app.button if each.label == "Open it").click().run()
        said.append([each.value for each in app.error])
    assert said[0] == said[1]
    assert len(said[0]) == 1


def test_a_typed_path_is_opened_at_once(demo: Path) -> None:
    app = page()
    app.text_input(key="path").set_value(str(demo)).run()
    assert app.dataframe
    assert not app.exception


def test_a_copy_is_not_written_outside_the_roots(demo: Path, tmp_path: Path) -> None:
    app = page()
    app.text_input(key="path").set_value(str(demo)).run()
    fields = {each.label: each for each in app.text_input}
    fields["New folder"].input(str(tmp_path / "made"))
    next(each for each in app.button if each.label == "Convert").click().run()
    assert "outside them" in app.error[0].value
    assert [each.name for each in tmp_path.iterdir()] == ["root"]


@pytest.fixture(autouse=True)
def forget() -> None:
    st.cache_resource.clear()
