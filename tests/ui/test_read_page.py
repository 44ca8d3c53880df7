"""The Read page without a browser: what it shows, what it asks of a model, what bad input does."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from fracture_core.demo import write_demo
from fracture_core.models.fake import CARD, FakeModel
from fracture_core.models.library import add_named
from fracture_core.models.points import write_points
from fracture_core.ui.widgets import case_viewer
from fracture_core.ui.widgets.case_viewer import ViewerState
from tests.support.measurements import measured

APP = Path(__file__).parents[2] / "streamlit_app.py"


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many samples each call of the fake model was given."""
    from fracture_core.ui.read import predicting

    counted: list[int] = []
    predict = FakeModel.predict

    def counting(self, samples):
        counted.append(len(samples))
        return predict(self, samples)

    monkeypatch.setattr(FakeModel, "predict", counting)
    predicting._predictions.clear()
    return counted


def opened(**query: str) -> AppTest:
    app = AppTest.from_file(str(APP), default_timeout=60)
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception, app.exception
    return app


def image(size: int = 64) -> bytes:
    buffer = io.BytesIO()
    ramp = np.arange(size * size, dtype=np.uint32).reshape(size, size) % 251
    Image.fromarray(ramp.astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def upload(app: AppTest, *files: tuple[str, bytes]) -> AppTest:
    app.button_group(key="source").set_value("Upload").run()
    app.file_uploader(key="files").set_value(
        [(name, data, "application/octet-stream") for name, data in files]
    ).run()
    assert not app.exception, app.exception
    return app


def test_it_opens_on_the_demo_case_and_says_that_the_model_is_fake(calls: list[int]) -> None:
    app = opened()
    assert any("Research use only" in caption.value for caption in app.caption)
    assert any("Not a model" in caption.value for caption in app.caption)
    assert app.session_state.case.title == "Demo case"
    assert calls == [1]


def test_a_moved_slider_asks_no_model(calls: list[int]) -> None:
    app = opened()
    app.session_state["viewing"] = replace(app.session_state["viewing"], confidence=0.9)
    app.run()
    assert not app.exception
    assert app.session_state["viewing"].confidence == 0.9
    assert calls == [1]


def test_settings_come_from_the_address() -> None:
    app = opened(confidence="0.7", nms="0.3", rule="centre")
    wanted = ViewerState(confidence=0.7, nms_iou=0.3, rule="centre")
    assert app.session_state["viewing"] == wanted


def test_nonsense_in_the_address_is_said_and_ignored() -> None:
    app = opened(confidence="lots")
    assert any("confidence" in warning.value for warning in app.warning)
    assert app.session_state["viewing"] == ViewerState()


def test_an_uploaded_image_is_read(calls: list[int]) -> None:
    app = upload(opened(), ("wrist.png", image()))
    assert app.session_state.case.title == "wrist.png"
    assert app.session_state.case.samples[0].ground_truth is None
    assert calls == [1, 1]
    assert not app.error


@pytest.mark.parametrize(
    "data",
    [b"", b"no picture", image()[:200], b"\x89PNG\r\n\x1a\n" + b"\0" * 40],
    ids=["zero bytes", "wrong type", "truncated", "broken header"],
)
def test_a_bad_file_gets_a_sentence_and_the_case_stays(data: bytes) -> None:
    app = upload(opened(), ("good.png", image()))
    upload(app, ("bad.png", data))
    assert len(app.error) == 1
    assert "bad" in app.error[0].value
    assert "expected" in app.error[0].value
    assert app.session_state.case.title == "good.png"


def test_a_good_file_beside_a_bad_one_is_shown() -> None:
    app = upload(opened(), ("<b>bad</b>.png", b"nothing"), ("good.png", image()))
    assert app.session_state.case.title == "good.png"
    assert r"\<b\>" in app.error[0].value


def test_many_files_can_be_gone_through() -> None:
    app = upload(opened(), ("a.png", image(40)), ("b.png", image(50)), ("a.png", image(60)))
    choice = app.selectbox(key="picture")
    assert choice.options == ["a.png", "b.png", "a.png (2)"]
    choice.set_value("a.png (2)").run()
    assert app.session_state.case.samples[0].height == 60


def agreed(app: AppTest) -> AppTest:
    """After the reader let the page open what its address names."""
    return next(each for each in app.button if each.label == "Open it").click().run()


@pytest.mark.parametrize("layout", ["coco", "yolo", "hdf5"])
def test_a_data_set_opens_with_its_truth(layout: str, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    write_demo(folder, count=8, seed=1, format=layout)
    path = next(folder.glob("*.h5"), folder) if layout == "hdf5" else folder
    app = agreed(opened(source="Data set", path=str(path)))
    assert not app.error
    case = app.session_state.case
    assert all(sample.ground_truth is not None for sample in case.samples)
    assert case.classes


def test_a_path_that_is_none_gets_a_sentence(tmp_path: Path) -> None:
    app = agreed(opened(source="Data set", path=str(tmp_path / "absent")))
    assert len(app.error) == 1
    assert app.session_state.case.title == "Demo case"


def test_another_model_leaves_what_the_address_says_of_classes() -> None:
    add_named("scratch:tiny", model_id="strange")
    app = opened(model="strange", same_class="0")
    app.selectbox(key="model").set_value("fake").run()
    assert not app.session_state.viewing.class_aware
    assert app.query_params["same_class"] == "0"


def test_a_model_that_is_gone_falls_back_to_the_first() -> None:
    app = opened(model="a model that was deleted")
    assert app.selectbox(key="model").value == "fake"


def test_a_prediction_that_fails_is_a_sentence_on_the_page(
    monkeypatch: pytest.MonkeyPatch, calls: list[int]
) -> None:
    from fracture_core.errors import WeightsError

    def failing(self, samples):
        raise WeightsError("w.pt", expected="weights", found="none")

    monkeypatch.setattr(FakeModel, "predict", failing)
    app = opened()
    assert "w" in app.error[0].value
    assert not app.exception


@pytest.fixture
def panes(monkeypatch: pytest.MonkeyPatch) -> list[case_viewer.Pane]:
    """The panes that were shown, the last at the end."""
    kept: list[case_viewer.Pane] = []
    show = case_viewer.case_viewer

    def keeping(samples, panes, *given, **named):
        kept.extend(panes)
        return show(samples, panes, *given, **named)

    monkeypatch.setattr(case_viewer, "case_viewer", keeping)
    return kept


def test_what_was_measured_of_the_model_goes_to_the_viewer(panes: list) -> None:
    opened()
    assert panes[-1].measured is None
    write_points(measured(), CARD)
    app = opened()
    assert panes[-1].measured == measured()
    assert not app.warning
    write_points(measured(weights_sha256="0" * 64), CARD)
    opened()
    assert panes[-1].measured is None


def test_broken_measurements_are_a_sentence_and_the_case_is_read(
    panes: list, calls: list[int]
) -> None:
    write_points(measured(), CARD).write_text('{"version": 1, "points": "many"}')
    app = opened()
    assert [("expected measurements" in each.value) for each in app.warning] == [True]
    assert panes[-1].measured is None
    assert panes[-1].predictions[0] is not None
    assert calls == [1]


def test_the_first_page_needs_no_torch() -> None:
    import subprocess
    import sys

    code = (
        "import sys; from streamlit.testing.v1 import AppTest; "
        f"app = AppTest.from_file({str(APP)!r}, default_timeout=60).run(); "
        "assert not app.exception; print(sorted({'torch', 'ultralytics'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]")
