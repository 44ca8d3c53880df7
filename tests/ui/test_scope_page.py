"""Read and Compare: what the reader can tell of a case, and what is not read before they say so."""

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from fracture_core.models.fake import CARD, FakeModel
from fracture_core.scope import Scope, check_scope
from fracture_core.ui.compare import comparing
from fracture_core.ui.read.scoping import CONFIRMED, scope_of
from fracture_core.ui.widgets import case_viewer
from fracture_core.ui.widgets.cases import Case
from tests.datasets.test_coco import box, make_coco
from tests.support.dicom_files import dicom, ramp
from tests.ui.test_read_page import agreed, image, opened, upload

KIND, PART = "Kind of image", "Body part"
REAL = Scope(modalities=("CR", "DX"), body_parts=("hand", "shoulder"), origins=("real",))


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many samples each call of the fake model was given; it was made for real radiographs."""
    from fracture_core.models import library
    from fracture_core.ui.read import predicting

    counted: list[int] = []
    predict = FakeModel.predict

    def counting(self, samples):
        counted.append(len(samples))
        return predict(self, samples)

    monkeypatch.setattr(FakeModel, "predict", counting)
    monkeypatch.setattr(library, "BUILT_IN", (CARD.model_copy(update={"scope": REAL}),))
    predicting._predictions.clear()
    return counted


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[dict]:
    """What the viewer was given to show, pane by pane, the latest last."""
    packed: list[dict] = []
    pack = case_viewer._pack_pane

    def keeping(pane, frames):
        packed.append(pack(pane, frames))
        return packed[-1]

    monkeypatch.setattr(case_viewer, "_pack_pane", keeping)
    return packed


def choose(app: AppTest, label: str, value: str) -> AppTest:
    """What the reader tells of the case that is open."""
    [box] = [each for each in app.selectbox if each.label == label]
    box.set_value(value).run()
    assert not app.exception, app.exception
    return app


def labels(app: AppTest) -> list[str]:
    return [each.label for each in app.selectbox if each.label in (KIND, PART)]


@pytest.mark.parametrize("code", ["MG", "PX", "MR"])
def test_another_modality_is_not_read_until_the_reader_says_so(
    calls: list[int], shown: list[dict], code: str
) -> None:
    app = opened()
    calls.clear()
    upload(app, ("IM1", dicom(ramp(), Modality=code)))
    assert calls == []
    assert shown[-1]["scope"]["held_back"]
    assert f"never seen images like this: {code}" in shown[-1]["scope"]["sentence"]
    assert shown[-1]["predictions"] == [None]
    # As the button in the viewer does.
    app.session_state[CONFIRMED.key] = frozenset({app.session_state.case.key})
    app.run()
    assert calls == [1]
    assert not shown[-1]["scope"]["held_back"]
    assert f"never seen images like this: {code}" in shown[-1]["scope"]["sentence"]


def test_an_upload_without_tags_is_read_under_a_banner(calls: list[int], shown: list[dict]) -> None:
    app = upload(opened(), ("wrist.png", image()))
    assert calls == [1, 1]
    assert shown[-1]["scope"]["standing"] == "unknown"
    assert shown[-1]["scope"]["sentence"].startswith("Nothing tells what this image shows")
    assert labels(app) == [KIND, PART]


def test_what_the_reader_tells_lifts_the_banner_and_is_kept_for_the_case(
    calls: list[int], shown: list[dict]
) -> None:
    app = upload(opened(), ("a.png", image()), ("b.png", image(80)))
    choose(choose(app, KIND, "radiograph"), PART, "wrist")
    assert shown[-1]["scope"] == {"standing": "inside", "sentence": "", "held_back": False}
    app.selectbox(key="picture").set_value("b.png").run()
    assert shown[-1]["scope"]["standing"] == "unknown"
    app.selectbox(key="picture").set_value("a.png").run()
    assert shown[-1]["scope"]["standing"] == "inside"


def test_a_ct_told_by_the_reader_is_held_back(calls: list[int], shown: list[dict]) -> None:
    app = upload(opened(), ("slice.png", image()))
    choose(app, KIND, "CT")
    assert shown[-1]["scope"]["held_back"]
    assert shown[-1]["predictions"] == [None]


def test_the_kind_is_not_asked_where_the_file_tells(calls: list[int]) -> None:
    app = upload(opened(), ("IM1", dicom(ramp(), BodyPartExamined="HAND")))
    assert labels(app) == [PART]


def test_the_demo_case_asks_nothing(calls: list[int]) -> None:
    assert labels(opened()) == []


def test_a_body_part_against_the_file_s_counts_and_is_said(
    calls: list[int], shown: list[dict]
) -> None:
    app = upload(opened(), ("IM1", dicom(ramp(), BodyPartExamined="HAND")))
    assert shown[-1]["scope"]["standing"] == "inside"
    choose(app, PART, "knee")
    assert "never seen images like this: knee" in shown[-1]["scope"]["sentence"]
    words = "Body part: the file says hand, your choice says knee. What your choice says counts."
    assert any(words in caption.value.replace("\\", "") for caption in app.caption)


def test_a_card_without_a_scope_shows_the_banner(
    shown: list[dict], monkeypatch: pytest.MonkeyPatch
) -> None:
    from fracture_core.models import library

    monkeypatch.setattr(library, "BUILT_IN", (CARD.model_copy(update={"scope": None}),))
    opened()
    assert "is not stated" in shown[-1]["scope"]["sentence"]


def test_each_pane_of_a_comparison_stands_to_its_own_scope(
    calls: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    from fracture_core.imaging.opening import open_images

    (read,) = open_images([("IM1", dicom(ramp(), Modality="CT"))]).images
    case = Case.of_image(read)
    ct = Scope(modalities=("CT",), body_parts=("head",), origins=("real",))
    cards = [
        CARD.model_copy(update={"model_id": name, "scope": scope, "family": "fake"})
        for name, scope in (("for-ct", ct), ("for-radiographs", REAL))
    ]
    calls.clear()
    panes = comparing.compare(cards, case).panes
    assert [pane.scope.held_back for pane in panes] == [False, True]
    assert [pane.scope.standing for pane in panes] == ["unknown", "outside"]
    assert [pane.predictions[0] is None for pane in panes] == [False, True]
    assert panes[1].warnings[0] == "not read"
    assert calls == [1]


def test_slices_that_differ_tell_nothing_in_common() -> None:
    from dataclasses import replace

    from fracture_core.demo import demo_case

    one = demo_case()
    other = replace(one, attributes={**one.attributes, "body part": "hand"})
    case = Case(key="k", title="t", samples=(one, other))
    assert "body part" not in case.attributes
    assert scope_of(CARD, case) == check_scope(CARD.scope, case.attributes)


def test_the_kind_of_a_data_set_is_asked_once_for_all_its_images(
    calls: list[int], shown: list[dict], tmp_path: Path
) -> None:
    make_coco(tmp_path, [box()])
    (tmp_path / "views.csv").write_text("file,body_part\n1.png,hand\n2.png,hand\n")
    app = agreed(opened(source="Data set", path=str(tmp_path)))
    assert "the kind of image is not known" in shown[-1]["scope"]["sentence"]
    assert labels(app) == [KIND]
    choose(app, KIND, "radiograph")
    assert shown[-1]["scope"]["sentence"] == ""
    [titles] = [each for each in app.selectbox if each.key == "sample"]
    titles.set_value("images/2.png").run()
    assert shown[-1]["scope"]["sentence"] == ""
    # Another session finds it told, and can take it back.
    again = opened(source="Data set", path=str(tmp_path))
    [box_] = [each for each in again.selectbox if each.label == KIND]
    assert box_.value == "radiograph"
    box_.set_value(None).run()
    assert "the kind of image is not known" in shown[-1]["scope"]["sentence"]
