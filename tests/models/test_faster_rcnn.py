"""Faster R-CNN: raw once, weights from elsewhere, and explanations that point at the cause."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import get_model

from fracture_core.errors import ConfigError, WeightsError
from fracture_core.models.faster_rcnn import FasterRcnnModel
from fracture_core.models.faster_rcnn_networks import (
    INPUT_SIZES,
    FasterRcnnArchitecture,
    LightShape,
    build_light,
)
from fracture_core.types import Detections, Sample
from tests.support.torchvision_files import (
    CLASSES,
    MAX_SIZE,
    MIN_SIZE,
    bright_square,
    faster_rcnn,
    let_brightness_through,
)
from tests.support.yolo_files import image, sample

NAME = "fasterrcnn_mobilenet_v3_large_320_fpn"
SETTINGS = [
    (0.02, 0.9), (0.05, 0.5), (0.1, 0.3), (0.1, 0.7), (0.2, 0.45),
    (0.3, 0.6), (0.4, 0.1), (0.5, 0.5), (0.7, 0.3), (0.9, 0.8),
]  # fmt: skip


@pytest.fixture(scope="module")
def model() -> FasterRcnnModel:
    made: FasterRcnnModel = faster_rcnn(NAME)
    return made


@pytest.fixture(scope="module")
def sees_white() -> FasterRcnnModel:
    """A network for which only what is near white matters."""
    made: FasterRcnnModel = faster_rcnn("fasterrcnn_resnet50_fpn", ("bright",), spread=False)
    network = made._network
    let_brightness_through(network, network.backbone.body.conv1, network.backbone.body.bn1)
    with torch.no_grad():
        network.rpn.head.bbox_pred.weight.zero_()
        heads = network.roi_heads
        heads.box_head.fc6.weight[0, :49] = 1 / 49
        heads.box_head.fc7.weight[0, 0] = 1
        heads.box_predictor.cls_score.weight[1, 0] = 0.001
    return made


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def native(model: FasterRcnnModel) -> Any:
    """torchvision's own model with the same weights."""
    made = get_model(
        NAME,
        weights=None,
        weights_backbone=None,
        num_classes=len(CLASSES) + 1,
        min_size=MIN_SIZE,
        max_size=MAX_SIZE,
        box_detections_per_img=100_000,
    )
    made.load_state_dict(model._network.state_dict())
    return made.eval()


def run_natively(native: Any, one: Sample, confidence: float, nms_iou: float) -> Any:
    native.roi_heads.score_thresh, native.roi_heads.nms_thresh = confidence, nms_iou
    pixels = torch.from_numpy(one.shown()).float().expand(3, -1, -1) / 255
    with torch.inference_mode():
        return native([pixels])[0]


class TestRaw:
    @pytest.mark.parametrize(("confidence", "nms_iou"), SETTINGS)
    def test_filtering_afterwards_is_running_the_library_at_those_thresholds(
        self, model: FasterRcnnModel, native: Any, confidence: float, nms_iou: float
    ) -> None:
        for shape in ((120, 150), (300, 90)):
            one = sample(image(*shape))
            expected = run_natively(native, one, confidence, nms_iou)
            shown = model.predict([one])[0].detections.above(confidence).nms(nms_iou)
            assert len(shown) > 3
            np.testing.assert_array_equal(shown.labels, expected["labels"].numpy() - 1)
            np.testing.assert_allclose(shown.scores, expected["scores"].numpy(), atol=1e-6)
            np.testing.assert_allclose(shown.xyxy, expected["boxes"].numpy(), atol=1e-3)

    def test_the_settings_tell_something_apart(self, model: FasterRcnnModel) -> None:
        found = model.predict([sample(image(120, 150))])[0].detections
        counts = {len(found.above(c).nms(i)) for c, i in SETTINGS}
        assert len(counts) == len(SETTINGS)

    def test_a_batch_is_the_same_as_one_by_one_whatever_the_neighbours(
        self, model: FasterRcnnModel
    ) -> None:
        samples = [sample(image(*shape)) for shape in ((64, 64), (40, 200), (64, 64), (90, 90))]
        for one, together in zip(samples, model.predict(samples), strict=True):
            alone = model.predict([one])[0].detections
            # Sums of another order: float32 through a whole network.
            np.testing.assert_allclose(alone.scores, together.detections.scores, atol=1e-4)

    @pytest.mark.parametrize("shape", [(1, 1), (1, 4000), (4000, 1), (7, 3)])
    def test_strips_and_dots(self, model: FasterRcnnModel, shape: tuple[int, int]) -> None:
        found = model.predict([sample(image(*shape))])[0].detections
        assert isinstance(found, Detections)

    def test_where_nothing_is_proposed_nothing_is_found(self) -> None:
        model: FasterRcnnModel = faster_rcnn(NAME, spread=False)
        model._network.rpn.score_thresh = 2.0
        one = sample(image())
        assert [len(found.detections) for found in model.predict([one, one])] == [0, 0]
        assert model.explain(one, None).strength == 0

    def test_the_first_image_seen_decides_nothing(self, model: FasterRcnnModel) -> None:
        other: FasterRcnnModel = faster_rcnn(NAME)
        other.predict([sample(image(1, 2000))])
        one = sample(image(120, 150))
        first, second = (m.predict([one])[0].detections for m in (model, other))
        np.testing.assert_array_equal(first.scores, second.scores)

    def test_no_weight_gathers_a_gradient(self, model: FasterRcnnModel) -> None:
        assert not any(p.requires_grad for p in model._network.parameters())


class TestWeights:
    def test_saved_and_loaded_it_answers_the_same(
        self, model: FasterRcnnModel, tmp_path: Path
    ) -> None:
        card = model.save(tmp_path)
        again = FasterRcnnModel.load(card, tmp_path)
        one = sample(image())
        first, second = (m.predict([one])[0].detections for m in (model, again))
        np.testing.assert_array_equal(first.xyxy, second.xyxy)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["card.json", card.weights_file]

    @pytest.mark.parametrize(
        ("nest", "prefix"), [("", "module."), ("model", ""), ("state_dict", "model."), ("ema", "")]
    )
    def test_a_wrapped_state_dict_is_recognised(
        self, model: FasterRcnnModel, tmp_path: Path, nest: str, prefix: str
    ) -> None:
        state = {f"{prefix}{key}": value for key, value in model._network.state_dict().items()}
        file = tmp_path / "best.pth"
        torch.save({nest: state, "epoch": 3} if nest else state, file)
        card = describe(file, CLASSES)
        assert card.architecture["name"] == "fasterrcnn_mobilenet_v3_large_fpn"
        assert "320" in card.note
        facts = {
            "weights_file": file.name,
            "architecture": {"name": NAME, "max_size": MAX_SIZE},
            "input_size": MIN_SIZE,
        }
        again = FasterRcnnModel.load(card.model_copy(update=facts), tmp_path)
        one = sample(image())
        first, second = (m.predict([one])[0].detections for m in (model, again))
        np.testing.assert_array_equal(first.scores, second.scores)

    @pytest.mark.parametrize("name", ["fasterrcnn_resnet50_fpn", "fasterrcnn_resnet50_fpn_v2"])
    def test_resnets_are_told_apart(self, name: str, tmp_path: Path) -> None:
        file = tmp_path / "a.pth"
        network = get_model(name, weights=None, weights_backbone=None, num_classes=2)
        torch.save(network.half().state_dict(), file)
        card = describe(file, ("fracture",))
        assert (card.architecture["name"], card.architecture["norm_eps"]) == (name, 1e-5)

    def test_frozen_norms_mean_torchvisions_own_weights(self, tmp_path: Path) -> None:
        network = get_model(
            "fasterrcnn_resnet50_fpn", weights=None, weights_backbone=None, num_classes=2
        )
        state = {k: v for k, v in network.state_dict().items() if "num_batches" not in k}
        save_file(state, tmp_path / "a.safetensors")
        card = describe(tmp_path / "a.safetensors", ("fracture",))
        assert card.architecture["norm_eps"] == 0
        assert "norm_eps to 1e-05" in card.note

    def test_classes_must_be_named_and_be_as_many(
        self, model: FasterRcnnModel, tmp_path: Path
    ) -> None:
        torch.save(model._network.state_dict(), tmp_path / "a.pt")
        with pytest.raises(WeightsError, match=r"names for its 3 classes .*found 4: .*--classes"):
            describe(tmp_path / "a.pt", ("background", *CLASSES))
        with pytest.raises(WeightsError, match=r"names for its 3 classes .*found none"):
            describe(tmp_path / "a.pt", None)

    def test_what_differs_is_listed_by_name_and_shape(
        self, model: FasterRcnnModel, tmp_path: Path
    ) -> None:
        state = dict(model._network.state_dict())
        state["roi_heads.box_head.fc7.weight"] = torch.zeros(512, 1024)
        state["mask.weight"] = torch.zeros(2)
        del state["rpn.head.bbox_pred.bias"]
        torch.save(state, tmp_path / "a.pt")
        with pytest.raises(WeightsError) as caught:
            describe(tmp_path / "a.pt", CLASSES)
        for part in (
            "fc7.weight (512, 1024) instead of (1024, 1024)",
            "no rpn.head.bbox_pred.bias (60,)",
            "an extra mask.weight (2,)",
        ):
            assert part in str(caught.value)

    def test_other_networks_and_broken_files_are_refused(
        self, model: FasterRcnnModel, tmp_path: Path
    ) -> None:
        torch.save({"fc.weight": torch.zeros(2, 2)}, tmp_path / "other.pt")
        save_file(dict(model._network.state_dict()), tmp_path / "cut.safetensors")
        whole = (tmp_path / "cut.safetensors").read_bytes()
        (tmp_path / "cut.safetensors").write_bytes(whole[: len(whole) // 2])
        (tmp_path / "huge.safetensors").write_bytes((10 << 30).to_bytes(8, "little") + b"{}")
        (tmp_path / "none.pt").write_bytes(b"PK\x03\x04 no zip")
        torch.save(
            {"roi_heads.box_predictor.cls_score.weight": torch.zeros(0, 4)}, tmp_path / "0.pt"
        )
        for file in tmp_path.iterdir():
            with pytest.raises(WeightsError, match=file.name):
                describe(file, CLASSES)

    def test_nothing_in_a_pickle_runs(self, tmp_path: Path) -> None:
        trap = tmp_path / "ran"

        class Hostile:
            def __reduce__(self) -> tuple[Any, ...]:
                return Path.touch, (trap,)

        torch.save({"model": Hostile()}, tmp_path / "a.pt")
        with pytest.raises(WeightsError, match="do not use this file"):
            describe(tmp_path / "a.pt", CLASSES)
        assert not trap.exists()

    def test_a_card_that_makes_no_sense(self, model: FasterRcnnModel, tmp_path: Path) -> None:
        for architecture in ({}, {"name": NAME, "max_size": 0}, {"name": NAME, "depth": 1}):
            card = model.card.model_copy(update={"architecture": architecture})
            with pytest.raises(WeightsError, match="architecture of its network"):
                FasterRcnnModel.load(card, tmp_path)


@pytest.mark.usefixtures("cache")
class TestNames:
    def test_random_weights_say_so_and_are_always_the_same(self) -> None:
        first, second = (FasterRcnnModel.from_name(NAME) for _ in range(2))
        assert "Random weights" in first.card.note
        assert first.card.architecture["max_size"] == INPUT_SIZES[NAME][1]
        for a, b in zip(first._network.parameters(), second._network.parameters(), strict=True):
            assert torch.equal(a, b)

    @pytest.mark.parametrize("name", ["fasterrcnn_resnet18", f"{NAME}:COCO_V9", "yolov8n.yaml"])
    def test_unknown_names(self, name: str) -> None:
        with pytest.raises(ConfigError, match="one of"):
            FasterRcnnModel.from_name(name)

    def test_weights_in_the_cache_are_used(self, cache: Path) -> None:
        network = get_model(NAME, weights=None, weights_backbone=None, num_classes=91)
        torch.save(
            network.state_dict(), cache / "fasterrcnn_mobilenet_v3_large_320_fpn-907ea3f9.pth"
        )
        model = FasterRcnnModel.from_name(f"{NAME}:COCO_V1")
        assert (len(model.card.classes), model.card.classes[0]) == (90, "person")
        given = network.roi_heads.box_predictor.cls_score.weight
        assert torch.equal(model._network.roi_heads.box_predictor.cls_score.weight, given)
        assert model.card.training_data == "COCO train2017"

    def test_without_cache_and_network_it_says_what_to_fetch(
        self, cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: object, **__: object) -> None:
            raise ConnectionError

        monkeypatch.setattr("torch.hub.urlopen", refuse)
        with pytest.raises(WeightsError) as caught:
            FasterRcnnModel.from_name("fasterrcnn_resnet50_fpn:COCO_V1")
        assert str(cache) in str(caught.value)
        assert "Fetch https://download.pytorch.org/models/fasterrcnn_resnet50" in str(caught.value)


class TestLight:
    def test_it_is_light(self) -> None:
        network = FasterRcnnModel.from_name("fasterrcnn_light")._network
        assert 2e6 < sum(p.numel() for p in network.parameters()) < 4e6

    @pytest.mark.parametrize(
        ("shape", "known"),
        [
            (LightShape(), True),
            (LightShape(backbone="resnet50", backbone_width=4, pyramid_width=8), True),
            (LightShape(backbone_width=8, head_width=16, anchor_sizes_px=(32, 64, 128)), True),
            (LightShape(backbone_width=8, anchor_sizes_px=(24, 48)), False),
        ],
    )
    def test_its_shape_stands_in_its_tensors_but_for_the_anchors(
        self, tmp_path: Path, shape: LightShape, known: bool
    ) -> None:
        network = build_light(shape, class_count=2, min_size=64, max_size=128)
        torch.save(network.state_dict(), tmp_path / "a.pt")
        card = describe(tmp_path / "a.pt", ("a", "b"))
        found = FasterRcnnArchitecture.of(card)
        assert found.name == "fasterrcnn_light"
        assert (found.light == shape) == known
        assert found.light is not None
        assert len(found.light.anchor_sizes_px) == len(shape.anchor_sizes_px)
        assert "anchors are not in the weights" in card.note

    def test_a_backbone_that_is_none(self, tmp_path: Path) -> None:
        network = build_light(LightShape(backbone_width=4), class_count=1, min_size=64, max_size=64)
        state = {k: v for k, v in network.state_dict().items() if "layer3.1" not in k}
        torch.save(state, tmp_path / "a.pt")
        with pytest.raises(WeightsError, match=r"resnet18.*found basic blocks, \[2, 2, 1, 2\]"):
            describe(tmp_path / "a.pt", ("a",))

    def test_anchors_lie_on_every_level_at_its_stride(self) -> None:
        shape = LightShape(backbone_width=4, anchor_sizes_px=(24, 48, 96))
        network = build_light(shape, class_count=1, min_size=64, max_size=64).eval()
        levels = network.backbone(torch.zeros(1, 3, 64, 96))
        assert [tuple(level.shape[-2:]) for level in levels.values()] == [(8, 12), (4, 6), (2, 3)]
        assert network.rpn.anchor_generator.sizes == ((24,), (48,), (96,))

    @pytest.mark.parametrize(
        ("name", "light"), [(NAME, {}), ("fasterrcnn_light", None), ("fasterrcnn_light", {"a": 1})]
    )
    def test_a_shape_belongs_to_the_light_network_alone(
        self, model: FasterRcnnModel, tmp_path: Path, name: str, light: object
    ) -> None:
        facts = {"architecture": {"name": name, "max_size": 256, "light": light}}
        with pytest.raises(WeightsError, match="light"):
            FasterRcnnModel.load(model.card.model_copy(update=facts), tmp_path)

    def test_nobody_has_its_weights(self) -> None:
        with pytest.raises(ConfigError, match="weights of fasterrcnn_light: expected none"):
            FasterRcnnModel.from_name("fasterrcnn_light:COCO_V1")


class TestExplanations:
    @pytest.mark.parametrize("corner", [(32, 32), (96, 128)])
    def test_the_maximum_is_where_the_cause_is(
        self, sees_white: FasterRcnnModel, corner: tuple[int, int]
    ) -> None:
        one = bright_square(160, 224, corner, 48)
        found = sees_white.predict([one])[0].detections
        inside = overlap_with_square(found, corner, 48)
        best = int(np.flatnonzero(inside)[0])
        for index in (best, None):
            heat = sees_white.explain(one, index)
            row, column = np.unravel_index(heat.values.argmax(), heat.values.shape)
            assert corner[0] <= row < corner[0] + 48
            assert corner[1] <= column < corner[1] + 48
            assert heat.strength > 0

    def test_two_findings_of_one_image_get_two_maps(self, sees_white: FasterRcnnModel) -> None:
        corners = ((32, 32), (96, 128))
        pixels = bright_square(160, 224, corners[0], 48).shown()
        pixels[96:144, 128:176] = 255
        one = sample(pixels)
        found = sees_white.predict([one])[0].detections
        for row, column in corners:
            index = int(np.flatnonzero(overlap_with_square(found, (row, column), 48))[0])
            values = sees_white.explain(one, index).values
            inside = values[row : row + 48, column : column + 48]
            assert inside.max() > 0.999
            assert inside.sum() > 0.5 * values.sum()

    def test_without_a_cause_there_is_no_strength(self, sees_white: FasterRcnnModel) -> None:
        dark = sample(np.full((160, 224), 90, dtype=np.uint8))
        assert sees_white.explain(dark, None).strength == 0

    @pytest.mark.parametrize("shape", [(120, 150), (1, 1), (3, 900)])
    def test_a_map_has_the_size_of_the_image(
        self, model: FasterRcnnModel, shape: tuple[int, int]
    ) -> None:
        one = sample(image(*shape))
        for index in (None, 0):
            if index is None or len(model.predict([one])[0].detections):
                assert model.explain(one, index).values.shape == shape

    def test_an_index_beyond_the_findings(self, model: FasterRcnnModel) -> None:
        for index in (-1, 1000):
            with pytest.raises(IndexError, match="expected one of"):
                model.explain(sample(image()), index)

    def test_it_leaves_nothing_behind_and_stands_two_threads(self, model: FasterRcnnModel) -> None:
        one = sample(image())
        raw, heat = model.predict([one])[0].detections, model.explain(one, 0)
        with ThreadPoolExecutor(2) as pool:
            maps = [pool.submit(model.explain, one, 0) for _ in range(4)]
            predictions = [pool.submit(model.predict, [one]) for _ in range(4)]
        for job in maps:
            np.testing.assert_array_equal(job.result().values, heat.values)
        for answer in predictions:
            np.testing.assert_array_equal(answer.result()[0].detections.scores, raw.scores)
        for module in model._network.modules():
            assert not module._forward_hooks
            assert not module._backward_hooks
            assert not module.training
        assert all(p.grad is None for p in model._network.parameters())

    def test_other_weights_are_other_weights(self, model: FasterRcnnModel) -> None:
        first, again, other = (model.with_random_weights(seed) for seed in (1, 1, 2))
        weights = [m._network.backbone.body["0"][0].weight for m in (first, again, other)]
        assert torch.equal(weights[0], weights[1])
        assert not torch.equal(weights[0], weights[2])
        assert first.card.classes == model.card.classes
        assert not first.card.weights_file


def describe(file: Path, classes: tuple[str, ...] | None) -> Any:
    return FasterRcnnModel.describe(file, model_id="a", title="A", classes=classes)


def overlap_with_square(found: Detections, corner: tuple[int, int], side: int) -> np.ndarray:
    """(N,) whether a box's centre lies in the square."""
    centre = (found.xyxy[:, :2] + found.xyxy[:, 2:]) / 2
    low = np.array([corner[1], corner[0]])
    return ((centre >= low) & (centre < low + side)).all(axis=1)
