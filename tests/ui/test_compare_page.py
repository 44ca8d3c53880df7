"""The Compare page without a browser: whom it compares, what it says of each, what goes wrong."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from fracture_core import class_names
from fracture_core.demo import demo_case
from fracture_core.errors import WeightsError
from fracture_core.models.fake import CARD, FakeModel
from fracture_core.models.library import SHIPPED, add_named
from fracture_core.models.points import write_points
from fracture_core.settings import settings
from fracture_core.ui.compare import comparing
from fracture_core.ui.compare.comparing import carry_own, compare
from fracture_core.ui.read import predicting
from fracture_core.ui.widgets.case_viewer import ViewerState, _pack_case
from fracture_core.ui.widgets.cases import Case
from tests.support.measurements import measured

APP = Path(__file__).parents[2] / "streamlit_app.py"
TINY = {"scratch-tiny": "scratch:tiny", "detr-tiny": "detr:tiny", "resnet18": "resnet18"}


@pytest.fixture(autouse=True)
def fresh() -> None:
    """Models are opened once a process, but every test has a home of its own."""
    predicting._predictions.clear()
    predicting._opened.clear()


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[comparing.Comparison]:
    """The comparisons that were shown, the last at the end."""
    kept: list[comparing.Comparison] = []

    def keeping(cards, case):
        kept.append(compare(cards, case))
        return kept[-1]

    monkeypatch.setattr(comparing, "compare", keeping)
    return kept


def opened(**query: str) -> AppTest:
    app = AppTest.from_file(str(APP), default_timeout=120)
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    app.switch_page("pages/review/compare.py").run()
    assert not app.exception, app.exception
    return app


def choose(app: AppTest, *model_ids: str) -> AppTest:
    app.multiselect(key="models").set_value(list(model_ids)).run()
    assert not app.exception, app.exception
    return app


def add(*model_ids: str) -> None:
    for model_id in model_ids:
        add_named(TINY[model_id], model_id=model_id)


def small_case(classes: tuple[str, ...] = ()) -> Case:
    sample = demo_case()
    return Case(key="small", title="Small", samples=(sample,), classes=classes)


# ---- the page ---------------------------------------------------------------------------------


def test_with_the_fake_model_alone_it_tells_how_to_get_more(shown: list) -> None:
    app = opened()
    assert app.multiselect(key="models").value == ["fake"]
    assert any("Choose two to four models" in info.value for info in app.info)
    assert any("none but the fake one" in caption.value for caption in app.caption)
    assert len(shown[-1].panes) == 1


def test_it_begins_with_two_models_that_answer_with_boxes(shown: list) -> None:
    add("resnet18", "scratch-tiny", "detr-tiny")
    app = opened()
    assert app.multiselect(key="models").value == ["detr-tiny", "scratch-tiny"]
    assert any("has learned nothing" in caption.value for caption in app.caption)
    assert [pane.note for pane in shown[-1].panes] == ["", ""]


def test_four_models_show_what_they_are(shown: list) -> None:
    add("scratch-tiny", "detr-tiny", "resnet18")
    app = choose(opened(), "fake", "scratch-tiny", "detr-tiny", "resnet18")
    panes = shown[-1].panes
    assert [pane.facts[0] for pane in panes] == ["fake", "scratch_detr", "hf_detr", "resnet"]
    assert [pane.facts[3] for pane in panes] == ["NMS", "no NMS", "no NMS", "classifier"]
    assert panes[0].facts[2] == "no weights"
    assert panes[3].facts[2].endswith(" MB")
    assert panes[3].predictions[0].class_scores is not None
    assert all(", first run" in pane.facts[1] for pane in panes)
    assert "no class in common with model B and model C" in panes[0].warnings
    assert app.session_state["comparing"].class_aware


def test_no_model_is_no_error() -> None:
    app = choose(opened())
    assert any("Choose two to four models" in info.value for info in app.info)


def test_one_click_shows_scratch_beside_fine_tuned(shown: list) -> None:
    add("scratch-tiny", "detr-tiny")
    app = choose(opened(), "fake")
    next(b for b in app.button if b.label == "DETR from scratch beside fine-tuned").click().run()
    assert app.multiselect(key="models").value == ["scratch-tiny", "detr-tiny"]
    state = app.session_state["comparing"]
    assert (state.mode, state.show_ground_truth) == ("side_by_side", True)


def test_the_one_click_says_what_is_missing() -> None:
    add("scratch-tiny")
    app = opened()
    next(b for b in app.button if b.label == "DETR from scratch beside fine-tuned").click().run()
    message = " ".join(info.value for info in app.info)
    assert "fine\\-tuned DETR" in message
    assert "from scratch" not in message


def test_a_model_deleted_since_it_was_chosen_is_left_out() -> None:
    from fracture_core.models.library import delete_model

    add("scratch-tiny", "detr-tiny")
    app = opened()
    assert app.multiselect(key="models").value == ["detr-tiny", "scratch-tiny"]
    delete_model("detr-tiny")
    app.run()
    assert not app.exception, app.exception
    assert app.multiselect(key="models").value == ["scratch-tiny"]


# ---- comparing --------------------------------------------------------------------------------


def fake(model_id: str, *classes: str):
    return CARD.model_copy(update={"model_id": model_id, "classes": classes or CARD.classes})


def test_a_model_that_fails_has_its_reason_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    predict = FakeModel.predict

    def failing(self, samples):
        if self.card.model_id == "broken":
            raise WeightsError("w.pt", expected="weights", found="none")
        return predict(self, samples)

    monkeypatch.setattr(FakeModel, "predict", failing)
    found = compare([fake("a"), fake("broken"), fake("c")], small_case(CARD.classes[:5]))
    assert [pane.note for pane in found.panes] == ["", "w.pt: expected weights, found none.", ""]
    assert found.panes[1].predictions == (None,)
    assert found.panes[2].predictions[0] is not None


def test_each_pane_has_what_was_measured_of_its_model() -> None:
    write_points(measured(model_id="a"), fake("a"))
    write_points(measured(model_id="b"), fake("b")).write_text("{")
    found = compare([fake("a"), fake("b"), fake("c")], small_case(CARD.classes[:5]))
    assert found.panes[0].measured == measured(model_id="a")
    assert [pane.measured for pane in found.panes[1:]] == [None, None]
    assert "not measured: " in found.panes[1].warnings[0]
    assert "expected measurements" in found.panes[1].warnings[0]
    assert [len(pane.warnings) for pane in found.panes] == [0, 1, 0]
    assert found.panes[1].predictions[0] is not None


def test_each_model_keeps_its_classes_and_equal_names_count_as_one() -> None:
    case = small_case(CARD.classes[:5])
    turned = tuple(reversed(CARD.classes))
    found = compare([fake("a"), fake("b", *turned)], case)
    assert [pane.card.classes for pane in found.panes] == [CARD.classes, turned]
    packed = _pack_case(case.samples, found.panes, case.classes, found.is_a)
    first, second = (pane["groups"] for pane in packed["panes"])
    assert second == tuple(reversed(first))
    assert packed["groups"] == first[:5]
    assert [pane["comparable"] for pane in packed["panes"]] == [True, True]
    assert [pane.warnings for pane in found.panes] == [(), ()]


def test_what_was_confirmed_of_classes_makes_models_comparable() -> None:
    case = small_case(CARD.classes[:5])
    cards = [fake("a"), fake("b", "lesion")]
    table = dict.fromkeys(CARD.classes, "lesion")
    class_names.keep(CARD.classes, ["lesion"], table)
    class_names.keep(["lesion"], CARD.classes[:5], table)
    found = compare(cards, case)
    assert [pane.warnings for pane in found.panes] == [(), ()]
    packed = _pack_case(case.samples, found.panes, case.classes, found.is_a)
    assert {*packed["groups"], *packed["panes"][0]["groups"]} == {*packed["panes"][1]["groups"]}
    assert [pane["comparable"] for pane in packed["panes"]] == [True, True]


def test_classes_that_differ_are_told() -> None:
    cards = [fake("a", "wrist", "elbow"), fake("b", "Wrist"), fake("c", "bone")]
    # Without a ground truth the fake model keeps to the classes of its card.
    sample = replace(demo_case(), ground_truth=None)
    case = Case(key="blind", title="Blind", samples=(sample,), classes=CARD.classes[:5])
    found = compare(cards, case)
    assert found.panes[0].warnings == ("no class in common with model C and the ground truth",)
    assert found.panes[1].warnings == (
        "no class in common with model C and the ground truth",
        "does not know elbow",
    )


def test_the_second_run_is_no_first_run() -> None:
    cards = [fake("a")]
    first = compare(cards, small_case(CARD.classes[:5]))
    assert first.panes[0].facts[1].endswith(", first run")
    other = Case(key="other", title="Other", samples=(demo_case(),), classes=CARD.classes[:5])
    assert compare(cards, other).panes[0].facts[1].endswith(" s")


def test_thresholds_of_their_own_follow_their_models() -> None:
    state = ViewerState(confidence=0.3, nms_iou=0.6, own=((0.1, 0.2), (0.8, 0.9)))
    moved = carry_own(state, ["a", "b"], ["b", "c", "a"])
    assert moved.own == ((0.8, 0.9), (0.3, 0.6), (0.1, 0.2))
    assert carry_own(ViewerState(), ["a"], ["b"]) == ViewerState()


def test_thresholds_of_their_own_filter_their_pane_alone() -> None:
    state = ViewerState(confidence=0.5, own=((0.9, 1.0),))
    found = FakeModel(CARD).predict([demo_case()])[0].detections
    assert len(state.shown(found, needs_nms=False)) == len(found.above(0.9))
    assert len(state.shown(found, needs_nms=False, pane=1)) == len(found.above(0.5))


@pytest.mark.parametrize("text", ["0.5", "0.5:2", "a:b", "0.5:0.5,"])
def test_senseless_thresholds_in_the_address_are_refused(text: str) -> None:
    from fracture_core.errors import ConfigError

    with pytest.raises(ConfigError):
        ViewerState.from_query({"own": text})


def test_thresholds_of_their_own_survive_the_address() -> None:
    state = ViewerState(own=((0.1, 0.25), (1e-05, 1.0)), show_lacking=False)
    assert ViewerState.from_query(state.to_query()) == state


def test_classes_are_confirmed_beside_the_models(
    shown: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(class_names, "_OF_THE_PACKAGE", ())
    shutil.copytree(SHIPPED / "yolo-segment", settings().models / "yolo-segment")
    app = choose(opened(), "fake", "yolo-segment")
    next(each for each in app.button if each.label == "Keep").click().run()
    assert not app.exception, app.exception
    assert shown[-1].is_a == dict.fromkeys(CARD.classes[:5], "fracture")
