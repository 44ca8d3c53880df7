"""The model library and the fake family."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fracture_core import boxes, masks
from fracture_core.errors import ConfigError, WeightsError
from fracture_core.matching import match
from fracture_core.models import library
from fracture_core.models.cards import CARD_FILE
from fracture_core.settings import settings
from fracture_core.types import Detections, Sample


def radiograph(height: int = 300, width: int = 400, truth: Detections | None = None) -> Sample:
    rows, columns = np.mgrid[:height, :width]
    pixels = (80 + 60 * np.sin(columns / 23) + 40 * np.cos(rows / 31)).astype(np.uint8)
    return Sample(
        sample_id="a", group_id="a", height=height, width=width, read=lambda: pixels, truth=truth
    )


def test_the_library_opens_without_torch() -> None:
    code = (
        "import sys, fracture_core.models.library as library;"
        "library.list_cards(); library.open_model('fake'); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_an_empty_library_holds_the_fake_model_which_says_so() -> None:
    (card,) = library.list_cards()
    assert card.model_id == "fake"
    assert card.title == "Fake model (invents findings)"
    assert "Not a model" in card.note


def test_a_broken_folder_is_reported_and_stops_nothing() -> None:
    for name, text in {"empty": None, "garbled": "{", "renamed": '{"family": 3}'}.items():
        folder = settings().models / name
        folder.mkdir(parents=True)
        if text is not None:
            (folder / CARD_FILE).write_text(text)
    found = library.read_library()
    assert [card.model_id for card in found.cards] == ["fake"]
    assert len(found.broken) == 3


def test_a_card_whose_weights_are_gone_or_elsewhere_is_broken() -> None:
    card = library.list_cards()[0].model_dump(mode="json")
    for name, weights in {"gone": "weights.pt", "elsewhere": "../../etc/passwd"}.items():
        folder = settings().models / name
        folder.mkdir(parents=True)
        text = json.dumps({**card, "model_id": name, "weights_file": weights})
        (folder / CARD_FILE).write_text(text)
    messages = sorted(str(error) for error in library.read_library().broken)
    assert "weights_file: a file name beside the card" in messages[0]
    assert "found no weights.pt" in messages[1]


@pytest.mark.parametrize("ref", ["nothing", "..", "", "../fake", "a/b/c", "/"])
def test_an_unknown_model_is_refused(ref: str) -> None:
    with pytest.raises(ConfigError, match="a model of the library"):
        library.open_model(ref)
    with pytest.raises(ConfigError):
        library.delete_model(ref)


def test_the_built_in_model_cannot_be_deleted() -> None:
    with pytest.raises(ConfigError, match="built-in"):
        library.delete_model("fake")


def test_a_missing_weights_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"best\.pt: expected a weights file, found no such"):
        library.open_model(str(tmp_path / "best.pt"))


class TestFake:
    def test_the_same_picture_gives_the_same_findings(self) -> None:
        model = library.open_model("fake")
        first, second = model.predict([radiograph(), radiograph()])
        np.testing.assert_array_equal(first.detections.xyxy, second.detections.xyxy)
        assert first.detections.masks == second.detections.masks
        other = model.predict([radiograph(width=401)])[0]
        assert not np.array_equal(first.detections.scores[:50], other.detections.scores[:50])

    def test_it_finds_truth_several_times_and_invents_more(self) -> None:
        truth = Detections.truth([[50, 60, 110, 120], [200, 100, 260, 180]], [0, 3])
        found = library.open_model("fake").predict([radiograph(truth=truth)])[0].detections
        assert 60 <= len(found) <= 200
        kinds = match(found, truth, 0.3).kinds
        assert kinds.count("true positive") == 2
        assert kinds.count("duplicate") >= 4
        assert kinds.count("false positive") >= 40
        assert len(found.nms(0.5)) < len(found)

    def test_unknown_truth_still_gives_findings_worth_a_slider(self) -> None:
        found = library.open_model("fake").predict([radiograph()])[0].detections
        assert len(found) >= 60
        counts = [len(found.above(c)) for c in (0.05, 0.1, 0.2, 0.4)]
        assert counts[0] > counts[1] > counts[2] > counts[3] > 0

    def test_masks_are_ellipses_in_their_boxes(self) -> None:
        found = library.open_model("fake").predict([radiograph()])[0].detections
        assert len(found.masks) == len(found)
        shares = np.array([masks.pixels(m) for m in found.masks]) / boxes.area(found.xyxy)
        big = boxes.area(found.xyxy) > 200
        np.testing.assert_allclose(shares[big], np.pi / 4, atol=0.1)

    def test_it_takes_no_weights(self, tmp_path: Path) -> None:
        file = tmp_path / "a.pt"
        file.write_bytes(b"x")
        with pytest.raises(WeightsError, match=r"a\.pt: expected no file"):
            library.add_model(file, family_name="fake")
        assert list(settings().models.iterdir()) == []
