"""The model library and the fake family."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from fracture_core import boxes, masks
from fracture_core.errors import ConfigError, WeightsError
from fracture_core.matching import match
from fracture_core.models import library
from fracture_core.models.adapter import save_model
from fracture_core.models.cards import CARD_FILE, ModelCard
from fracture_core.settings import settings
from fracture_core.types import Detections, Sample
from tests.support import torchvision_files


def radiograph(
    height: int = 300, width: int = 400, ground_truth: Detections | None = None
) -> Sample:
    rows, columns = np.mgrid[:height, :width]
    pixels = (80 + 60 * np.sin(columns / 23) + 40 * np.cos(rows / 31)).astype(np.uint8)
    return Sample(
        sample_id="a",
        group_id="a",
        height=height,
        width=width,
        read=lambda: pixels,
        ground_truth=ground_truth,
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


class TestShipped:
    @pytest.fixture
    def shipped(self) -> ModelCard:
        """A small network among the models that come with the package."""
        model = torchvision_files.resnet()
        facts = {"model_id": "demo-resnet", "title": "Demo"}
        card = model.card.model_copy(update=facts)
        return save_model(card, model._network, library.SHIPPED / card.model_id, half=True)

    def test_it_is_listed_after_the_fake_and_before_added_ones(self, shipped: ModelCard) -> None:
        added = torchvision_files.resnet()
        own = added.card.model_copy(update={"model_id": "a"})
        save_model(own, added._network, settings().models / "a")
        listed = [card.model_id for card in library.list_cards()]
        assert listed == ["fake", "demo-resnet", "a"]
        assert [library.is_built_in(model_id) for model_id in listed] == [True, True, False]

    def test_it_opens_and_answers_as_in_full_precision(self, shipped: ModelCard) -> None:
        opened = library.open_model("demo-resnet")
        assert opened.card == shipped
        weights = opened._network.state_dict()  # type: ignore[attr-defined]
        assert {tensor.dtype for tensor in weights.values()} == {torch.float32, torch.int64}
        scores = [
            model.predict([radiograph()])[0].class_scores
            for model in (opened, torchvision_files.resnet())
        ]
        np.testing.assert_allclose(scores[0], scores[1], atol=0.02)

    def test_its_size_is_known_and_half(self, shipped: ModelCard, tmp_path: Path) -> None:
        whole = library.open_model("demo-resnet").save(tmp_path)
        file = tmp_path / whole.weights_file
        assert library.weights_bytes(shipped) < 0.6 * file.stat().st_size

    def test_it_stays_as_it_is(self, shipped: ModelCard) -> None:
        with pytest.raises(ConfigError, match="a built-in one"):
            library.delete_model("demo-resnet")
        with pytest.raises(ConfigError, match="a built-in one"):
            library.rename_model("demo-resnet", "Mine")
        assert library.list_cards()[1] == shipped

    def test_its_weights_are_checked(self, shipped: ModelCard) -> None:
        with (library.SHIPPED / "demo-resnet" / shipped.weights_file).open("ab") as writer:
            writer.write(b"x")
        with pytest.raises(WeightsError, match="sha256"):
            library.open_model("demo-resnet")

    def test_its_id_is_taken(self, shipped: ModelCard, tmp_path: Path) -> None:
        file = tmp_path / "demo-resnet.safetensors"
        library.open_model("demo-resnet").save(tmp_path)
        (tmp_path / shipped.weights_file).rename(file)
        card = library.add_model(file, family_name="resnet", classes=shipped.classes)
        assert card.model_id == "demo-resnet-2"
        with pytest.raises(ConfigError, match="taken"):
            library.add_model(
                file, family_name="resnet", classes=shipped.classes, model_id="demo-resnet"
            )

    def test_a_model_added_before_under_its_id_is_reported(self, shipped: ModelCard) -> None:
        model = torchvision_files.resnet()
        save_model(shipped, model._network, settings().models / "demo-resnet")
        found = library.read_library()
        assert [card.model_id for card in found.cards] == ["fake", "demo-resnet"]
        assert "an id that no built-in model has" in str(found.broken[0])


def test_half_precision_refuses_what_it_cannot_hold(tmp_path: Path) -> None:
    model = torchvision_files.resnet()
    with torch.no_grad():
        model._network.fc.bias[0] = 1e6
    with pytest.raises(WeightsError, match=r"range of float16.*found fc\.bias up to 1e\+06"):
        save_model(model.card, model._network, tmp_path, half=True)
    assert not (tmp_path / CARD_FILE).exists()


def test_a_missing_weights_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"best\.pt: expected a weights file, found no such"):
        library.open_model(str(tmp_path / "best.pt"))


class TestFake:
    def test_the_same_image_gives_the_same_findings(self) -> None:
        model = library.open_model("fake")
        first, second = model.predict([radiograph(), radiograph()])
        np.testing.assert_array_equal(first.detections.xyxy, second.detections.xyxy)
        assert first.detections.masks == second.detections.masks
        other = model.predict([radiograph(width=401)])[0]
        assert not np.array_equal(first.detections.scores[:50], other.detections.scores[:50])

    def test_it_finds_truth_several_times_and_invents_more(self) -> None:
        ground_truth = Detections.ground_truth([[50, 60, 110, 120], [200, 100, 260, 180]], [0, 3])
        found = (
            library.open_model("fake")
            .predict([radiograph(ground_truth=ground_truth)])[0]
            .detections
        )
        assert 60 <= len(found) <= 200
        kinds = match(found, ground_truth, 0.3).kinds
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
