"""YOLO: raw once is exact, letterboxing and masks as Ultralytics makes them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fracture_core import boxes, masks
from fracture_core.errors import ConfigError, WeightsError
from fracture_core.models import library, quiet_ultralytics
from fracture_core.models.adapter import save_model
from fracture_core.models.cards import CARD_FILE, write_card
from fracture_core.models.letterbox import Letterbox, decode_masks
from fracture_core.models.yolo import YoloModel
from fracture_core.models.yolo_architectures import check_architecture, read_architecture
from fracture_core.models.yolo_networks import random_network
from fracture_core.settings import settings
from fracture_core.types import SCORE_FLOOR, Detections
from tests.support.yolo_files import CLASSES, image, sample, save_checkpoint, yolo_network

INPUT_SIZE = 448
SETTINGS = [
    (0.05, 0.7), (0.05, 0.3), (0.1, 0.7), (0.1, 0.5), (0.25, 0.7),
    (0.25, 0.45), (0.25, 0.1), (0.4, 0.6), (0.5, 0.45), (0.7, 0.2),
]  # fmt: skip


@pytest.fixture(scope="module")
def detector_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    network = yolo_network("yolov8n.yaml")
    folder = tmp_path_factory.mktemp("weights")
    return save_checkpoint(network, folder / "best.pt", train_args={"imgsz": INPUT_SIZE})


def run_ultralytics(file: Path, pixels: np.ndarray, **how: Any) -> Detections:
    """Ultralytics' own prediction, thresholds, suppression and all."""
    yolo = quiet_ultralytics.part("ultralytics").YOLO(file)
    colour = np.repeat(pixels[:, :, None], 3, axis=2)
    found = yolo.predict(colour, max_det=1000, verbose=False, save=False, device="cpu", **how)[0]
    xyxy, scores, labels = (
        array.numpy() for array in (found.boxes.xyxy, found.boxes.conf, found.boxes.cls)
    )
    order = np.argsort(-scores, kind="stable")
    # Ultralytics hands boxes out that lie in the padding and have no area in the image.
    order = order[boxes.has_area(xyxy[order])]
    return Detections.of(xyxy[order], scores[order], labels[order])


def inner(found: Detections, height: int, width: int, margin: float) -> Detections:
    """Those whole inside a margin: clipping at the border changes overlaps there."""
    low = found.xyxy[:, :2].min(axis=1) >= margin
    high = (np.array([width, height]) - found.xyxy[:, 2:]).min(axis=1) >= margin
    return found[low & high]


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return image(600, 800, seed=1)


@pytest.fixture(scope="module")
def raw(detector_file: Path, pixels: np.ndarray) -> Detections:
    model = library.open_model(str(detector_file))
    return model.predict([sample(pixels)])[0].detections


class TestRawOnceIsExact:
    def test_the_case_is_a_real_one(self, raw: Detections) -> None:
        assert len(np.unique(raw.labels)) == 3
        # Few enough that none was left out for being one too many.
        assert 100 < len(raw.above(min(c for c, _ in SETTINGS))) < 1000
        kept = [len(raw.above(c).nms(i)) for c, i in SETTINGS]
        assert len(set(kept)) == len(kept)
        assert min(kept) >= 10

    @pytest.mark.parametrize(("confidence", "nms_iou"), SETTINGS)
    def test_filtering_afterwards_equals_ultralytics(
        self,
        confidence: float,
        nms_iou: float,
        raw: Detections,
        pixels: np.ndarray,
        detector_file: Path,
    ) -> None:
        theirs = run_ultralytics(detector_file, pixels, conf=confidence, iou=nms_iou)
        ours = inner(raw.above(confidence).nms(nms_iou), *pixels.shape, margin=120)
        theirs = inner(theirs, *pixels.shape, margin=120)
        assert len(ours) == len(theirs) >= 4
        np.testing.assert_allclose(ours.scores, theirs.scores, atol=1e-4)
        np.testing.assert_array_equal(ours.labels, theirs.labels)
        np.testing.assert_allclose(ours.xyxy, theirs.xyxy, atol=1e-2)

    def test_all_candidates_equal_ultralytics_without_suppression(
        self, raw: Detections, pixels: np.ndarray, detector_file: Path
    ) -> None:
        theirs = run_ultralytics(detector_file, pixels, conf=SCORE_FLOOR, iou=1.0)
        assert len(theirs) == len(raw)
        np.testing.assert_allclose(raw.scores, theirs.scores, atol=1e-4)
        # Scores that differ in the last digit only may change places.
        np.testing.assert_allclose(np.sort(raw.xyxy, 0), np.sort(theirs.xyxy, 0), atol=1e-2)


@pytest.mark.parametrize("name", ["yolov10n.yaml", "yolo26n.yaml"])
def test_end_to_end_heads_equal_ultralytics_without_nms(name: str, tmp_path: Path) -> None:
    network = yolo_network(name)
    file = save_checkpoint(network, tmp_path / "a.pt", train_args={"imgsz": 160})
    pixels = image(120, 150)
    model = library.open_model(str(file))
    assert not model.card.needs_nms
    ours = model.predict([sample(pixels)])[0].detections
    theirs = run_ultralytics(file, pixels, conf=SCORE_FLOOR, nms=False, imgsz=160)
    assert len(ours) == len(theirs) > 50
    np.testing.assert_allclose(ours.scores, theirs.scores, atol=1e-4)
    np.testing.assert_allclose(np.sort(ours.xyxy, axis=0), np.sort(theirs.xyxy, axis=0), atol=1e-2)


class TestLetterbox:
    SIZES = ((600, 800), (800, 600), (640, 640), (1, 1), (8, 3), (4, 3000), (2000, 7), (333, 217))

    @pytest.mark.parametrize("size", SIZES)
    def test_the_same_pixels_as_ultralytics(self, size: tuple[int, int]) -> None:
        pixels = image(*size)
        theirs = quiet_ultralytics.part("ultralytics.data.augment").LetterBox(
            640, auto=True, stride=32
        )(image=np.repeat(pixels[:, :, None], 3, axis=2))
        box = Letterbox.fit(*size, input_size=640, stride=32)
        np.testing.assert_array_equal(box.place(pixels), theirs[:, :, 0])

    @pytest.mark.parametrize("size", SIZES)
    def test_boxes_come_back_as_in_ultralytics(self, size: tuple[int, int]) -> None:
        box = Letterbox.fit(*size, input_size=640, stride=32)
        rng = np.random.default_rng(1)
        xyxy = rng.uniform(0, 640, (50, 4)).astype(np.float32)
        ops = quiet_ultralytics.part("ultralytics.utils.ops")
        shape = (box.input_height, box.input_width)
        theirs = ops.scale_boxes(shape, torch.from_numpy(xyxy.copy()), size).numpy()
        ours = boxes.clip(box.to_image(xyxy), *size)
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-3)


class TestMasks:
    def random_case(self, box: Letterbox, count: int = 20) -> tuple[torch.Tensor, ...]:
        generator = torch.Generator().manual_seed(3)
        rows, columns = box.input_height // 4, box.input_width // 4
        coarse = torch.randn(1, 8, rows // 8, columns // 8, generator=generator)
        prototypes = torch.nn.functional.interpolate(coarse, (rows, columns), mode="bicubic")[0]
        coefficients = torch.randn(count, 8, generator=generator)
        corners = torch.rand(count, 2, 2, generator=generator).sort(dim=1).values
        limits = torch.tensor([box.width, box.height] * 2)
        return prototypes, coefficients, corners.reshape(count, 4) * limits

    def test_pixel_for_pixel_as_ultralytics_at_equal_scale(self) -> None:
        box = Letterbox.fit(256, 320, input_size=320, stride=32)
        prototypes, coefficients, xyxy = self.random_case(box)
        ops = quiet_ultralytics.part("ultralytics.utils.ops")
        theirs = ops.process_mask(prototypes, coefficients, xyxy, (256, 320), upsample=True)
        ours = decode_masks(prototypes, coefficients, xyxy.numpy(), box)
        for code, mask in zip(ours, theirs.numpy().astype(bool), strict=True):
            assert (masks.decode(code) != mask).sum() <= 2  # the sign of a zero

    @pytest.mark.parametrize("size", [(700, 900), (100, 130), (512, 300)])
    def test_close_to_ultralytics_at_other_scales(self, size: tuple[int, int]) -> None:
        box = Letterbox.fit(*size, input_size=320, stride=32)
        prototypes, coefficients, xyxy = self.random_case(box)
        ops = quiet_ultralytics.part("ultralytics.utils.ops")
        theirs = ops.process_mask_native(prototypes, coefficients, xyxy, size).numpy().astype(bool)
        ours = decode_masks(prototypes, coefficients, xyxy.numpy(), box)
        together = np.stack([masks.decode(code) for code in ours])
        overlap = (together & theirs).sum() / (together | theirs).sum()
        assert overlap > 0.97

    def test_a_large_image_costs_little(self) -> None:
        box = Letterbox.fit(6000, 8000, input_size=640, stride=32)
        prototypes, coefficients, xyxy = self.random_case(box, count=100)
        codes = decode_masks(prototypes, coefficients, xyxy.numpy(), box)
        assert (codes[0].height, codes[0].width) == (6000, 8000)
        assert sum(len(code.counts) for code in codes) < 20_000_000

    def test_a_box_thinner_than_a_pixel_has_an_empty_mask(self) -> None:
        box = Letterbox.fit(64, 64, input_size=64, stride=32)
        prototypes, coefficients, _ = self.random_case(box, count=1)
        xyxy = np.array([[3.2, 5, 3.6, 40]], dtype=np.float32)
        assert masks.pixels(decode_masks(prototypes, coefficients, xyxy, box)[0]) == 0


class TestByName:
    def test_random_weights_say_so_and_are_always_the_same(self) -> None:
        first, second = (library.open_model("yolo11n-seg.yaml") for _ in range(2))
        assert first.card == second.card
        assert (first.card.task, len(first.card.classes)) == ("segment", 80)
        assert "random weights" in first.card.title
        states = [m._network.state_dict() for m in (first, second)]
        assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])

    def test_a_card_of_an_architecture_alone_opens(self) -> None:
        card = library.open_model("yolov8n.yaml").card
        folder = settings().models / card.model_id
        folder.mkdir(parents=True)
        write_card(card, folder)
        assert json.loads((folder / CARD_FILE).read_text())["architecture"]["yaml"] == card.model_id
        assert library.open_model("yolov8n.yaml").card == card

    def test_the_random_numbers_of_others_are_left_alone(self) -> None:
        torch.manual_seed(5)
        expected = torch.rand(3)
        torch.manual_seed(5)
        library.open_model("yolov8n.yaml")
        assert torch.equal(torch.rand(3), expected)

    @pytest.mark.parametrize("name", ["nothing.yaml", "../yolov8n.yaml", "/etc/a.yaml", "a.yml"])
    def test_unknown(self, name: str) -> None:
        with pytest.raises(ConfigError, match="expected an architecture of Ultralytics"):
            library.open_model(name)

    @pytest.mark.parametrize("name", ["yolov8n-cls.yaml", "yolo11n-pose.yaml", "yolo11n-obb.yaml"])
    def test_other_tasks(self, name: str) -> None:
        with pytest.raises(WeightsError, match="expected a YOLO network that detects or segments"):
            library.open_model(name)

    @pytest.mark.parametrize(
        "name",
        ["yolov3-tiny.yaml", "yolov5n.yaml", "yolov6n.yaml", "yolov8n-p2.yaml",
         "yolov8n-ghost.yaml", "yolov9t.yaml", "yolov10n.yaml", "yolo12n-seg.yaml", "yolo26n.yaml"],
    )  # fmt: skip
    def test_the_generations_of_yolo(self, name: str) -> None:
        model = library.open_model(name)
        assert model.predict([sample(image(40, 50))])[0].model_id == name


def test_masks_on_cells_equal_masks_on_pixels() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        height, width = rng.integers(1, 30, 2)
        rows = np.unique(rng.integers(0, height + 1, 6))
        columns = np.unique(rng.integers(0, width + 1, 6))
        if len(rows) < 2 or len(columns) < 2:
            continue
        cells = rng.random((len(rows) - 1, len(columns) - 1)) < 0.6
        dense = np.zeros((height, width), dtype=bool)
        block = np.repeat(np.repeat(cells, np.diff(rows), 0), np.diff(columns), 1)
        dense[rows[0] : rows[-1], columns[0] : columns[-1]] = block
        code = masks.from_cells(cells, rows, columns, int(height), int(width))
        assert code == masks.encode(dense)
        crop = masks.from_crop(block, int(columns[0]), int(rows[0]), int(height), int(width))
        assert crop == masks.encode(dense)


def test_a_crop_outside_the_image_is_an_error() -> None:
    with pytest.raises(ValueError, match="expected inside"):
        masks.from_crop(np.ones((4, 4), dtype=bool), 2, 0, 4, 4)


def test_the_classes_of_the_file_are_those_of_the_card(detector_file: Path) -> None:
    card = library.open_model(str(detector_file)).card
    assert card.classes == CLASSES
    assert card.input_size == INPUT_SIZE


class TestSaved:
    """Weights of our own: safetensors beside a card that spells the architecture out."""

    @pytest.fixture
    def card(self, tmp_path: Path) -> Any:
        return library.open_model("yolov8n.yaml").save(tmp_path)

    def tampered(self, card: Any, **changes: object) -> Any:
        architecture = {**card.architecture["yaml"], **changes}
        return card.model_copy(update={"architecture": {"yaml": architecture}})

    def test_a_layer_that_is_none_of_yolos(self, card: Any, tmp_path: Path) -> None:
        backbone = [[-1, 1, "os.system", ["true"]], *card.architecture["yaml"]["backbone"][1:]]
        with pytest.raises(WeightsError, match=r"layer 0: 'os\.system'"):
            YoloModel.load(self.tampered(card, backbone=backbone), tmp_path)

    def test_another_size_is_refused_by_name_and_shape(self, card: Any, tmp_path: Path) -> None:
        with pytest.raises(WeightsError, match=r"model\.0\.conv\.weight is \(16, 3, 3, 3\), not"):
            YoloModel.load(self.tampered(card, scale="s"), tmp_path)

    def test_another_class_count(self, card: Any, tmp_path: Path) -> None:
        with pytest.raises(WeightsError, match="expected a network of 80 classes"):
            YoloModel.load(self.tampered(card, nc=3), tmp_path)

    def test_a_network_beyond_all_measure(self, card: Any, tmp_path: Path) -> None:
        huge = self.tampered(card, scales={"n": [1.0, 64.0, 8192]})
        with pytest.raises(WeightsError, match="parameters"):
            YoloModel.load(huge.model_copy(update={"weights_file": ""}), tmp_path)

    def test_a_card_without_an_architecture(self, card: Any, tmp_path: Path) -> None:
        bare = card.model_copy(update={"architecture": {}})
        with pytest.raises(WeightsError, match="a card with the architecture"):
            YoloModel.load(bare, tmp_path)

    def test_a_truncated_file(self, card: Any, tmp_path: Path) -> None:
        file = tmp_path / card.weights_file
        file.write_bytes(file.read_bytes()[:-100])
        with pytest.raises(WeightsError, match="a safetensors file"):
            YoloModel.load(card, tmp_path)

    def test_weights_before_fusing_are_welcome_too(self, tmp_path: Path) -> None:
        architecture = check_architecture(read_architecture("yolov8n.yaml"), tmp_path)
        network = random_network(architecture, tmp_path, input_size=640, seed=0)
        named = library.open_model("yolov8n.yaml").card
        facts = {"architecture": {"yaml": architecture}}
        card = save_model(named.model_copy(update=facts), network, tmp_path)
        again = YoloModel.load(card, tmp_path)
        fused = YoloModel(card, network)
        for name, tensor in again._network.state_dict().items():
            assert torch.equal(tensor, fused._network.state_dict()[name])
