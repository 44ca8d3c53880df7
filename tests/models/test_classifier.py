"""The classifiers: what they see, how they score, weights from elsewhere, and explanations."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torchvision.models import get_model

from fracture_core.errors import ConfigError, WeightsError
from fracture_core.models.efficientnet_gate import SIZES, EfficientNetGateModel
from fracture_core.models.resnet import ResNetModel
from fracture_core.nets.efficientnet_gate import EFFICIENTNETS, EfficientNetGate
from fracture_core.nets.resnet import RESNETS, ResNet, resnet
from fracture_core.types import Window
from tests.support import torchvision_files as files
from tests.support.yolo_files import image, sample

CLASSES = files.CLASSES
SHAPES = [(120, 150), (1, 1), (2, 3000), (64, 64), (500, 400), (96, 96)]


@pytest.fixture(scope="module", params=["resnet", "efficientnet_gate"])
def model(request: pytest.FixtureRequest) -> Any:
    return getattr(files, request.param)()


pytestmark = pytest.mark.usefixtures("one_thread")


class TestScores:
    def test_softmax_of_the_networks_logits_on_the_documented_input(self, model: Any) -> None:
        shown = image(200, 130)
        size = (model.card.input_size, model.card.input_size)
        grey = np.asarray(Image.fromarray(shown).resize(size, Image.Resampling.BILINEAR))
        mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
        documented = (grey[None] / 255 - mean[:, None, None]) / std[:, None, None]
        pixels = model._pixels([model._prepare(sample(shown))])
        # Pillow and torch may round a level apart.
        np.testing.assert_allclose(pixels[0], documented, atol=1.01 / 255 / std.min())
        with torch.inference_mode():
            answer = model._network(pixels)
        logits = answer if isinstance(answer, torch.Tensor) else answer.logits
        found = model.predict([sample(shown)])[0]
        np.testing.assert_allclose(found.class_scores, logits[0].softmax(0), atol=1e-6)

    def test_scores_of_all_classes_and_no_detections(self, model: Any) -> None:
        samples = [sample(image(*shape)) for shape in SHAPES]
        for one, found in zip(samples, model.predict(samples), strict=True):
            assert (found.sample_id, found.model_id) == (one.sample_id, model.card.model_id)
            assert found.class_scores.shape == (len(CLASSES),)
            assert found.class_scores.sum() == pytest.approx(1, abs=1e-5)
            assert len(found.detections) == 0
            assert found.image_score == pytest.approx(found.class_scores.max())
        assert model.predict([]) == []

    def test_a_batch_is_the_same_as_one_by_one(self, model: Any) -> None:
        samples = [sample(image(90, 90, seed=seed)) for seed in range(5)]
        for one, together in zip(samples, model.predict(samples), strict=True):
            alone = model.predict([one])[0].class_scores
            np.testing.assert_allclose(alone, together.class_scores, atol=1e-5)

    def test_with_a_healthy_class_the_image_score_is_what_is_left(self, model: Any) -> None:
        architecture = {**model.card.architecture, "healthy": "elbow"}
        card = model.card.model_copy(update={"architecture": architecture})
        other = type(model)(card, model._network)
        found = other.predict([sample(image())])[0]
        assert found.image_score == pytest.approx(1 - found.class_scores[1], abs=1e-6)

    def test_a_healthy_class_that_is_none_of_the_classes(self, model: Any) -> None:
        architecture = {**model.card.architecture, "healthy": "knee"}
        card = model.card.model_copy(update={"architecture": architecture})
        with pytest.raises(WeightsError, match=r"healthy: one of its classes .*found 'knee'"):
            type(model)(card, model._network)

    def test_sixteen_bits_are_seen_through_the_window(self, model: Any) -> None:
        deep = image(100, 130).astype(np.uint16) * 16 + 5000
        window = Window(center=7000, width=4000)
        through, seen = model.predict([sample(deep, windows=(window,)), sample(window.apply(deep))])
        np.testing.assert_allclose(through.class_scores, seen.class_scores, atol=1e-6)

    @pytest.mark.parametrize("level", [0, 255])
    def test_blank_images(self, model: Any, level: int) -> None:
        blank = sample(np.full((80, 70), level, dtype=np.uint8))
        assert np.isfinite(model.predict([blank])[0].class_scores).all()


class TestWeights:
    def test_saved_loaded_and_described(self, model: Any, tmp_path: Path) -> None:
        card = model.save(tmp_path)
        again = type(model).load(card, tmp_path)
        one = sample(image())
        first, second = (m.predict([one])[0].class_scores for m in (model, again))
        np.testing.assert_array_equal(first, second)
        described = describe(type(model), tmp_path / card.weights_file, CLASSES)
        assert described.architecture == card.architecture
        assert (described.task, described.input_size) == ("classify", 224)

    @pytest.mark.parametrize(
        ("nest", "prefix"), [("model", ""), ("ema", "module."), ("", "model.")]
    )
    def test_a_wrapped_state_dict(self, model: Any, tmp_path: Path, nest: str, prefix: str) -> None:
        state = {f"{prefix}{k}": v.half() for k, v in model._network.state_dict().items()}
        torch.save({nest: state} if nest else state, tmp_path / "a.pt")
        described = describe(type(model), tmp_path / "a.pt", ("a", "Normal", "c"))
        assert described.architecture["healthy"] == "Normal"
        card = described.model_copy(update={"weights_file": "a.pt", "input_size": 96})
        scores = type(model).load(card, tmp_path).predict([sample(image())])[0].class_scores
        expected = model.predict([sample(image())])[0].class_scores
        np.testing.assert_allclose(scores, expected, atol=0.05)

    def test_classes_are_counted_in_the_tensors(self, model: Any, tmp_path: Path) -> None:
        torch.save(model._network.state_dict(), tmp_path / "a.pt")
        for classes, found in ((None, "none"), (("a", "b"), "2: a, b")):
            with pytest.raises(WeightsError, match=f"names for its 3 classes, found {found}"):
                describe(type(model), tmp_path / "a.pt", classes)

    def test_what_differs_is_listed(self, model: Any, tmp_path: Path) -> None:
        state = dict(model._network.state_dict())
        name = next(n for n in state if n.endswith(("bn2.weight", "1.1.running_mean")))
        shape = tuple(state[name].shape)
        state[name] = torch.zeros(99)
        torch.save(state, tmp_path / "a.pt")
        with pytest.raises(WeightsError) as caught:
            describe(type(model), tmp_path / "a.pt", CLASSES)
        assert f"{name} (99,) instead of {shape}" in str(caught.value)

    def test_sizes_that_make_no_sense(self, model: Any, tmp_path: Path) -> None:
        last = "fc.weight" if isinstance(model, ResNetModel) else "head.4.weight"
        for tensor in (torch.zeros(3), torch.zeros(0, 8), torch.zeros(1, 1, 1)):
            torch.save({**model._network.state_dict(), last: tensor}, tmp_path / "a.pt")
            with pytest.raises(WeightsError, match=f"a tensor {last} of 2 dimensions"):
                describe(type(model), tmp_path / "a.pt", CLASSES)

    def test_each_others_weights_are_refused(self, model: Any, tmp_path: Path) -> None:
        other = EfficientNetGateModel if isinstance(model, ResNetModel) else ResNetModel
        torch.save(model._network.state_dict(), tmp_path / "a.pt")
        with pytest.raises(WeightsError, match=r"a\.pt: expected a state dict of"):
            describe(other, tmp_path / "a.pt", CLASSES)

    def test_torchvisions_resnet_is_ours(self, tmp_path: Path) -> None:
        network = get_model("resnet34", weights=None, num_classes=2).eval()
        save_file(network.state_dict(), tmp_path / "a.safetensors")
        card = describe(ResNetModel, tmp_path / "a.safetensors", ("a", "b"))
        assert card.architecture["name"] == "resnet34"
        model = ResNetModel.load(
            card.model_copy(update={"weights_file": "a.safetensors"}), tmp_path
        )
        pixels = torch.rand(1, 3, 64, 64)
        with torch.inference_mode():
            torch.testing.assert_close(model._network(pixels), network(pixels))

    @pytest.mark.parametrize("name", RESNETS)
    def test_every_resnet_is_recognised(self, name: str, tmp_path: Path) -> None:
        network = resnet(name, class_count=2, width=8)
        torch.save(network.state_dict(), tmp_path / "a.pt")
        architecture = describe(ResNetModel, tmp_path / "a.pt", ("a", "b")).architecture
        assert (architecture["name"], architecture["width"]) == (name, 8)

    def test_every_efficientnet_is_told_by_its_sizes(self) -> None:
        assert sorted(SIZES.values()) == sorted(EFFICIENTNETS)
        for (stem, last, blocks), name in SIZES.items():
            with torch.device("meta"):
                network = EfficientNetGate(name, class_count=2)
            assert network.extractor[0][0].out_channels == stem
            assert network.feature_channels == last
            assert len(network.extractor[1]) == blocks


@pytest.mark.usefixtures("cache")
class TestNames:
    @pytest.mark.parametrize(
        ("kind", "name"), [(ResNetModel, "resnet18"), (EfficientNetGateModel, "efficientnet_b0")]
    )
    def test_random_weights_say_so_and_are_always_the_same(self, kind: Any, name: str) -> None:
        first, second = (kind.from_name(name) for _ in range(2))
        assert "random weights" in first.card.title
        for a, b in zip(first._network.parameters(), second._network.parameters(), strict=True):
            assert torch.equal(a, b)

    @pytest.mark.parametrize("kind", [ResNetModel, EfficientNetGateModel])
    @pytest.mark.parametrize("name", ["vgg16", "resnet18:V9", "efficientnet_b0:V9", ""])
    def test_unknown_names(self, kind: Any, name: str) -> None:
        with pytest.raises(ConfigError, match="one of"):
            kind.from_name(name)

    def test_imagenets_resnet_from_the_cache(self, cache: Path) -> None:
        network = get_model("resnet18", weights=None)
        torch.save(network.state_dict(), cache / "resnet18-f37072fd.pth")
        model = ResNetModel.from_name("resnet18:IMAGENET1K_V1")
        assert (len(model.card.classes), model.card.classes[0]) == (1000, "tench")
        assert torch.equal(model._network.fc.weight, network.fc.weight)

    def test_imagenets_features_under_a_random_gate(self, cache: Path) -> None:
        network = get_model("efficientnet_b0", weights=None)
        torch.save(network.state_dict(), cache / "efficientnet_b0_rwightman-7f5810bc.pth")
        model = EfficientNetGateModel.from_name("efficientnet_b0:IMAGENET1K_V1")
        stem = model._network.extractor[0][0].weight
        assert torch.equal(stem, network.features[0][0].weight)
        assert "random gate" in model.card.note

    def test_without_cache_and_network_it_says_what_to_fetch(
        self, cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: object, **__: object) -> None:
            raise ConnectionError

        monkeypatch.setattr("torch.hub.urlopen", refuse)
        for kind, name in (
            (ResNetModel, "resnet50:IMAGENET1K_V2"),
            (EfficientNetGateModel, "efficientnet_b4:IMAGENET1K_V1"),
        ):
            with pytest.raises(WeightsError, match="Fetch https://download") as caught:
                kind.from_name(name)
            assert str(cache) in str(caught.value)


def sees_white(kind: str) -> Any:
    """A network for which only what is near white matters, as evidence for its second class."""
    model: Any = getattr(files, kind)()
    network = model._network
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d | torch.nn.BatchNorm1d):
                module.reset_running_stats()
    if isinstance(network, ResNet):
        files.let_brightness_through(network, network.conv1, network.bn1)
        last = network.fc
    else:
        stem = network.extractor[0]
        files.let_brightness_through(network, stem[0], stem[1])
        with torch.no_grad():
            network.head[1].weight[0, 0] = 1
            network.gate.score.weight[0, 0] = 0.01
        last = network.head[4]
    with torch.no_grad():
        last.weight[1, 0] = 0.01
    card = model.card.model_copy(update={"input_size": 224})
    return type(model)(card, network)


class TestExplanations:
    @pytest.mark.parametrize("kind", ["resnet", "efficientnet_gate"])
    @pytest.mark.parametrize("corner", [(64, 64), (64, 256), (192, 128)])
    def test_the_maximum_is_where_the_cause_is(self, kind: str, corner: tuple[int, int]) -> None:
        model = sees_white(kind)
        # Twice as wide as the input: the map must undo the stretch.
        one = files.bright_square(320, 448, corner, 128)
        heats = [model.explain(one, 1)]
        if kind == "efficientnet_gate":
            heats.append(model.explain_gate(one))
        for heat in heats:
            row, column = np.unravel_index(heat.values.argmax(), heat.values.shape)
            assert corner[0] <= row < corner[0] + 128
            assert corner[1] <= column < corner[1] + 128
        assert model.explain(one, 0).strength == 0

    def test_a_map_has_the_size_of_the_image(self, model: Any) -> None:
        for shape in SHAPES:
            for index in (None, 0, 2):
                assert model.explain(sample(image(*shape)), index).values.shape == shape

    def test_without_an_index_the_best_class_is_explained(self, model: Any) -> None:
        one = sample(image())
        best = int(model.predict([one])[0].class_scores.argmax())
        heat, expected = model.explain(one, None), model.explain(one, best)
        np.testing.assert_array_equal(heat.values, expected.values)
        assert heat.target.startswith(f"{CLASSES[best]}, score ")
        assert heat.method == "Grad-CAM"

    def test_it_is_the_gradient_times_the_features(self, model: Any) -> None:
        one = sample(image(96, 96))
        features = model._network.features(model._pixels([model._prepare(one)]))
        features = features.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(model._logits(features)[0, 1], features)
        cam = (gradient.mean(dim=(2, 3), keepdim=True) * features).sum(1).relu()
        largest = float(cam.max().detach())
        heat = model.explain(one, 1)
        # Between the centres of cells a map never exceeds them; at 32 px a cell it comes close.
        assert heat.strength <= largest * (1 + 1e-5)
        assert heat.strength >= largest * 0.9

    def test_a_class_that_is_none(self, model: Any) -> None:
        for index in (-1, 3):
            with pytest.raises(IndexError, match="expected a class below 3"):
                model.explain(sample(image()), index)

    def test_the_gate_is_shown_with_its_own_strength(self) -> None:
        model = files.efficientnet_gate()
        heat = model.explain_gate(sample(image(50, 70)))
        assert heat.values.shape == (50, 70)
        assert 0 < heat.strength <= 1
        assert heat.method == "Attention gate"

    def test_it_leaves_nothing_behind_and_stands_two_threads(self, model: Any) -> None:
        one = sample(image())
        found, heat = model.predict([one])[0], model.explain(one, 0)
        with ThreadPoolExecutor(2) as pool:
            maps = [pool.submit(model.explain, one, 0) for _ in range(4)]
            predictions = [pool.submit(model.predict, [one]) for _ in range(4)]
        for job in maps:
            np.testing.assert_array_equal(job.result().values, heat.values)
        for answer in predictions:
            np.testing.assert_array_equal(answer.result()[0].class_scores, found.class_scores)
        for module in model._network.modules():
            assert not module._forward_hooks
            assert not module.training
        assert all(p.grad is None for p in model._network.parameters())
        assert not any(p.requires_grad for p in model._network.parameters())

    def test_other_weights_are_other_weights(self, model: Any) -> None:
        first, again, other = (model.with_random_weights(seed) for seed in (1, 1, 2))
        one = sample(image())
        maps = [m._network.state_dict() for m in (first, again, other)]
        name = next(name for name in maps[0] if name.endswith("0.weight") or name == "fc.weight")
        assert torch.equal(maps[0][name], maps[1][name])
        assert not torch.equal(maps[0][name], maps[2][name])
        assert first.predict([one])[0].class_scores.shape == (3,)


def describe(kind: Any, file: Path, classes: tuple[str, ...] | None) -> Any:
    return kind.describe(file, model_id="a", title="A", classes=classes)
