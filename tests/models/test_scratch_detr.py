"""DETR from scratch as a model."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fracture_core.errors import ConfigError, WeightsError
from fracture_core.models.cards import read_card
from fracture_core.models.scratch_detr import ScratchDetrModel
from fracture_core.nets.detr import DetrArchitecture, build_detr
from fracture_core.types import Prediction
from tests.support.detr_networks import (
    SIDE,
    SQUARE,
    carry_brightness,
    image_with_square,
    look_at_brightness,
)
from tests.support.yolo_files import image, sample

CLASSES = ("a", "b", "c")


@pytest.fixture(scope="module")
def model() -> ScratchDetrModel:
    return ScratchDetrModel.from_name("scratch:tiny")


def assert_identical(first: Prediction, second: Prediction) -> None:
    np.testing.assert_array_equal(first.detections.xyxy, second.detections.xyxy)
    np.testing.assert_array_equal(first.detections.scores, second.detections.scores)
    np.testing.assert_array_equal(first.detections.labels, second.detections.labels)


def test_findings_are_the_networks_answers(model: ScratchDetrModel) -> None:
    one = sample(image(100, 140))
    pixels = model._pixels([model._prepare(one)])
    assert pixels.shape == (1, 3, 64, 64)
    with torch.no_grad():
        output = model._network(pixels)
    scores, labels = output.logits[0].softmax(-1)[:, :-1].max(-1)
    order = scores.argsort(descending=True, stable=True)
    found = model.predict([one])[0].detections
    assert len(found) == 30
    np.testing.assert_allclose(found.scores, scores[order], atol=1e-6)
    np.testing.assert_array_equal(found.labels, labels[order])
    x, y, w, h = (output.boxes_cxcywh[0, order].double() * torch.tensor([140, 100, 140, 100])).T
    corners = torch.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], dim=1)
    expected = np.clip(corners.numpy(), 0, [140, 100, 140, 100])
    np.testing.assert_allclose(found.xyxy, expected, atol=1e-3)


def test_saved_and_loaded_it_answers_the_same(model: ScratchDetrModel, tmp_path: Path) -> None:
    card = model.save(tmp_path)
    assert read_card(tmp_path) == card
    assert card.architecture["query_count"] == 30
    again = ScratchDetrModel.load(card, tmp_path)
    one = sample(image())
    assert_identical(model.predict([one])[0], again.predict([one])[0])


@pytest.mark.parametrize(("backbone", "depth"), [("resnet18", 4), ("resnet50", 4), ("resnet50", 3)])
@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("frozen_norm", [False, True])
def test_sizes_are_read_from_the_tensors(
    backbone: str, depth: int, norm_first: bool, frozen_norm: bool, tmp_path: Path
) -> None:
    architecture = DetrArchitecture(
        class_count=3,
        query_count=5,
        backbone=backbone,
        backbone_width=4,
        backbone_depth=depth,
        frozen_norm=frozen_norm,
        width=16,
        encoder_depth=2,
        decoder_depth=1,
        feedforward_width=12,
        norm_first=norm_first,
    )
    state = {f"module.{k}": v for k, v in build_detr(architecture).state_dict().items()}
    torch.save({"model": state, "epoch": 7}, tmp_path / "m.pth")
    card = ScratchDetrModel.describe(tmp_path / "m.pth", model_id="m", title="M", classes=CLASSES)
    assert card.architecture == dataclasses.asdict(architecture)
    card = card.model_copy(update={"weights_file": "m.pth", "input_size": 64})
    loaded = ScratchDetrModel.load(card, tmp_path)
    assert len(loaded.predict([sample(image())])[0].detections) == 5


def test_two_stages_are_read_from_the_tensors_but_for_the_count(tmp_path: Path) -> None:
    shape = {"backbone": "resnet18", "backbone_width": 4, "width": 16, "feedforward_width": 12}
    architecture = DetrArchitecture(class_count=3, query_count=5, two_stage=True, **shape)
    torch.save(build_detr(architecture).state_dict(), tmp_path / "m.pth")
    card = ScratchDetrModel.describe(tmp_path / "m.pth", model_id="m", title="M", classes=CLASSES)
    assert card.architecture == dataclasses.asdict(architecture) | {"query_count": 100}
    assert "100 queries" in card.note


@pytest.mark.parametrize("backbone", ["efficientnet_lite0", "mobilenet_v2"])
def test_a_small_backbone_is_read_from_the_tensors(backbone: str, tmp_path: Path) -> None:
    shape = {"backbone_depth": 3, "width": 16, "feedforward_width": 12, "query_count": 5}
    architecture = DetrArchitecture(class_count=3, backbone=backbone, **shape)
    torch.save(build_detr(architecture).state_dict(), tmp_path / "m.pth")
    card = ScratchDetrModel.describe(tmp_path / "m.pth", model_id="m", title="M", classes=CLASSES)
    assert card.architecture == dataclasses.asdict(architecture)
    card = card.model_copy(update={"weights_file": "m.pth", "input_size": 64})
    loaded = ScratchDetrModel.load(card, tmp_path)
    assert len(loaded.predict([sample(image())])[0].detections) == 5


@pytest.mark.parametrize("change", [{"backbone_width": 32}, {"in_channels": 1}])
def test_a_small_backbone_has_one_shape(change: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="of mobilenet_v2: expected a whole number from"):
        build_detr(DetrArchitecture(class_count=1, backbone="mobilenet_v2", **change))


@pytest.mark.parametrize(
    "change",
    [
        {"width": 30},
        {"width": 10**9},
        {"feedforward_width": 65_536, "width": 4096, "encoder_depth": 64},
        {"query_count": "many"},
        {"class_count": 4},
        {"in_channels": 1},
        {"backbone": "vgg"},
        {"surplus": 1},
        {"query_count": [1]},
        {"query_count": 29},
    ],
)
def test_wrong_cards(model: ScratchDetrModel, tmp_path: Path, change: dict[str, Any]) -> None:
    card = model.save(tmp_path)
    wrong = card.model_copy(update={"architecture": {**card.architecture, **change}})
    with pytest.raises(WeightsError):
        ScratchDetrModel.load(wrong, tmp_path)


def test_weights_of_another_network(tmp_path: Path) -> None:
    torch.save({"fc.weight": torch.ones(2, 2)}, tmp_path / "m.pt")
    with pytest.raises(WeightsError, match="another network"):
        ScratchDetrModel.describe(tmp_path / "m.pt", model_id="m", title="M", classes=CLASSES)


def test_unknown_names() -> None:
    with pytest.raises(ConfigError, match="scratch:tiny"):
        ScratchDetrModel.from_name("scratch:huge")


def test_random_weights_are_drawn_anew_but_always_the_same(model: ScratchDetrModel) -> None:
    one = sample(image())
    first, again, other = (model.with_random_weights(seed).predict([one])[0] for seed in (5, 5, 6))
    assert_identical(first, again)
    assert not np.array_equal(first.detections.scores, other.detections.scores)


def test_a_findings_map_is_its_own_querys_attention() -> None:
    tiny = ScratchDetrModel.from_name("scratch:tiny")
    card = tiny.card.model_copy(update={"input_size": SIDE})
    model = ScratchDetrModel(card, tiny._network)
    one = sample(image(SIDE, SIDE))
    with torch.no_grad():
        output = model._network(model._pixels([model._prepare(one)]), with_attention=True)
    scores = output.logits[0].softmax(-1)[:, :-1].amax(-1)
    order = scores.argsort(descending=True, stable=True)
    for index in (0, 4, 29):
        heatmap = model.explain(one, index)
        sampled = (heatmap.values * heatmap.strength)[16::32, 16::32]
        expected = output.attention[0, order[index]]
        peak = np.unravel_index(heatmap.values.argmax(), (SIDE, SIDE))
        assert tuple(p // 32 for p in peak) == np.unravel_index(int(expected.argmax()), (8, 8))
        np.testing.assert_allclose(sampled, expected, rtol=0.2)


class Cells(torch.nn.Module):
    """In place of a backbone: the mean brightness of each cell of 32 pixels."""

    stride = 32

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        grey = pixels[:, :1] - pixels.amin()
        return torch.nn.functional.avg_pool2d(grey, 32).expand(-1, 64, -1, -1)


def test_attention_is_greatest_where_alone_it_matters() -> None:
    tiny = ScratchDetrModel.from_name("scratch:tiny")
    shape = dataclasses.replace(
        DetrArchitecture(**tiny.card.architecture), encoder_depth=0, decoder_depth=1
    )
    facts = {"architecture": dataclasses.asdict(shape), "input_size": SIDE}
    model = ScratchDetrModel._drawn(tiny.card.model_copy(update=facts), seed=1)
    network = model._network
    axis = carry_brightness(network.projection)
    network.backbone = Cells()
    layer = network.transformer.decoder[0]
    # From a state of zeros a norm would make all brightness above zero the same.
    torch.nn.init.normal_(layer.self_norm.bias)
    look_at_brightness(layer.cross_attention.query, layer.cross_attention.key, 4, axis)
    pixels, without = image_with_square(), image_with_square(level=120)
    elsewhere = pixels.copy()
    elsewhere[:128, 128:] = 60

    def scores(of: np.ndarray) -> torch.Tensor:
        with torch.no_grad():
            return network(model._pixels([model._prepare(sample(of))])).logits.softmax(-1)

    moved = [(scores(pixels) - scores(other)).abs().max() for other in (without, elsewhere)]
    assert moved[0] > 10 * moved[1]
    for index in (0, 7, None):
        values = model.explain(sample(pixels), index).values
        row, column = np.unravel_index(values.argmax(), values.shape)
        assert SQUARE[0].start <= row < SQUARE[0].stop
        assert SQUARE[1].start <= column < SQUARE[1].stop
        assert values[:128, 128:].max() < 0.05


def test_very_odd_images_are_explained(model: ScratchDetrModel) -> None:
    for shape in [(1, 1), (4, 900), (90, 120)]:
        one = sample(image(*shape))
        for index in (0, None):
            assert model.explain(one, index).values.shape == shape
    with pytest.raises(IndexError):
        model.explain(one, 30)
