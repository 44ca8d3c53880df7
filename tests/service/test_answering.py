"""What a worker makes of requests, without a process around it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fracture_core.demo.case import demo_case
from fracture_core.errors import WeightsError
from fracture_core.imaging.opening import open_image
from fracture_core.models import library
from fracture_core.models.fake import CARD, FakeModel
from fracture_core.service import answering
from fracture_core.service.answering import explain_image, predict
from fracture_core.service.messages import (
    ExplainOptions,
    PredictOptions,
    Query,
    Reply,
    Upload,
    Work,
    pack_replies,
    pack_work,
    read_lengths,
    read_work,
    unpack_replies,
)
from fracture_core.service.worker import OpenModels, answer
from fracture_core.types import Prediction, Sample
from tests.support.dicom_files import dicom, ramp, slice_of_ct
from tests.support.measurements import measured
from tests.support.patch_model import PatchModel
from tests.support.patch_model import card as patch_card
from tests.support.service_clients import png, png_of

SCOPELESS = CARD.model_copy(update={"scope": None})


def query(*contents: bytes, **options: Any) -> Query:
    uploads = tuple(Upload(name=f"{i}.dcm", data=each) for i, each in enumerate(contents))
    return Query(options=PredictOptions(**options), uploads=uploads)


def told(reply: Reply) -> dict[str, Any]:
    assert reply.status == 200, reply.body
    content: dict[str, Any] = json.loads(reply.body)
    return content


def test_without_a_confidence_the_operating_point_of_the_model_counts() -> None:
    content = png_of(demo_case().shown())
    asked = query(content, modality="DX", body_part="wrist", raw=True)
    (reply,) = predict(FakeModel(CARD), measured(), [asked])
    answered = told(reply)
    assert answered["filter"] == {
        "confidence": 0.1,
        "rule": "sensitivity ≥ 0.9",
        "reason": "",
        "nms_iou": 0.5,
    }
    (frame,) = answered["images"][0]["frames"]
    scores = [each["score"] for each in frame["findings"]]
    assert min(scores) >= 0.1 > min(each["score"] for each in frame["candidates"])


def test_inside_of_its_scope_a_model_answers_by_its_points() -> None:
    sharp = demo_case()
    model = PatchModel(card=patch_card(scope=CARD.scope), sharp=sharp)
    asked = query(png_of(sharp.shown()), modality="DX", body_part="wrist")
    (outside,) = predict(model, measured(), [asked])
    real = told(outside)["images"][0]
    assert (real["scope"]["standing"], real["frames"][0]["answer"]) == ("outside", "unknown")
    scope = CARD.scope.model_copy(update={"origins": ("real",)}) if CARD.scope else None
    model = PatchModel(card=patch_card(scope=scope), sharp=sharp)
    (inside,) = predict(model, measured(), [asked])
    assert told(inside)["images"][0]["frames"][0]["answer"] == "finding"


def test_slices_of_a_series_are_a_stack_and_what_names_the_patient_is_left_out() -> None:
    slices = [
        slice_of_ct(z, z, PatientName="Roe^Jane", SeriesInstanceUID="1.2.840.99") for z in (3, 1, 2)
    ]
    (reply,) = predict(FakeModel(SCOPELESS), None, [query(*slices)])
    (image,) = told(reply)["images"]
    assert [frame["frame"] for frame in image["frames"]] == [1, 2, 3]
    assert reply.images == 3
    assert b"Roe" not in reply.body
    assert b"1.2.840.99" not in reply.body
    (marked,) = predict(
        FakeModel(SCOPELESS), None, [query(dicom(ramp(), BurnedInAnnotation="YES"))]
    )
    assert any("burned into" in each for each in told(marked)["images"][0]["warnings"])


def test_requests_of_a_batch_get_their_own_answers() -> None:
    calls: list[int] = []

    class Counting(FakeModel):
        def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
            calls.append(len(samples))
            return super().predict(samples)

    model = Counting(CARD)
    asked = [
        query(png(seed=1), png(seed=2)),
        query(b"no image"),
        query(png(seed=3), modality="MG"),
        query(png(seed=4), as_png=True),
        query(png(seed=5), png(seed=6), as_png=True),
        query(png(seed=7), raw=True),
    ]
    together = predict(model, None, asked)
    assert calls == [6]
    assert [reply.status for reply in together] == [200, 400, 200, 200, 400, 200]
    assert [reply.images for reply in together] == [2, 0, 0, 1, 0, 1]
    alone = [predict(model, None, [each])[0] for each in asked]
    for one, other in zip(together, alone, strict=True):
        assert _timeless(one) == _timeless(other)


def _timeless(reply: Reply) -> object:
    if reply.media_type != "application/json":
        return reply.body
    content = json.loads(reply.body)
    for image in content.get("images", ()):
        for frame in image["frames"]:
            frame.pop("seconds")
    return content


def test_a_request_of_too_many_frames_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answering, "MOST_FRAMES", 2)
    stack = [slice_of_ct(z, z, SeriesInstanceUID="1.2.840.99") for z in range(3)]
    (reply,) = predict(FakeModel(SCOPELESS), None, [query(*stack)])
    assert reply.status == 400
    assert json.loads(reply.body)["found"] == "3"


def test_a_classifier_is_explained_as_a_whole_only() -> None:
    sharp = demo_case()
    model = PatchModel(card=patch_card("classify"), sharp=sharp)
    upload = Upload(name="a.png", data=png_of(sharp.shown()))
    asked = Query(options=ExplainOptions(finding=0), uploads=(upload,))
    refused = explain_image(model, asked)
    assert (refused.status, json.loads(refused.body)["name"]) == (400, "finding")
    frame = explain_image(model, Query(options=ExplainOptions(frame=2), uploads=(upload,)))
    assert json.loads(frame.body)["expected"] == "a frame from 1 to 1"


# ---- the worker ----------------------------------------------------------------------------------


def work(kind: Any, *queries: Query) -> Work:
    return Work(kind=kind, model_id="fake", weights_sha256="", queries=queries)


def test_a_model_is_opened_once_and_again_when_its_weights_change() -> None:
    opened: list[str] = []

    def open_one(model_id: str) -> FakeModel:
        opened.append(model_id)
        return FakeModel(CARD)

    models = OpenModels(open_one)
    for sha in ("a", "a", "b", "a"):
        models.get("fake", sha)
    assert opened == ["fake", "fake"]
    for other in "cdef":
        models.get(other, "")
    models.get("fake", "a")
    assert len(opened) == 7


def test_a_model_that_cannot_be_opened_is_503_for_each() -> None:
    def broken(model_id: str) -> FakeModel:
        raise WeightsError("weights.pt", expected="weights", found="none")

    replies = answer(work("predict", query(png()), query(png())), OpenModels(broken))
    assert [reply.status for reply in replies] == [503, 503]
    assert json.loads(replies[0].body)["name"] == "weights.pt"
    assert answer(work("open"), OpenModels(broken)) == []


def test_one_that_breaks_the_model_does_not_break_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Fragile(FakeModel):
        def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
            if any(sample.width == 66 for sample in samples):
                raise RuntimeError("secret path /home/jane")
            return super().predict(samples)

    models = OpenModels(lambda model_id: Fragile(CARD))
    replies = answer(work("predict", query(png()), query(png(66, 66)), query(png())), models)
    assert [reply.status for reply in replies] == [200, 500, 200]
    assert b"jane" not in replies[1].body
    assert "a batch of 3 failed" in caplog.text


def test_what_passes_between_the_processes_comes_out_as_it_went_in(tmp_path: Path) -> None:
    sent = work("predict", query(b"\0pixels", b"", raw=True, confidence=0.25), query(b"\xff"))
    file = tmp_path / "sent"
    file.write_bytes(b"".join(pack_work(sent)))
    with file.open("rb") as stream:
        assert read_work(stream) == sent
        assert read_work(stream) is None
    replies = [Reply(status=200, body=b"{}", images=2), Reply(status=400, body=b"")]
    packed = b"".join(pack_replies(replies))
    header, rest = read_lengths(packed[:12])
    assert len(packed) == 12 + header + rest
    assert unpack_replies(packed[12 : 12 + header], packed[12 + header :]) == replies


# ---- networks ------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("model_id", ["resnet", "yolo-detect", "yolo-segment"])
def test_networks_answer_in_a_batch_as_they_do_alone(
    model_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "SHIPPED", Path(library.__file__).parents[1] / "weights")
    model = library.open_model(model_id)
    contents = [png_of(demo_case().shown()), png(300, 400), png_of(demo_case().shown()[::-1])]
    replies = predict(
        model, library.points_of(model.card), [query(each, raw=True) for each in contents]
    )
    for content, reply in zip(contents, replies, strict=True):
        (alone,) = model.predict(open_image(content, "0.dcm").samples())
        (frame,) = told(reply)["images"][0]["frames"]
        served = frame["candidates"]
        assert frame["image_score"] == pytest.approx(alone.image_score, abs=1e-4)
        if alone.class_scores is not None:
            np.testing.assert_allclose(frame["class_scores"], alone.class_scores, atol=1e-4)
        assert len(served) == pytest.approx(len(alone.detections), abs=2)
        best = min(20, len(served), len(alone.detections))
        np.testing.assert_allclose(
            [each["score"] for each in served[:best]], alone.detections.scores[:best], atol=1e-4
        )
        np.testing.assert_allclose(
            np.array([each["xyxy"] for each in served[:best]]).reshape(-1, 4),
            alone.detections.xyxy[:best],
            atol=0.1,
        )
