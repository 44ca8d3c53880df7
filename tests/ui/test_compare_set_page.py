"""Compare over a data set without a browser: who is compared, at what, and what goes wrong."""

import csv
import io
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from streamlit.testing.v1 import AppTest

from fracture_core.evaluations import list_evaluations
from fracture_core.evaluations.comparison import draw_at_dial, draw_of_all, image_tests, lines
from fracture_core.evaluations.matched_models import Threshold, match_model
from fracture_core.matching import MatchConfig
from fracture_core.ui.compare.set_comparison import ComparedModel
from fracture_core.ui.compare.set_metrics import HEADINGS, as_csv
from tests.support.dial_evaluations import classifier, detector
from tests.support.stored_evaluations import store

APP = Path(__file__).parents[2] / "streamlit_app.py"
PAGE = "pages/review/compare.py"
GROUND_TRUTHS = [(0, 0, 0), (1, 0, 0), (2, 0, 0), (3, 0, 0)]
FIRST = [(0, 0, 0.9, 0), (1, 0, 0.8, 0), (2, 0, 0.2, 0), (4, 9, 0.6, 0)]
SECOND = [(0, 0, 0.5, 0), (2, 0, 0.4, 0), (1, 0, 0.1, 0), (5, 9, 0.45, 0)]


def model(name: str, found: list[tuple], ground_truths=GROUND_TRUTHS, **about):
    told = {"classes": ("a",), "model_id": name, "title": f"Model {name}", **about}
    return detector(6, found, ground_truths, **told)


@pytest.fixture
def two() -> None:
    store(model("one", FIRST), "first")
    store(model("two", SECOND), "second")


def opened(*names: str, **query: str) -> AppTest:
    app = AppTest.from_file(str(APP), default_timeout=120)
    app.run()
    app.query_params["view"] = "Over a data set"
    if names:
        app.query_params["evaluations"] = list(names)
    for name, value in query.items():
        app.query_params[name] = value
    return checked(app.switch_page(PAGE).run())


def checked(app: AppTest) -> AppTest:
    assert not app.exception, app.exception
    return app


def texts(app: AppTest) -> str:
    kinds = (app.info, app.warning, app.error, app.success, app.caption, app.markdown)
    return "\n".join(each.value for kind in kinds for each in kind).replace("\\", "")


def metrics(app: AppTest) -> dict[tuple[str, str], dict[str, str]]:
    rows = app.dataframe[1].value.to_dict("records")
    return {(row["Metric"], row["Per"]): row for row in rows}


def cards(app: AppTest) -> str:
    return next(each.proto.body for each in app.get("html") if "data-first" in each.proto.body)


# ---- who ----------------------------------------------------------------------------------------


def test_with_nothing_or_one_evaluation_it_says_what_is_needed() -> None:
    assert "needs two to four finished evaluations" in texts(opened())
    store(model("one", FIRST), "first")
    app = opened()
    assert app.multiselect(key="evaluations").value == ["first"]
    assert "needs two to four finished evaluations" in texts(app)


def test_others_are_refused_and_the_rest_is_compared(two: None) -> None:
    store(model("three", FIRST, split="test"), "third")
    app = opened("first", "second", "third")
    assert "Model three answered to split test; the first to val." in texts(app)
    assert list(app.dataframe[0].value["Model"]) == ["A · Model one", "B · Model two"]
    store(model("five", FIRST, ground_truths=GROUND_TRUTHS[:2]), "fifth")
    app = opened("first", "fifth")
    assert "other boxes of ground truth" in texts(app)
    assert "needs two to four" in texts(app)


def test_it_begins_with_rivals_on_the_same_images(two: None) -> None:
    store(model("three", FIRST, data="/elsewhere", data_name="elsewhere"), "third")
    app = opened()
    assert sorted(app.multiselect(key="evaluations").value) == ["first", "second"]


# ---- at a dial ----------------------------------------------------------------------------------


def test_at_equal_sensitivity_each_model_has_its_own_confidence(two: None) -> None:
    app = opened("first", "second", set_level="0.5")
    assert list(app.dataframe[0].value["Confidence"]) == pytest.approx([0.8, 0.4])
    assert app.dataframe[0].value["Size, MB"].isna().all()
    row = metrics(app)["sensitivity", "lesion"]
    assert row["A · Model one"].startswith("0.500 (")
    assert row["B · Model two"].startswith("0.500 (")
    assert row["B − A"].startswith("+0.000 (")
    assert row["n"] == "4"
    assert metrics(app)["FP per image", "lesion"]["A · Model one"] == "0.000 (0.000–0.615)"
    assert "only B is right in 1, only A in 2 images; p = 1.000" in texts(app)
    assert "This page makes **11 tests**" in texts(app)
    assert "0.6 of them would still come out below p = 0.05" in texts(app)


def test_the_dial_moves_and_names_its_unit(two: None) -> None:
    app = opened("first", "second")
    app.slider(key="set_slider").set_value(0.75)
    checked(app.run())
    assert app.number_input(key="set_level").value == 0.75
    assert list(app.dataframe[0].value["Confidence"]) == pytest.approx([0.2, 0.1])
    app.number_input(key="set_level").set_value(1.0)
    checked(app.run())
    assert app.slider(key="set_slider").value == 1.0
    assert app.dataframe[0].value["Confidence"].isna().all()
    assert "reach a sensitivity of 0.750; its metrics here are undefined" in texts(app)
    assert metrics(app)["precision", "lesion"]["A · Model one"] == "undefined"
    assert "cannot disagree" in texts(app)
    app.session_state["set_dial"] = "Equal FP per image"
    app.session_state["set_level"] = 0.0
    checked(app.run())
    assert app.slider(key="set_slider").label == "FP per image"
    assert list(app.dataframe[0].value["Confidence"]) == pytest.approx([0.8, 0.5])
    app.session_state["set_dial"] = "Own operating point"
    checked(app.run())
    assert app.selectbox(key="set_rule").value == "max F1"
    app.selectbox(key="set_rule").set_value("own confidences")
    checked(app.run())
    app.number_input(key="set_confidence_second").set_value(0.4)
    checked(app.run())
    assert list(app.dataframe[0].value["Confidence"]) == pytest.approx([0.5, 0.4])


def test_the_reference_turns_the_differences(two: None) -> None:
    app = opened("first", "second", set_level="0.5")
    app.selectbox(key="set_reference").set_value("second")
    checked(app.run())
    assert "A − B" in metrics(app)["AP50", "lesion"]


def test_the_reference_stays_the_same_model_when_another_is_taken_away(two: None) -> None:
    store(model("three", SECOND), "third")
    app = opened("first", "second", "third", set_level="0.5")
    app.selectbox(key="set_reference").set_value("second")
    checked(app.run())
    app.button_group(key="against").set_value("third")
    checked(app.run())
    assert app.selectbox(key="set_reference").options[1] == "B · Model two"
    app.multiselect(key="evaluations").set_value(["second", "third"])
    reference = checked(app.run()).selectbox(key="set_reference")
    # The letters have moved on.
    assert reference.options == ["A · Model two", "B · Model three"]
    assert reference.value == "second"
    app.multiselect(key="evaluations").set_value(["second", "third", "first"])
    assert checked(app.run()).selectbox(key="set_reference").value == "second"
    assert app.button_group(key="against").options == ["B · Model three", "C · Model one"]
    assert app.button_group(key="against").value == "third"


def test_the_kind_of_case_stays_when_its_count_changes(two: None) -> None:
    app = opened("first", "second", set_level="0.5")
    app.button_group(key="dispute").set_value("only B hits")
    before = checked(app.run()).button_group(key="dispute").options
    app.slider(key="set_slider").set_value(0.25)
    kinds = checked(app.run()).button_group(key="dispute")
    assert kinds.options != before
    assert kinds.value == "only B hits"


def test_disagreements_lead_to_the_case_with_each_model_s_own_confidence(two: None) -> None:
    app = opened("first", "second", set_level="0.5")
    body = cards(app)
    assert body.count('class="case-card"') == 1
    assert "<b>Only A hits</b>" in body
    link = body.partition('href="')[2].partition('"')[0].replace("&amp;", "&")
    asked = parse_qs(urlsplit(link).query)
    assert (asked["sample"], asked["models"]) == (["s1"], ["one", "two"])
    confidences = [float(each.partition(":")[0]) for each in asked["own"][0].split(",")]
    assert confidences == pytest.approx([0.8, 0.4], abs=1e-6)
    app.session_state["dispute"] = "only B hits"
    assert "<b>Only B hits</b>" in cards(checked(app.run()))
    app.session_state["dispute"] = "only B has a false positive"
    assert "<b>Only B has a false positive</b>" in cards(checked(app.run()))
    app.session_state["dispute"] = "only A has a false positive"
    checked(app.run())
    assert "No case is of this kind" in texts(app)


def test_a_classifier_beside_a_detector_is_compared_by_image(two: None) -> None:
    calls = classifier([[0.2, 0.8, 0.0]] * 3 + [[0.7, 0.3, 0.0]] * 3, [1, 1, 1, 1, 0, 0])
    about = {"model_id": "calls", "title": "Calls", "classes": ("healthy", "a")}
    two_classes = replace(
        calls,
        about=calls.about.model_copy(update=about),
        class_scores=calls.class_scores[:, :2],
    )
    store(two_classes, "calls")
    app = opened("first", "calls", set_level="0.75")
    assert app.slider(key="set_slider").label == "Sensitivity per image"
    row = metrics(app)["precision", "lesion"]
    assert (row["B · Calls"], row["B − A"]) == ("undefined", "undefined")
    assert metrics(app)["sensitivity", "image"]["B · Calls"].startswith("0.750 (")


def test_no_truth_is_said() -> None:
    for name in ("one", "two"):
        store(
            replace(model(name, FIRST, ground_truths=[]), known=model(name, []).known & False), name
        )
    assert "No ground truth is known" in texts(opened("one", "two"))


# ---- files --------------------------------------------------------------------------------------


def test_the_table_as_csv_has_a_row_for_each_figure_and_model() -> None:
    store(model("one", FIRST), "first")
    listed = list_evaluations()[0]
    both = [match_model(model("one", FIRST, title="=x"), MatchConfig())]
    both.append(match_model(model("two", SECOND), MatchConfig()))
    thresholds = [Threshold(confidence=0.8), Threshold(confidence=0.4)]
    models = [
        ComparedModel(letter=letter, listed=listed, matched=each)
        for letter, each in zip("AB", both, strict=True)
    ]
    drawn = [draw_at_dial(each, at.confidence) for each, at in zip(both, thresholds, strict=True)]
    made = lines(both, drawn, [draw_of_all(each) for each in both], 0)
    text = as_csv(models, made, image_tests(both, thresholds, 0), thresholds).decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert tuple(rows[0]) == HEADINGS
    assert len(rows) == 2 * len(made) + 1
    assert (rows[0]["model"], rows[0]["value"], rows[0]["confidence"]) == ("'=x", "0.5", "0.8")
    assert float(rows[1]["difference from reference"]) == 0
    assert rows[-1]["metric"] == "McNemar"
