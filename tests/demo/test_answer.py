"""The answer that the first page opens on is the one its model gives."""

from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from fracture_core.demo import answer
from fracture_core.demo.case import demo_case
from fracture_core.demo.classes import CLASSES
from fracture_core.models import library
from fracture_core.models.cards import read_card
from fracture_core.models.library import SHIPPED
from fracture_core.ui.read import predicting
from fracture_core.ui.read.predicting import DEMO_KEY, first_choice, known_answer
from fracture_core.ui.widgets.cases import Case

APP = Path(__file__).parents[2] / "streamlit_app.py"


@pytest.fixture
def shipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "SHIPPED", SHIPPED)


def a_case(key: str = DEMO_KEY) -> Case:
    return Case(key=key, title="Demo case", samples=(demo_case(),), classes=CLASSES)


def test_the_kept_answer_is_what_the_model_says(shipped: None) -> None:
    kept, now = answer.stored_prediction(), answer.ask_model()
    assert kept.weights_sha256 == now.weights_sha256
    before, after = kept.prediction.detections, now.prediction.detections
    # Another processor rounds otherwise; near the least score one more or less may be kept.
    sure = int((after.scores > 0.05).sum())
    assert sure >= 2
    assert int((before.scores > 0.05).sum()) == sure
    np.testing.assert_allclose(before.scores[:sure], after.scores[:sure], atol=1e-3)
    np.testing.assert_allclose(before.xyxy[:sure], after.xyxy[:sure], atol=0.5)
    assert before.labels[:sure].tolist() == after.labels[:sure].tolist()
    assert len(before.masks) == len(before)


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    kept = answer.stored_prediction()
    answer.write_stored_prediction(kept, tmp_path / "answer.npz")
    again = answer.read_stored_prediction(tmp_path / "answer.npz")
    assert again.weights_sha256 == kept.weights_sha256
    one, other = again.prediction, kept.prediction
    assert (one.image_score, one.seconds) == (other.image_score, other.seconds)
    np.testing.assert_array_equal(one.detections.xyxy, other.detections.xyxy)
    np.testing.assert_array_equal(one.detections.scores, other.detections.scores)
    assert one.detections.masks == other.detections.masks


def test_it_counts_for_its_weights_and_its_case_alone() -> None:
    card = read_card(SHIPPED / answer.MODEL)
    assert known_answer(card, a_case()) == (answer.stored_prediction().prediction,)
    assert known_answer(card, a_case("set:demo-case")) is None
    assert known_answer(card.model_copy(update={"weights_sha256": "0" * 64}), a_case()) is None
    assert known_answer(card.model_copy(update={"model_id": "mine"}), a_case()) is None


def test_the_page_begins_with_it_and_asks_nobody(
    shipped: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a model was opened")

    monkeypatch.setattr(predicting, "model_of", refuse)
    app = AppTest.from_file(str(APP), default_timeout=60).run()
    assert not app.exception
    assert app.selectbox(key="model").value == answer.MODEL


def test_without_it_the_page_begins_with_the_first() -> None:
    cards = library.list_cards()
    assert first_choice(cards) == 0
    assert cards[0].family == "fake"


def test_the_address_names_the_model_unless_it_is_the_first(shipped: None) -> None:
    app = AppTest.from_file(str(APP), default_timeout=60)
    app.query_params["model"] = "fake"
    app.run()
    for _ in range(2):
        assert app.selectbox(key="model").value == "fake"
        assert "fake" in app.query_params["model"]
        app.run()
    app.selectbox(key="model").set_value(answer.MODEL).run()
    assert not app.exception
    assert app.selectbox(key="model").value == answer.MODEL
    assert "model" not in app.query_params
    app.selectbox(key="model").set_value("fake").run()
    assert "fake" in app.query_params["model"]
