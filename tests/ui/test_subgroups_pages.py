"""Subgroups on the pages: metrics by attribute, galleries filtered by it, counts of a data set."""

import csv
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from fracture_core.evaluations import Evaluation
from fracture_core.evaluations.attributes import Attribute
from fracture_core.evaluations.report import PointOfReport
from fracture_core.evaluations.subgroups import Measuring, break_down
from fracture_core.matching import MatchConfig
from fracture_core.metrics.intervals import wilson
from fracture_core.ui.evaluate.subgroups import as_csv
from fracture_core.ui.read.dataset_choice import opened_dataset
from tests.datasets.test_yolo import make_yolo
from tests.support.dial_evaluations import detector
from tests.support.stored_evaluations import store
from tests.ui.test_compare_set_page import FIRST, SECOND, model
from tests.ui.test_compare_set_page import opened as compared
from tests.ui.test_errors_page import FOUND, GROUND_TRUTHS, cards, checked, texts, titles
from tests.ui.test_errors_page import opened as errors_of

APP = Path(__file__).parents[2] / "streamlit_app.py"
METRICS, DATASETS = "pages/evaluate/metrics.py", APP.parent / "pages" / "train" / "datasets.py"


def told(evaluation: Evaluation, **columns: list[str]) -> Evaluation:
    attributes = [
        Attribute.from_texts(name.replace("_", " "), texts) for name, texts in columns.items()
    ]
    return replace(evaluation, attributes=tuple(attributes))


def metrics_of(**query: str) -> AppTest:
    app = AppTest.from_file(str(APP), default_timeout=120)
    app.run()
    for name, value in query.items():
        app.query_params[name] = value
    app.switch_page(METRICS).run()
    app.session_state["evaluation_tab"] = "Subgroups"
    return checked(app.run())


def rows(app: AppTest) -> dict[tuple[str, str], dict[str, str]]:
    table = app.dataframe[0].value
    return {(row["Metric"], row["Per"]): row for row in table.to_dict("records")}


# ---- metrics ------------------------------------------------------------------------------------


def test_metrics_by_an_attribute_at_the_dial_and_at_an_operating_point() -> None:
    evaluation = detector(4, FOUND, GROUND_TRUTHS, classes=("a", "b", "c"))
    parts = ["hand", "hand", "hand, leg", ""]
    store(told(evaluation, body_part=parts, hardware=["no", "yes", "no", "no"]), "one")
    app = metrics_of(evaluation="one", confidence="0.75")
    assert list(app.dataframe[0].value) == ["Metric", "Per", "All", "hand", "mixed", "not told"]
    found = rows(app)
    assert [found["Images", ""][each] for each in ("All", "hand", "mixed", "not told")] == list(
        "4211"
    )
    low, high = wilson(1, 3)
    # In hands the ground truth scored 0.9 is found; 0.4 and the one without a candidate are not.
    assert found["sensitivity", "lesion"]["hand"] == f"0.33 ({low:.2f}–{high:.2f}), n 3"
    assert found["sensitivity", "lesion"]["not told"] == "undefined"
    assert ("sensitivity, at 1 FP per image", "lesion") in found
    assert ("ROC AUC", "image") in found
    assert "No subgroup has 10 cases to compare." in texts(app)
    app.selectbox(key="by").set_value("hardware")
    checked(app.run())
    assert list(app.dataframe[0].value) == ["Metric", "Per", "All", "no", "yes"]
    assert app.query_params["by"] == "hardware"
    app.selectbox(key="subgroups_at").set_value("max F1")
    checked(app.run())
    assert rows(app)["sensitivity", "lesion"]["yes"].startswith("0.50")


def test_the_weakest_subgroup_is_named() -> None:
    """Forty lesions in hands, all found, and forty in legs, of which ten are."""
    lesions = [(k, 0, 0) for k in range(80)]
    hits = [(k, 0, 0.9, 0) for k in range(50)]
    evaluation = detector(80, hits, lesions, classes=("a",), model_classes=1)
    store(told(evaluation, body_part=["hand"] * 40 + ["leg"] * 40), "one")
    app = metrics_of(evaluation="one", confidence="0.5")
    assert "Sensitivity per lesion at the dial: weakest in body part: leg, 0.25" in texts(app)
    assert "Up to 2 subgroups were compared" in texts(app)
    # All boxes are of one size: nothing to tell apart.
    assert app.selectbox(key="by").options == ["body part"]


def test_lesions_are_told_apart_by_their_size() -> None:
    evaluation = detector(80, [], [(k, 0, 0) for k in range(80)], classes=("a",), model_classes=1)
    xyxy = evaluation.ground_truths.xyxy.copy()
    xyxy[40:, 2] = 50
    store(replace(evaluation, ground_truths=replace(evaluation.ground_truths, xyxy=xyxy)), "two")
    app = metrics_of(evaluation="two", confidence="0.5")
    assert app.selectbox(key="by").options == ["lesion size, share of the image"]
    assert "a false positive has no size" in texts(app).lower()
    assert list(app.dataframe[0].value)[2:] == ["All", "below 5%", "10% to 20%"]
    assert [key for key in rows(app) if key[0].startswith("ROC")] == []


def test_without_attributes_the_tab_says_what_to_do() -> None:
    store(detector(4, FOUND, GROUND_TRUTHS), "old")
    app = metrics_of(evaluation="old")
    assert "nothing is known, so there are no subgroups. Lay a table attributes.csv" in texts(app)


def test_too_many_values_are_a_sentence_and_no_choice() -> None:
    names = [f"p{k}" for k in range(60)]
    lesions = [(k, 0, 0) for k in range(60)]
    store(told(detector(60, [], lesions), patient=names, view=["frontal", "lateral"] * 30), "one")
    app = metrics_of(evaluation="one", by="patient")
    assert "No subgroups by patient: expected at most 20 values, found 60." in texts(app)
    assert app.selectbox(key="by").options == ["view"]


def test_the_table_of_subgroups_as_csv_has_every_figure() -> None:
    evaluation = told(
        detector(4, FOUND, GROUND_TRUTHS), view=["=frontal", "=frontal", "lateral", ""]
    )
    how = Measuring(
        config=MatchConfig(),
        points=(PointOfReport(rule="mine", confidence=0.5, reason="", chosen_on=""),),
    )
    made = break_down(evaluation, evaluation.attributes[0], how)
    lines = list(csv.DictReader(io.StringIO(as_csv(made).decode("utf-8-sig"))))
    assert len(lines) == 4 * len(made.whole.metrics)
    assert {line["group"] for line in lines} == {"all", "'=frontal", "lateral", "not told"}
    assert {line["images"] for line in lines if line["group"] == "all"} == {"4"}
    assert {line["few"] for line in lines} == {"yes"}


# ---- galleries ----------------------------------------------------------------------------------


def test_errors_are_filtered_by_attributes_and_the_address_follows() -> None:
    columns = {"body_part": ["hand", "leg", "hand", "leg"], "view": ["frontal"] * 3 + ["lateral"]}
    store(told(detector(4, FOUND, GROUND_TRUTHS), **columns), "one")
    app = errors_of(evaluation="one", confidence="0.5")
    assert len(titles(app)) == 4
    choice = app.multiselect(key="attributes")
    assert choice.options == [
        "body part: hand",
        "body part: leg",
        "view: frontal",
        "view: lateral",
    ]
    choice.set_value(["body part: leg", "view: frontal"])
    assert titles(checked(app.run())) == ["Missed finding: b", "Missed finding: a"]
    assert app.query_params["attributes"] == ["body part: leg", "view: frontal"]
    app.multiselect(key="attributes").set_value(["body part: hand", "body part: leg"])
    assert len(titles(checked(app.run()))) == 4


def test_an_address_names_attributes_and_what_is_none_is_dropped() -> None:
    store(told(detector(4, FOUND, GROUND_TRUTHS), view=["frontal", "lateral"] * 2), "one")
    app = AppTest.from_file(str(APP), default_timeout=120)
    app.run()
    app.query_params["evaluation"], app.query_params["confidence"] = "one", "0.5"
    app.query_params["attributes"] = ["view: lateral", "view: gone"]
    checked(app.switch_page("pages/evaluate/errors.py").run())
    assert app.multiselect(key="attributes").value == ["view: lateral"]
    assert app.query_params["attributes"] == "view: lateral"
    assert "**3 errors** in 2 of 4 images" in texts(app)


def test_without_attributes_there_is_no_filter() -> None:
    store(detector(4, FOUND, GROUND_TRUTHS), "one")
    app = errors_of(evaluation="one", confidence="0.5", attributes="view: lateral")
    assert not [each for each in app.multiselect if each.key == "attributes"]
    assert len(titles(app)) == 4


def test_disagreements_are_filtered_by_attributes_of_whichever_evaluation_has_them() -> None:
    kinds = ["frontal", "lateral", "frontal", "lateral", "frontal", "lateral"]
    store(told(model("one", FIRST), view=kinds), "first")
    store(model("two", SECOND), "second")
    app = compared("first", "second", set_level="0.5")
    app.multiselect(key="attributes").set_value(["view: lateral"])
    checked(app.run())
    assert "s1" in cards(app)
    assert app.query_params["attributes"] == "view: lateral"
    app.multiselect(key="attributes").set_value(["view: frontal"])
    checked(app.run())
    assert "No case is of this kind" in texts(app)


# ---- data sets ----------------------------------------------------------------------------------


@pytest.fixture
def with_table(tmp_path: Path) -> Path:
    root = make_yolo(tmp_path / "set", {"a": "", "b": "0 0.5 0.5 0.2 0.2", "c": ""})
    (root / "views.csv").write_text("name,frontal,lateral\na.png,1,0\nb.png,0,1\nc.png,1,0\n")
    return root


def test_a_data_set_is_counted_and_filtered_by_attributes(with_table: Path) -> None:
    app = AppTest.from_file(DATASETS, default_timeout=60)
    app.session_state["path"] = app.session_state["path_agreed"] = str(with_table)
    checked(app.run())
    *_, counts = (table.value for table in app.dataframe)
    assert counts.to_dict("records") == [
        {"Attribute": "view", "Value": "frontal", "train": 2},
        {"Attribute": "view", "Value": "lateral", "train": 1},
    ]
    app.multiselect(key="attributes").set_value(["view: lateral"])
    checked(app.run())
    shown = [each.value for each in app.caption if "source=Data+set" in each.value]
    assert len(shown) == 1
    assert "b.png" in shown[0].replace("\\", "")


def test_a_table_that_has_changed_is_read_anew(with_table: Path) -> None:
    first = opened_dataset(str(with_table / "data.yaml"))
    assert first.attributes["train/images/a.png"] == {"view": "frontal"}
    (with_table / "views.csv").write_text("name,frontal,lateral\na.png,0,1\n")
    again = opened_dataset(str(with_table / "data.yaml"))
    assert again.attributes["train/images/a.png"] == {"view": "lateral"}


def test_a_filter_of_nothing_known_shows_everything() -> None:
    from fracture_core.ui.widgets.choices import marked, options_of

    view = Attribute.from_texts("view", ["frontal", "lateral", ""])
    options = options_of([view])
    assert marked(options, []) is None
    both = marked(options, ["view: frontal", "view: not told"])
    assert both is not None
    np.testing.assert_array_equal(both, [True, False, True])
    part = Attribute.from_texts("body part", ["hand", "hand", "leg"])
    options = options_of([view, part])
    marks = marked(options, ["view: frontal", "view: not told", "body part: hand"])
    assert marks is not None
    np.testing.assert_array_equal(marks, [True, False, False])
