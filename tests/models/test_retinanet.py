"""RetinaNet: raw once, weights from elsewhere, and explanations that point at the cause."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.models import get_model

from fracture_core.errors import ConfigError, WeightsError
from fracture_core.models.retinanet import RetinaNetModel
from fracture_core.models.retinanet_networks import RetinaNetArchitecture, RetinaNetShape
from fracture_core.types import MAX_CANDIDATES, Sample
from tests.support.torchvision_files import (
    CLASSES,
    MAX_SIZE,
    MIN_SIZE,
    bright_square,
    let_brightness_through,
    retinanet,
)
from tests.support.yolo_files import image, sample

FIRST, V2, LIGHT = "retinanet_resnet50_fpn", "retinanet_resnet50_fpn_v2", "retinanet_light"
# At these no image has more candidates than are kept, of which the library knows nothing.
SETTINGS = [
    (0.2, 0.9), (0.2, 0.5), (0.2, 0.3), (0.3, 0.7), (0.3, 0.1), (0.4, 0.45), (0.5, 0.6),
]  # fmt: skip
SQUARE = 48


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module", params=[FIRST, pytest.param(V2, marks=pytest.mark.slow)])
def model(request: pytest.FixtureRequest) -> RetinaNetModel:
    made: RetinaNetModel = retinanet(request.param)
    return made


@pytest.fixture(scope="module")
def light() -> RetinaNetModel:
    made: RetinaNetModel = retinanet(LIGHT)
    return made


@pytest.fixture(scope="module")
def sees_white() -> RetinaNetModel:
    """A network for which only what is near white matters."""
    made: RetinaNetModel = retinanet(FIRST, ("bright",), spread=False)
    network = made.network
    let_brightness_through(network, network.backbone.body.conv1, network.backbone.body.bn1)
    with torch.no_grad():
        # The one class of every anchor, the background at 0.
        network.head.classification_head.cls_logits.weight[1::2, 0, 1, 1] = 0.001
    return made


@pytest.fixture(scope="module")
def native(model: RetinaNetModel) -> Any:
    """torchvision's own model with the same weights."""
    made = get_model(
        model.card.architecture["name"],
        weights=None,
        weights_backbone=None,
        num_classes=len(CLASSES) + 1,
        min_size=MIN_SIZE,
        max_size=MAX_SIZE,
        topk_candidates=100_000,
        detections_per_img=100_000,
    )
    made.load_state_dict(model.network.state_dict())
    return made.eval()


def run_natively(native: Any, one: Sample, confidence: float, nms_iou: float) -> dict[str, Any]:
    """The library's findings but those of the background, which it takes for a class, and boxes
    clipped to nothing, which it keeps.
    """
    native.score_thresh, native.nms_thresh = confidence, nms_iou
    pixels = torch.from_numpy(one.shown()).float().expand(3, -1, -1) / 255
    with torch.inference_mode():
        found = native([pixels])[0]
    has_area = (found["boxes"][:, 2:] > found["boxes"][:, :2]).all(dim=1)
    real = (found["labels"] > 0) & has_area
    return {name: values[real].numpy() for name, values in found.items()}


class TestRaw:
    @pytest.mark.parametrize(
        ("confidence", "nms_iou"),
        [
            pytest.param(*each, marks=() if at in {1, 4} else pytest.mark.slow)
            for at, each in enumerate(SETTINGS)
        ],
    )
    def test_filtering_afterwards_is_running_the_library_at_those_thresholds(
        self, model: RetinaNetModel, native: Any, confidence: float, nms_iou: float
    ) -> None:
        for shape in ((120, 150), (300, 90)):
            one = sample(image(*shape))
            expected = run_natively(native, one, confidence, nms_iou)
            raw = model.predict([one])[0].detections
            assert raw.scores.min() < confidence
            shown = raw.above(confidence).nms(nms_iou)
            assert len(shown) > 3
            np.testing.assert_array_equal(shown.labels, expected["labels"] - 1)
            np.testing.assert_allclose(shown.scores, expected["scores"], atol=1e-6)
            np.testing.assert_allclose(shown.xyxy, expected["boxes"], atol=1e-3)

    def test_the_settings_tell_something_apart(self, model: RetinaNetModel) -> None:
        found = model.predict([sample(image(120, 150))])[0].detections
        counts = {len(found.above(c).nms(i)) for c, i in SETTINGS}
        assert len(counts) == len(SETTINGS)

    def test_the_best_candidates_of_all_levels_are_kept(self, model: RetinaNetModel) -> None:
        one = sample(image(120, 150))
        prepared = [model._prepare(one)]
        with torch.inference_mode():
            features = model._extract(prepared)
            logits = model.network.head(features.levels)["cls_logits"][0, :, 1:]
        found = model.predict([one])[0].detections
        best = logits.sigmoid().flatten().sort(descending=True).values[:MAX_CANDIDATES]
        # Boxes that lie outside of the image are left out: what is kept reaches further down.
        assert len(found) == MAX_CANDIDATES
        assert (found.scores <= best.numpy() + 1e-6).all()
        assert found.scores[0] == pytest.approx(float(best[0]), abs=1e-6)

    def test_an_anchor_may_be_of_several_classes(self, light: RetinaNetModel) -> None:
        raw = light._forward([light._prepare(sample(image()))])[0]
        assert len(raw.anchors.unique()) < len(raw.anchors)

    def test_without_a_background_the_first_class_is_one(self) -> None:
        model: RetinaNetModel = retinanet(LIGHT, background=False)
        assert model.network.head.classification_head.num_classes == len(CLASSES)
        found = model.predict([sample(image(120, 150))])[0].detections
        assert set(found.labels.tolist()) == {0, 1, 2}

    @pytest.mark.parametrize("shape", [(1, 1), (1, 4000), (4000, 1), (7, 3)])
    def test_strips_and_dots(self, light: RetinaNetModel, shape: tuple[int, int]) -> None:
        one = sample(image(*shape))
        found = light.predict([one])[0].detections
        assert (found.xyxy <= np.array([*shape[::-1], *shape[::-1]])).all()
        assert light.explain(one, None).values.shape == shape


class TestWeights:
    @pytest.mark.parametrize("name", [FIRST, V2])
    def test_torchvisions_variants_are_told_apart(self, name: str, tmp_path: Path) -> None:
        file = tmp_path / "a.pth"
        network = get_model(name, weights=None, weights_backbone=None, num_classes=2)
        torch.save({"model": network.half().state_dict()}, file)
        found = RetinaNetArchitecture.of(describe(file, ("fracture",)))
        assert (found.name, found.norm_eps, found.background) == (name, 1e-5, True)

    def test_frozen_norms_mean_torchvisions_own_weights(self, tmp_path: Path) -> None:
        network = get_model(FIRST, weights=None, weights_backbone=None, num_classes=2)
        state = {k: v for k, v in network.state_dict().items() if "num_batches" not in k}
        torch.save(state, tmp_path / "a.pth")
        card = describe(tmp_path / "a.pth", ("fracture",))
        assert card.architecture["norm_eps"] == 0
        assert "norm_eps to 1e-05" in card.note

    @pytest.mark.parametrize(("classes", "background"), [(CLASSES, True), ((*CLASSES, "d"), False)])
    def test_a_name_for_every_class_means_that_none_is_the_background(
        self, light: RetinaNetModel, tmp_path: Path, classes: tuple[str, ...], background: bool
    ) -> None:
        torch.save(light.network.state_dict(), tmp_path / "a.pt")
        card = describe(tmp_path / "a.pt", classes)
        assert card.architecture["background"] == background
        again = RetinaNetModel.load(card.model_copy(update={"weights_file": "a.pt"}), tmp_path)
        assert again.network.head.classification_head.num_classes == len(CLASSES) + 1

    def test_a_single_class_is_no_background(self, tmp_path: Path) -> None:
        model: RetinaNetModel = retinanet(LIGHT, ("fracture",), background=False, spread=False)
        torch.save(model.network.state_dict(), tmp_path / "a.pt")
        assert describe(tmp_path / "a.pt", ("fracture",)).architecture["background"] is False

    def test_classes_must_be_named_and_be_as_many(
        self, light: RetinaNetModel, tmp_path: Path
    ) -> None:
        torch.save(light.network.state_dict(), tmp_path / "a.pt")
        with pytest.raises(WeightsError, match=r"names for its 3 classes .*found 2: .*--classes"):
            describe(tmp_path / "a.pt", CLASSES[:2])
        with pytest.raises(WeightsError, match=r"names for its 3 classes .*found none"):
            describe(tmp_path / "a.pt", None)

    @pytest.mark.parametrize(
        "shape",
        [
            RetinaNetShape(),
            RetinaNetShape(backbone="resnet50", backbone_width=4, pyramid_width=8),
            RetinaNetShape(backbone="mobilenet_v2", pyramid_width=32, anchor_sizes_px=(16, 32)),
        ],
    )
    def test_the_light_ones_shape_stands_in_its_tensors_but_for_the_anchors(
        self, tmp_path: Path, shape: RetinaNetShape
    ) -> None:
        architecture = RetinaNetArchitecture(name=LIGHT, max_size=MAX_SIZE, light=shape)
        facts = {"architecture": architecture.model_dump(mode="json")}
        card = RetinaNetModel.from_name(LIGHT).card.model_copy(update=facts)
        torch.save(RetinaNetModel.load(card, tmp_path).network.state_dict(), tmp_path / "a.pt")
        found = describe(tmp_path / "a.pt", ("a",))
        assert RetinaNetArchitecture.of(found).light == shape
        assert "anchors are not in the weights" in found.note

    def test_a_shape_beyond_bounds_is_a_sentence(
        self, light: RetinaNetModel, tmp_path: Path
    ) -> None:
        state = dict(light.network.state_dict())
        state["backbone.fpn.inner_blocks.0.0.weight"] = torch.zeros(12, 64, 1, 1)
        torch.save(state, tmp_path / "a.pt")
        with pytest.raises(WeightsError, match=r"a\.pt: expected a light network.*pyramid_width"):
            describe(tmp_path / "a.pt", CLASSES)

    @pytest.mark.parametrize("rows", [0, 5, 9])
    def test_other_networks_and_odd_heads_are_refused(self, rows: int, tmp_path: Path) -> None:
        head = "head.classification_head.cls_logits.weight" if rows else "fc.weight"
        torch.save({head: torch.zeros(rows, 8, 3, 3)}, tmp_path / "a.pt")
        with pytest.raises(WeightsError, match=r"a\.pt"):
            describe(tmp_path / "a.pt", ("fracture",))


@pytest.mark.usefixtures("cache")
class TestNames:
    def test_random_weights_say_so(self) -> None:
        card = RetinaNetModel.from_name(LIGHT).card
        assert "Random weights" in card.note
        assert (card.family, card.input_size, card.needs_nms) == ("retinanet", 320, True)

    @pytest.mark.parametrize("name", ["retinanet_resnet18", f"{V2}:COCO_V9", "yolov8n.yaml"])
    def test_unknown_names(self, name: str) -> None:
        with pytest.raises(ConfigError, match="one of"):
            RetinaNetModel.from_name(name)

    def test_nobody_has_weights_of_the_light_one(self) -> None:
        with pytest.raises(ConfigError, match="weights of retinanet_light: expected none"):
            RetinaNetModel.from_name(f"{LIGHT}:COCO_V1")

    def test_weights_in_the_cache_are_used_under_their_old_names(self, cache: Path) -> None:
        network = get_model(FIRST, weights=None, weights_backbone=None, num_classes=91)
        state = {old_name(name): tensor for name, tensor in network.state_dict().items()}
        assert "head.regression_head.conv.6.bias" in state
        torch.save(state, cache / "retinanet_resnet50_fpn_coco-eeacb38b.pth")
        model = RetinaNetModel.from_name(f"{FIRST}:COCO_V1")
        assert (len(model.card.classes), model.card.classes[0]) == (90, "person")
        assert model.card.architecture["norm_eps"] == 0
        assert model.card.training_data == "COCO train2017"
        own: dict[str, Tensor] = model.network.state_dict()
        assert all(torch.equal(own[name], t) for name, t in network.state_dict().items())

    def test_without_cache_and_network_it_says_what_to_fetch(
        self, cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: object, **__: object) -> None:
            raise ConnectionError

        monkeypatch.setattr("torch.hub.urlopen", refuse)
        with pytest.raises(WeightsError) as caught:
            RetinaNetModel.from_name(f"{FIRST}:COCO_V1")
        assert str(cache) in str(caught.value)
        assert "Fetch https://download.pytorch.org/models/retinanet_resnet50" in str(caught.value)


class TestExplanations:
    @pytest.mark.parametrize("corner", [(32, 32), (96, 128)])
    def test_the_maximum_is_where_the_cause_is(
        self, sees_white: RetinaNetModel, corner: tuple[int, int]
    ) -> None:
        one = bright_square(160, 224, corner, SQUARE)
        best = in_square(sees_white, one, corner)
        for index in (best, None):
            heat = sees_white.explain(one, index)
            row, column = np.unravel_index(heat.values.argmax(), heat.values.shape)
            assert corner[0] <= row < corner[0] + SQUARE
            assert corner[1] <= column < corner[1] + SQUARE
            assert heat.strength > 0

    def test_two_findings_of_one_image_get_two_maps(self, sees_white: RetinaNetModel) -> None:
        corners = ((32, 32), (96, 128))
        pixels = bright_square(160, 224, corners[0], SQUARE).shown().copy()
        pixels[96:144, 128:176] = 255
        one = sample(pixels)
        for row, column in corners:
            values = sees_white.explain(one, in_square(sees_white, one, (row, column))).values
            inside = values[row : row + SQUARE, column : column + SQUARE]
            assert inside.max() > 0.99
            assert inside.sum() > 0.5 * values.sum()

    def test_without_a_cause_there_is_no_strength(self, sees_white: RetinaNetModel) -> None:
        dark = sample(np.full((160, 224), 90, dtype=np.uint8))
        assert sees_white.explain(dark, None).strength == 0


def describe(file: Path, classes: tuple[str, ...] | None) -> Any:
    return RetinaNetModel.describe(file, model_id="a", title="A", classes=classes)


def old_name(name: str) -> str:
    """As torchvision named the layers of the heads when it published its weights."""
    parts = name.split(".")
    if parts[0] == "head" and parts[2] == "conv":
        return ".".join([*parts[:3], str(2 * int(parts[3])), parts[5]])
    return name


def in_square(model: RetinaNetModel, one: Sample, corner: tuple[int, int]) -> int:
    """The best finding whose centre lies in the square."""
    found = model.predict([one])[0].detections
    centre = (found.xyxy[:, :2] + found.xyxy[:, 2:]) / 2
    low = np.array([corner[1], corner[0]])
    return int(np.flatnonzero(((centre >= low) & (centre < low + SQUARE)).all(axis=1))[0])
