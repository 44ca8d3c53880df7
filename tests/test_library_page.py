"""The Library page without a browser: what a card says of a measured model."""

from pathlib import Path

from streamlit.testing.v1 import AppTest

from fracture_core.models.fake import CARD
from fracture_core.models.points import write_points
from tests.measurements import POINTS, measured, share

APP = Path(__file__).parents[1] / "streamlit_app.py"


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
    assert "Chosen on wrists, split val, 2026-01-02 03:04 UTC, at overlap merge 0.5" in said
    assert "all classes taken as one" in said
    assert "FP per image ≤ 0: not met. it never is." in said
    assert "max F1: chosen at the lowest score of all" in said


def test_broken_measurements_are_a_sentence_on_the_card() -> None:
    write_points(measured(), CARD).write_text("[]")
    app = opened()
    assert "expected measurements" in plain(app.error[0].value)
    assert "none measured" in str(app.table[0].value)
