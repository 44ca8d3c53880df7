"""The service over HTTP, with a worker process and the fake model."""

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient
from typer.testing import CliRunner

from fracture_core.cli import app as commands
from fracture_core.demo.case import demo_case
from fracture_core.imaging.opening import open_image
from fracture_core.models import library
from fracture_core.service.limits import Limits
from fracture_core.service.schemas import RESEARCH_USE
from fracture_core.ui.read.predicting import predict as page_predicts
from fracture_core.ui.widgets.cases import Case
from tests.support.service_clients import client, files, png, png_of


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """One worker for all tests: a process takes a second to start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FRACTURE_HOME", str(tmp_path_factory.mktemp("service")))
        with client(Limits(most_files=4, most_bytes=4 << 20, seconds=30)) as opened:
            yield opened


def image_of(png_bytes: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png_bytes)) as opened:
        return np.asarray(opened)


def test_health_tells_of_the_workers(service: TestClient) -> None:
    assert service.get("/health").json() == {
        "status": "ok",
        "workers": 1,
        "restarts": 0,
        "waiting": 0,
        "in_flight": 0,
    }


def test_models_are_listed_with_the_threshold_they_open_at(service: TestClient) -> None:
    told = service.get("/models").json()
    assert told["default"] == "fake"
    assert [entry["card"]["model_id"] for entry in told["models"]] == ["fake"]
    assert told["models"][0]["opening"]["confidence"] == 0.5


def test_page_command_line_and_service_give_the_same_numbers(
    service: TestClient, tmp_path: Path
) -> None:
    content = png_of(demo_case().shown())
    file, out = tmp_path / "case.png", tmp_path / "out.json"
    file.write_bytes(content)
    done = CliRunner().invoke(
        commands, ["predict", str(file), "--model", "fake", "--out", str(out)]
    )
    assert done.exit_code == 0
    case = Case.of_image(open_image(content, "case.png"))
    (paged,) = page_predicts(library.list_cards()[0], case, lambda share: None)
    answer = service.post(
        "/predict", files=[("files", ("case.png", content))], data={"raw": "true"}
    ).json()
    (frame,) = answer["images"][0]["frames"]
    served = frame["candidates"]
    stored = json.loads(out.read_text())
    assert len(served) == len(paged.detections) == len(stored["annotations"]) > 50
    assert [each["score"] for each in served] == paged.detections.scores.astype(float).tolist()
    assert [each["xyxy"] for each in served] == paged.detections.xyxy.astype(float).tolist()
    for mine, theirs in zip(served, stored["annotations"], strict=True):
        x, y, width, height = theirs["bbox"]
        assert mine["xyxy"] == pytest.approx([x, y, x + width, y + height])
        assert (mine["score"], mine["label"]) == (theirs["score"], theirs["category_id"])
        assert mine["mask"] == theirs["segmentation"]
    assert frame["image_score"] == stored["images"][0]["image_score"] == paged.image_score
    assert frame["sample_id"] == stored["images"][0]["sample_id"]
    assert frame["answer"] == stored["images"][0]["answer"]


def test_thresholds_filter_as_the_core_does(service: TestClient) -> None:
    content = png_of(demo_case().shown())
    asked = {"confidence": "0.1", "nms_iou": "0.2", "raw": "true"}
    answer = service.post("/predict", files=files(content), data=asked).json()
    assert answer["filter"] == {
        "confidence": 0.1,
        "rule": "",
        "reason": "asked for",
        "nms_iou": 0.2,
    }
    model = library.open_model("fake")
    (prediction,) = model.predict(open_image(content, "0.png").samples())
    shown = prediction.detections.above(0.1).nms(0.2)
    (frame,) = answer["images"][0]["frames"]
    assert 0 < len(shown) < len(prediction.detections.above(0.1))
    assert [each["xyxy"] for each in frame["findings"]] == shown.xyxy.astype(float).tolist()
    for each in frame["findings"]:
        assert frame["candidates"][each["index"]] == each


def test_a_drawn_image_is_that_of_the_command_line(service: TestClient, tmp_path: Path) -> None:
    content = png_of(demo_case().shown())
    file, folder = tmp_path / "0.png", tmp_path / "drawn"
    file.write_bytes(content)
    asked = ["predict", str(file), "--model", "fake", "--draw", str(folder)]
    assert CliRunner().invoke(commands, [*asked, "--confidence", "0.4"]).exit_code == 0
    (written,) = folder.rglob("*.png")
    told = service.post(
        "/predict", files=files(content), data={"confidence": "0.4", "drawn": "true"}
    )
    (frame,) = told.json()["images"][0]["frames"]
    assert len(frame["findings"]) > 0
    drawn = image_of(base64.b64decode(frame["drawn_png"]))
    np.testing.assert_array_equal(drawn, image_of(written.read_bytes()))
    as_png = {"Accept": "image/png"}
    alone = service.post(
        "/predict", files=files(content), data={"confidence": "0.4"}, headers=as_png
    )
    assert alone.headers["content-type"] == "image/png"
    np.testing.assert_array_equal(image_of(alone.content), drawn)


def test_several_files_are_answered_with_the_errors_of_the_others(service: TestClient) -> None:
    sent = [*files(png(), png(64, 64, seed=1)), ("files", (r"C:\me\notes.txt", b"a wrist"))]
    told = service.post("/predict", files=sent)
    assert told.status_code == 200
    assert [image["name"] for image in told.json()["images"]] == ["0.png", "1.png"]
    (error,) = told.json()["errors"]
    assert (error["name"], error["found"]) == ("notes.txt", "a text file")


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"GIF89a", "a GIF image"),
        (b"", "an empty file"),
        (png()[:-30], "damaged"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 40, ""),
    ],
)
def test_a_file_that_cannot_be_read_is_one_sentence(
    service: TestClient, content: bytes, found: str
) -> None:
    told = service.post("/predict", files=[("files", ("../x/hand.gif", content))])
    assert told.status_code == 400
    problem = told.json()
    assert problem["name"] == "hand.gif"
    assert problem["message"].startswith(f"hand.gif: expected {problem['expected']}, found")
    assert found in problem["message"] or found == "damaged"


def test_an_image_of_another_kind_is_held_back_until_one_asks_for_it(service: TestClient) -> None:
    told = service.post("/predict", files=files(png()), data={"modality": "MG", "drawn": "true"})
    (image,) = told.json()["images"]
    assert image["scope"]["held_back"]
    assert "MG (mammogram)" in image["scope"]["sentence"]
    (frame,) = image["frames"]
    assert (frame["answer"], frame["findings"], frame["image_score"]) == ("unknown", [], None)
    assert frame["drawn_png"] is None
    as_png = {"Accept": "image/png"}
    for path, name in (("/predict", "files"), ("/explain", "file")):
        sent = [(name, ("a.png", png()))]
        refused = service.post(path, files=sent, data={"modality": "MG"}, headers=as_png)
        assert refused.status_code == 409
        assert "read_anyway" in refused.json()["advice"]
    read = service.post("/predict", files=files(png()), data={"modality": "MG", "read_anyway": "1"})
    (image,) = read.json()["images"]
    assert not image["scope"]["held_back"]
    assert image["scope"]["standing"] == "outside"
    assert image["frames"][0]["image_score"] > 0


def test_a_finding_is_explained_with_checks(service: TestClient) -> None:
    sent = [("file", ("a.png", png()))]
    told = service.post("/explain", files=sent, data={"finding": "1"}).json()
    assert told["finding"]["index"] == 1
    assert told["method"] == "invented"
    values = image_of(base64.b64decode(told["map_png"]))
    assert values.shape == (90, 120)
    assert values.max() == 255
    x1, y1, x2, y2 = told["finding"]["xyxy"]
    row, column = np.unravel_index(values.argmax(), values.shape)
    assert x1 <= column <= x2
    assert y1 <= row <= y2
    assert told["checks"]["verdict"]
    small = [("file", ("a.png", png(30, 40)))]
    whole = service.post("/explain", files=small, headers={"Accept": "image/png"})
    assert image_of(whole.content).shape == (30, 40)
    wrong = service.post("/explain", files=sent, data={"finding": "999"})
    assert wrong.status_code == 400
    assert "a candidate from 0 to" in wrong.json()["expected"]


@pytest.mark.parametrize(
    ("asked", "status", "name"),
    [
        ({"model": "../../etc/passwd"}, 404, "model"),
        ({"model": "yolo11n.yaml"}, 404, "model"),
        ({"confidence": "2"}, 422, "confidence"),
        ({"confidence": "nan"}, 422, "confidence"),
        ({"nms_iou": "-1"}, 422, "nms_iou"),
    ],
)
def test_a_field_that_cannot_be_used_is_named(
    service: TestClient, asked: dict[str, str], status: int, name: str
) -> None:
    told = service.post("/predict", files=files(png()), data=asked)
    assert told.status_code == status
    assert told.json()["name"] == name


def test_too_many_files_and_missing_ones_are_refused(service: TestClient) -> None:
    many = service.post("/predict", files=files(*[png()] * 5))
    assert (many.status_code, many.json()["expected"]) == (400, "at most 4 in one request")
    assert service.post("/predict").status_code == 422
    text = service.post("/predict", data={"files": "text"})
    assert text.json()["expected"] == "a file"


def test_too_large_an_upload_is_413_whether_it_says_so_or_not(service: TestClient) -> None:
    told = service.post("/predict", files=files(bytes(5 << 20)))
    assert told.status_code == 413
    assert "4,194,304 bytes" in told.json()["message"]

    def endless() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'
        for _ in range(6):
            yield bytes(1 << 20)

    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    assert service.post("/predict", content=endless(), headers=kind).status_code == 413


def test_what_was_done_is_counted(service: TestClient) -> None:
    def read(name: str) -> float:
        lines = service.get("/metrics").text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(name))

    before = read('fracture_images_total{model="fake"}')
    service.post("/predict", files=files(png(), png(seed=2)))
    assert read('fracture_images_total{model="fake"}') == before + 2
    assert read('fracture_requests_total{path="/predict",status="200"}') > 0
    service.get("/no/such/place")
    assert read('fracture_requests_total{path="other",status="404"}') == 1


def test_strangers_are_refused(service: TestClient) -> None:
    assert service.get("/models", headers={"Host": "evil.example"}).status_code == 421
    foreign = {"Origin": "https://evil.example"}
    assert service.post("/predict", files=files(png()), headers=foreign).status_code == 403
    own = {"Origin": "http://localhost:8600"}
    assert service.post("/predict", files=files(png()), headers=own).status_code == 200


def test_the_document_describes_every_answer(service: TestClient) -> None:
    document = service.get("/openapi.json").json()
    assert set(document["paths"]) == {"/predict", "/explain", "/models", "/health", "/metrics"}
    told = document["paths"]["/predict"]["post"]["responses"]
    assert {"200", "400", "401", "413", "422", "429", "503", "504"} <= set(told)
    assert "Retry-After" in told["429"]["headers"]
    for status, answer in told.items():
        schema = answer["content"]["application/json"]["schema"]["$ref"]
        assert schema.endswith("PredictAnswer" if status == "200" else "Problem")
    schemas = document["components"]["schemas"]
    for name in ("PredictAnswer", "ExplainAnswer", "HealthAnswer", "Problem"):
        assert schemas[name]["examples"]
    assert schemas["PredictAnswer"]["examples"][0]["research_use"] == RESEARCH_USE
