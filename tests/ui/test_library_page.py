"""The Library page without a browser: what a card says of a measured model."""

from pathlib import Path
from typing import Any

from streamlit.testing.v1 import AppTest

from fracture_core.datasets import open_dataset
from fracture_core.demo import write_demo
from fracture_core.evaluations import EvaluateConfig, new_evaluation, run_evaluation
from fracture_core.models.consensus_cards import ConsensusArchitecture
from fracture_core.models.consensus_making import Voice, add_consensus
from fracture_core.models.fake import CARD
from fracture_core.models.library import add_named, delete_model, list_cards
from fracture_core.models.points import write_points
from tests.support.measurements import POINTS, measured, share

APP = Path(__file__).parents[2] / "streamlit_app.py"


def opened() -> AppTest:
    app = AppTest.from_file(str(APP), default_timeout=60).run()
    app.switch_page("pages/models/library.py").run()
    assert not app.exception, app.exception
    return app


def tables(app: AppTest) -> list[dict[str, list[str]]]:
    return [table.value.to_dict("list") for table in app.table]


def plain(words: str) -> str:
    return words.replace("\\", "")


def test_a_card_without_measurements_says_none_measured() -> None:
    app = opened()
    assert len(app.table) == 1
    assert "none measured" in str(app.table[0].value)


def test_a_card_shows_points_limits_and_reliability() -> None:
    edge = POINTS[0].model_copy(update={"at_edge": True})
    tried = POINTS[1].model_copy(
        update={"applied": POINTS[2].chosen, "applied_to": "wrists, split test"}
    )
    write_points(measured(points=(edge, tried, POINTS[3]), one_class=True), CARD)
    app = opened()
    facts, points, reliability = tables(app)
    assert "Operating points" not in str(facts)
    assert [plain(rule) for rule in points["Rule"]] == ["max F1", *["sensitivity ≥ 0.9"] * 2]
    assert [plain(where) for where in points["On"]] == [
        "split val, chosen",
        "split val, chosen",
        "wrists, split test, applied",
    ]
    assert [plain(words) for words in points["Sensitivity per lesion"]] == [
        share(130, 200),
        share(180, 200),
        share(100, 200),
    ]
    assert plain(points["Specificity per image"][1]) == share(20, 100)
    assert [plain(words) for words in points["FP per image"]] == ["0.24", "2.40", "0.08"]
    assert plain(reliability["Were right"][6]) == share(18, 31)
    assert reliability["Were right"][8] == "undefined"
    said = " ".join(plain(caption.value) for caption in app.caption)
    assert "Chosen on wrists, split val, 2026-01-02 03:04 UTC, at NMS IoU 0.5" in said
    assert "all classes taken as one" in said
    assert "FP per image ≤ 0: not met. it never is." in said
    assert "max F1: chosen at the lowest score of all" in said


def test_broken_measurements_are_a_sentence_on_the_card() -> None:
    write_points(measured(), CARD).write_text("[]")
    app = opened()
    assert "expected measurements" in plain(app.error[0].value)
    assert "none measured" in str(app.table[0].value)


def added_pair() -> None:
    for name in ("scratch:tiny", "yolov8n.yaml"):
        add_named(name)


def button(app: AppTest, label: str) -> Any:
    return next(each for each in app.button if each.label == label)


def test_a_consensus_is_made_of_chosen_models() -> None:
    added_pair()
    app = opened()
    app.multiselect(key="consensus-models").set_value(["scratch-tiny", "yolov8n"])
    app.text_input(key="consensus-title").set_value("Both")
    button(app, "Make").click().run()
    assert not app.exception, app.exception
    assert not app.error
    card = {each.model_id: each for each in list_cards()}["consensus"]
    assert card.title == "Both"
    said = " ".join(plain(caption.value) for caption in app.caption)
    assert "Weighted box fusion of" in said
    weights = [facts["Weights"] for facts in facts_by_name(app)]
    assert any("those of scratch-tiny, yolov8n: " in plain(each) for each in weights)


def facts_by_name(app: AppTest) -> list[dict[str, str]]:
    return [{str(k): str(v) for k, v in table.value.iloc[:, 0].items()} for table in app.table]


def test_one_model_alone_needs_flips() -> None:
    added_pair()
    app = opened()
    app.multiselect(key="consensus-models").set_value(["yolov8n"])
    button(app, "Make").click().run()
    assert "two models or more, or one with flips" in app.error[0].value
    app.toggle[0].set_value(True)
    button(app, "Make").click().run()
    assert not app.error
    card = {each.model_id: each for each in list_cards()}["consensus"]
    assert [member.flipped for member in ConsensusArchitecture.of(card).members] == [False, True]


def test_a_consensus_without_a_member_says_so_and_can_be_deleted() -> None:
    added_pair()
    add_consensus([Voice(model_id="scratch-tiny"), Voice(model_id="yolov8n")])
    app = opened()
    warned = [each for each in app.markdown if "cannot be used without it" in each.value]
    assert len(warned) == 2
    delete_model("yolov8n")
    app.run()
    assert "expected its member yolov8n" in plain(app.error[0].value)
    app.button(key="delete-consensus").click().run()
    assert not app.error
    assert "consensus" not in {card.family for card in list_cards()}


def test_without_models_there_is_no_form_for_a_consensus() -> None:
    app = opened()
    assert not [each for each in app.button if each.label == "Make"]
    assert any("the library has none yet" in each.value for each in app.caption)


def test_models_are_ranked_on_the_same_images(tmp_path: Path) -> None:
    data = write_demo(tmp_path / "demo", count=6, seed=1, format="coco", size=(128, 128))
    add_named("scratch:tiny", model_id="strange")
    for model, split in (("fake", "all"), ("strange", "all"), ("fake", "all"), ("fake", "train")):
        config = EvaluateConfig(model=model, data=str(data), split=split, one_class=True)
        assert run_evaluation(new_evaluation(config).path) is not None
    app = opened()
    assert len(app.dataframe) == 0
    app.session_state["ranking"] = True
    app.run()
    assert not app.exception, app.exception
    chosen = next(each for each in app.selectbox if each.label == "Data set and split")
    assert [title.rpartition(" · one")[0] for title in chosen.options] == [
        "demo · all · 6 images",
        f"demo · train · {len(open_dataset(data).splits['train'])} images",
    ]
    table = app.dataframe[0].value
    # Two evaluations of the same weights on the same images count once; the better model is first.
    assert table["Id"].tolist() == ["fake", "strange"]
    assert table["AP50"].is_monotonic_decreasing
    assert table["AP50"][0] > 0
    chosen.select_index(1).run()
    assert app.dataframe[0].value["Id"].tolist() == ["fake"]
