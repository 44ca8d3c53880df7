"""The Health tab of the page of data sets."""

import time
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from fracture_core.datasets import open_dataset
from fracture_core.demo import write_demo
from tests.support.planted_faults import plant_in_yolo

PAGE = str(Path(__file__).parents[2] / "pages" / "train" / "datasets.py")
PATIENCE_SECONDS = 120


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clean") / "set"
    return write_demo(folder, count=60, size=(160, 128), format="yolo", outlines=False)


@pytest.fixture(scope="module")
def faulty(clean, tmp_path_factory):
    folder = tmp_path_factory.mktemp("faulty") / "set"
    plant_in_yolo(clean, folder)
    return folder


@pytest.fixture(autouse=True)
def fresh():
    st.cache_resource.clear()


def open_page(path) -> AppTest:
    app = AppTest.from_file(PAGE, default_timeout=PATIENCE_SECONDS)
    app.session_state["path"] = app.session_state["path_agreed"] = str(path)
    return app.run()


def press(app: AppTest, label: str) -> AppTest:
    return next(each for each in app.button if each.label == label).click().run()


def checked(app: AppTest) -> AppTest:
    press(app, "Check health")
    deadline = time.monotonic() + PATIENCE_SECONDS
    while any(each.label == "Stop the check" for each in app.button):
        assert time.monotonic() < deadline
        time.sleep(0.2)
        app.run()
    assert not app.exception
    return app


def test_nothing_is_computed_before_the_button(clean):
    app = open_page(clean)
    assert any("Nothing is changed" in each.value for each in app.caption)
    assert not any("7 errors" in each.value for each in app.markdown)


def test_a_clean_set_is_said_to_be(clean):
    app = checked(open_page(clean))
    assert "nothing found" in app.success[0].value


def test_faults_are_counted_by_severity_and_open_to_their_files(faulty):
    app = checked(open_page(faulty))
    assert any("**7 errors · 7 warnings · 2 notes**" in each.value for each in app.markdown)
    labels = [each.label.replace("\\", "") for each in app.expander]
    assert "Images that cannot be read · **2 images**" in labels
    assert "Near-duplicates in two splits · **1 pair**" in labels
    headings = [each.value for each in app.markdown if each.value.startswith("**")]
    assert [each.strip("*").partition(":")[0] for each in headings[1:]] == [
        "Errors",
        "Warnings",
        "Notes",
    ]


def test_a_copy_is_made_from_the_form(faulty, tmp_path):
    app = checked(open_page(faulty))
    fields = {each.label: each for each in app.text_input}
    fields["Folder of the copy"].input(str(tmp_path / "copy"))
    press(app, "Make the copy")
    assert not app.exception
    assert "Left out" in app.success[-1].value
    assert len(open_dataset(tmp_path / "copy")) == len(open_dataset(faulty)) - 2


def test_a_cut_that_is_none_is_one_sentence(faulty, tmp_path):
    app = checked(open_page(faulty))
    fields = {each.label: each for each in app.text_input}
    fields["Folder of the copy"].input(str(tmp_path / "copy"))
    fields["Train, val and test, in %"].input("most of it")
    press(app, "Make the copy")
    assert any("three numbers" in each.value for each in app.error)
    assert not (tmp_path / "copy").exists()
