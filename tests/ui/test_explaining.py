"""Explanations on demand without a browser: when they are made, what is kept, what is told."""

import gzip
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from fracture_core.models.families import offers_gate
from fracture_core.types import Detections, Prediction, Sample
from fracture_core.ui.read import explaining
from fracture_core.ui.read.explaining import ask, known
from fracture_core.ui.routes import ROUTES
from fracture_core.ui.widgets.case_viewer import Asked, Pane, _checked, _pack_case
from fracture_core.ui.widgets.cases import Case
from tests.support.patch_model import CLASSES, ROWS, PatchModel, card


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    explaining._predictions.clear()
    yield
    # A thread left over must not work into the next test.
    with explaining._ONE_AT_A_TIME:
        pass


@pytest.fixture
def client() -> TestClient:
    return TestClient(Starlette(routes=ROUTES))


@pytest.fixture
def sample() -> Sample:
    pixels = np.random.default_rng(3).integers(0, 256, (420, 560), dtype=np.uint8)
    return Sample(sample_id="s", group_id="g", height=420, width=560, read=lambda: pixels)


@pytest.fixture
def case(sample: Sample) -> Case:
    return Case(key="case", title="Case", samples=(sample, sample), classes=CLASSES)


Asker = Callable[..., None]


@pytest.fixture
def asker(case: Case) -> Asker:
    """`asker(model, what, frame)` asks for an explanation as the page does."""

    def asked(model: PatchModel, what: object = 0, frame: int = 0) -> None:
        prediction = model.predict([case.samples[frame]])[0]
        target = Asked(pane=0, frame=frame, what=what)  # type: ignore[arg-type]
        ask(model.card, case, prediction, target, open_model=lambda card: model)

    return asked


def model_for(sample: Sample, **facts: object) -> PatchModel:
    return PatchModel(card=card(), sharp=sample, **facts)  # type: ignore[arg-type]


def finished(client: TestClient, case: Case, model: PatchModel, nth: int = 0) -> dict:
    """What the browser is told in the end."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        told = client.get(known(case, [model.card])[nth].path)
        assert told.headers["cache-control"] == "no-store"
        if told.json()["state"] in ("done", "failed"):
            return told.json()
        time.sleep(0.02)
    raise AssertionError(f"still {told.json()}")


def test_nothing_is_known_before_it_is_asked(case: Case, sample: Sample) -> None:
    assert known(case, [model_for(sample).card]) == ()


def test_an_answer_has_the_map_and_its_checks(
    client: TestClient, case: Case, sample: Sample, asker: Asker
) -> None:
    model = model_for(sample)
    asker(model)
    told = finished(client, case, model)
    assert told["state"] == "done"
    assert (told["method"], told["target"]) == ("patches", "finding 1")
    assert told["strength"] == told["reference"] == pytest.approx(0.9)
    assert told["checks"]["energy_inside"] == 1
    assert told["checks"]["verdict"] == "checks passed"
    assert told["checks"]["failures"] == []
    wanted = np.zeros((420, 560), dtype=np.uint8)
    wanted[100:220, 100:200] = 255
    values = client.get(told["values"]).content
    assert (told["height"], told["width"]) == (420, 560)
    assert np.array_equal(np.frombuffer(values, np.uint8).reshape(420, 560), wanted)


def test_a_weak_map_is_held_against_the_first_finding(
    client: TestClient, case: Case, sample: Sample, asker: Asker
) -> None:
    model = model_for(sample)
    asker(model, 2)
    told = finished(client, case, model)
    assert told["strength"] == pytest.approx(0.2)
    assert told["reference"] == pytest.approx(0.9)


def test_the_same_is_made_once_and_other_frames_and_weights_apart(
    client: TestClient, case: Case, sample: Sample, asker: Asker
) -> None:
    model = model_for(sample)
    asker(model)
    finished(client, case, model)
    first = known(case, [model.card])
    asker(model)
    assert known(case, [model.card]) == first
    asker(model, 0, frame=1)
    assert {(link.asked.frame, link.asked.what) for link in known(case, [model.card])} == {
        (0, 0),
        (1, 0),
    }
    other = model.card.model_copy(update={"weights_sha256": "0" * 64})
    assert known(case, [other]) == ()
    assert known(replace(case, key="another"), [model.card]) == ()


def test_it_runs_beside_the_page(
    client: TestClient, case: Case, sample: Sample, asker: Asker
) -> None:
    model = model_for(sample, seconds=0.4)
    start = time.monotonic()
    asker(model, 0)
    asker(model, 1)
    assert time.monotonic() - start < 0.3
    told = [client.get(link.path).json() for link in known(case, [model.card])]
    assert {one["state"] for one in told} <= {"waiting", "running"}
    assert finished(client, case, model, 1)["state"] == "done"


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("weights", "patches: expected weights, found <b>none</b>"),
        ("out of memory", "The explanation failed: out of memory"),
    ],
)
def test_what_goes_wrong_is_a_sentence_and_can_be_tried_again(
    client: TestClient, case: Case, sample: Sample, asker: Asker, fault: str, words: str
) -> None:
    model = model_for(sample, fault=fault)
    asker(model)
    told = finished(client, case, model)
    assert told["state"] == "failed"
    assert told["error"].startswith(words)
    assert "Traceback" not in told["error"]
    asker(model_for(sample))
    assert finished(client, case, model)["state"] == "done"


def test_the_gate_is_checked_like_any_map(
    client: TestClient, case: Case, sample: Sample, asker: Asker
) -> None:
    model = PatchModel(card=card("classify"), sharp=sample)
    asker(model, "gate")
    told = finished(client, case, model)
    assert told["method"] == "Attention gate"
    assert told["strength"] == 0.5
    assert told["checks"]["energy_inside"] is None
    assert told["checks"]["verdict"] in ("checks passed", "not faithful")


def test_only_the_gated_family_offers_its_gate() -> None:
    assert offers_gate(card().model_copy(update={"family": "efficientnet_gate"}))
    assert not offers_gate(card())


def test_too_many_at_once_are_refused(
    client: TestClient, case: Case, sample: Sample, asker: Asker
) -> None:
    model = model_for(sample, fault="never mind")
    held = threading.Event()

    def wait() -> None:
        with explaining._ONE_AT_A_TIME:
            held.wait(20)

    blocking = threading.Thread(target=wait)
    blocking.start()
    many = replace(case, samples=case.samples * 8)
    for frame in range(explaining.MOST_WAITING + 1):
        prediction = model.predict([sample])[0]
        target = Asked(pane=0, frame=frame, what=0)
        ask(model.card, many, prediction, target, open_model=lambda card: model)
    told = [client.get(link.path).json() for link in known(many, [model.card])]
    held.set()
    blocking.join()
    assert [one["state"] for one in told] == ["waiting"] * explaining.MOST_WAITING + ["failed"]
    assert "Ask again later" in told[-1]["error"]


def test_the_number_kept_is_bounded(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explaining, "MOST_KEPT", 3)
    predictions = explaining._predictions()
    for frame in range(6):
        started = predictions.start(("m", "", "case", frame, "image"))
        assert started
        started.state = "done"
    assert [key[0] for key in predictions.find(("m", "", "case"))] == [3, 4, 5]


def test_an_unknown_answer_is_no_longer_kept(client: TestClient) -> None:
    answer = client.get("/workbench/answers/unknown")
    assert answer.status_code == 404
    assert "no longer kept" in answer.text
    assert client.get("/workbench/maps/unknown").status_code == 404


def test_a_map_travels_packed(client: TestClient, case: Case, sample: Sample, asker: Asker) -> None:
    model = model_for(sample)
    asker(model)
    told = finished(client, case, model)
    with client.stream("GET", told["values"]) as answer:
        raw = b"".join(answer.iter_raw())
    assert len(raw) < 5_000
    assert len(gzip.decompress(raw)) == 420 * 560


@pytest.mark.parametrize(
    "asked",
    [
        {"pane": 1, "frame": 0, "what": "image"},
        {"pane": 0, "frame": 1, "what": "image"},
        {"pane": 0, "frame": 0, "what": 4},
        {"pane": 0, "frame": 0, "what": -1},
    ],
)
def test_what_is_not_there_cannot_be_asked_for(asked: dict, sample: Sample) -> None:
    model = model_for(sample)
    panes = [Pane(title="A", card=model.card, predictions=tuple(model.predict([sample])))]
    assert _checked({"pane": 0, "frame": 0, "what": 3}, panes, 1).what == 3
    with pytest.raises(ValueError, match="asked: no"):
        _checked(asked, panes, 1)


def test_known_classes_count_as_the_models_of_the_same_name(sample: Sample) -> None:
    labelled = replace(
        sample, image_class=1, ground_truth=Detections.ground_truth([ROWS[0][:4]], [0])
    )
    owner = card("classify").model_copy(update={"classes": CLASSES})
    pane = Pane(title="A", card=owner, predictions=(None,))
    packed = _pack_case([labelled], [pane], ("Oblique", "spiral "), None)
    assert packed["panes"][0]["groups"] == (1, 0, 2)
    assert (packed["groups"], packed["frames"][0]["image_group"]) == ((0, 1), 1)
    assert packed["panes"][0]["comparable"]


def test_a_classifier_needs_no_finding() -> None:
    prediction = Prediction(
        model_id="m",
        sample_id="s",
        detections=Detections.empty(),
        image_score=0.5,
        seconds=0,
        class_scores=np.array([0.5, 0.5], dtype=np.float32),
    )
    panes = [Pane(title="A", card=card("classify"), predictions=(prediction,))]
    assert _checked({"pane": 0, "frame": 0, "what": "image"}, panes, 1).what == "image"
