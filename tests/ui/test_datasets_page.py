"""The page of data sets: counts, images with their ground truth, conversion."""

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from fracture_core.datasets import open_dataset
from fracture_core.demo import write_demo

PAGE = str(Path(__file__).parents[2] / "pages" / "train" / "datasets.py")


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    return write_demo(tmp_path_factory.mktemp("demo") / "set", count=20, size=(160, 128))


def open_page(path) -> AppTest:
    app = AppTest.from_file(PAGE, default_timeout=120)
    app.session_state["path"] = app.session_state["path_agreed"] = str(path)
    return app.run()


def test_counts_are_those_of_the_data_set(demo):
    app = open_page(demo)
    assert not app.exception
    images, boxes, attributes = (table.value for table in app.dataframe)
    counts = open_dataset(demo).summary()
    assert dict(zip(images["Split"], images["Images"], strict=True)) == {
        split: each.images for split, each in counts.items()
    }
    assert boxes.set_index("Class")["train"].to_dict() == dict(counts["train"].boxes)
    # Every demo image tells its body part, in more than one way; all else is the same of all.
    assert set(attributes["Attribute"]) == {"body part"}
    assert attributes["train"].sum() == counts["train"].images


def test_images_link_to_read_and_say_what_is_there(demo):
    app = open_page(demo)
    captions = [each.value for each in app.caption if "source=Data+set" in each.value]
    assert len(captions) == 12
    assert any("nothing there" in each for each in captions)


def test_only_images_with_findings(demo):
    app = open_page(demo)
    show = next(each for each in app.button_group if each.label == "Show")
    show.set_value("With findings").run()
    captions = [each.value for each in app.caption if "source=Data+set" in each.value]
    assert len(captions) == open_dataset(demo).summary()["train"].with_findings
    assert not any("nothing there" in each for each in captions)


def test_a_path_that_is_none_is_one_sentence(tmp_path):
    app = open_page(tmp_path / "gone")
    assert [each.value for each in app.error]
    assert not app.exception


def test_without_a_path_the_page_says_what_to_do():
    app = AppTest.from_file(PAGE, default_timeout=120).run()
    assert "make the demo one" in app.info[0].value


def test_conversion_from_the_form(demo, tmp_path):
    app = open_page(demo)
    fields = {each.label: each for each in app.text_input}
    fields["New folder"].input(str(tmp_path / "made"))
    next(each for each in app.selectbox if each.label == "To").select("yolo")
    next(each for each in app.button if each.label == "Convert").click().run()
    assert not app.exception
    assert "20 images" in app.success[0].value
    assert open_dataset(tmp_path / "made").format == "yolo"


def test_what_a_format_cannot_hold_is_refused_in_words(demo, tmp_path):
    app = open_page(demo)
    fields = {each.label: each for each in app.text_input}
    fields["New folder"].input(str(tmp_path / "made"))
    next(each for each in app.selectbox if each.label == "To").select("hdf5")
    next(each for each in app.button if each.label == "Convert").click().run()
    assert "--drop" in app.error[0].value.replace("\\", "")
    assert not (tmp_path / "made").exists()


def test_statistics_are_drawn_when_their_tab_is_open(demo, monkeypatch):
    charts = []
    monkeypatch.setattr(
        "streamlit.plotly_chart", lambda figure, key: charts.append((key, figure.to_dict()))
    )
    app = open_page(demo)
    assert charts == []
    app.session_state["dataset_tab"] = "Statistics"
    app.run()
    assert not app.exception
    drawn = dict(charts)
    dataset = open_dataset(demo)
    train = next(each for each in drawn["images-by-class"]["data"] if each["name"] == "train")
    boxes = sum(len(each["x"]) for each in drawn["box-sizes"]["data"])
    assert boxes == sum(sum(each.boxes.values()) for each in dataset.summary().values())
    assert boxes == sum(map(sum, drawn["box-places"]["data"][0]["z"]))
    assert max(train["y"]) <= dataset.summary()["train"].with_findings
    assert any("Save as PNG" in each.label for each in app.get("download_button"))
