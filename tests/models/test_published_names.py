"""Checkpoints of published classifiers under their own names."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from fracture_core.errors import ConfigError, WeightsError
from fracture_core.models import library
from fracture_core.models.published_names import gated_state, resnet_state
from fracture_core.nets.efficientnet_gate import EfficientNetGate
from fracture_core.nets.resnet import resnet
from tests.support.yolo_files import image, sample, save_checkpoint, yolo_network

pytestmark = pytest.mark.usefixtures("one_thread")
CLASSES = tuple(f"class {n}" for n in range(10))
State = dict[str, Tensor]


def published_gate(network: EfficientNetGate) -> State:
    """As the published module calls its parts, with the biases that it has and ours has not."""
    state = {}
    for name, tensor in network.state_dict().items():
        theirs = name.replace("extractor.", "base_model.features.", 1)
        theirs = theirs.replace("gate.squeeze.", "attention.conv.0.").replace(
            "gate.score.", "attention.conv.2."
        )
        state[theirs.replace("head.", "classifier.")] = tensor.clone()
    width = state["classifier.2.running_mean"]
    bias = torch.linspace(-1, 1, len(width), device=width.device)
    state["classifier.1.bias"] = bias
    # The same function: the norm subtracts what the layer adds.
    state["classifier.2.running_mean"] = width + bias
    return state


@pytest.fixture(scope="module")
def gated() -> EfficientNetGate:
    torch.manual_seed(0)
    network = EfficientNetGate("efficientnet_b0", class_count=10).eval()
    network.head[2].running_mean.normal_()
    return network


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_gated_efficientnet_of_other_names_computes_the_same(
    gated: EfficientNetGate, tmp_path: Path, wrapped: bool
) -> None:
    state: object = published_gate(gated)
    if wrapped:
        state = {"epoch": 7, "val_acc": 0.9375, "model_state_dict": state}
    torch.save(state, tmp_path / "best_model.pth")
    card = library.add_model(
        tmp_path / "best_model.pth", family_name="efficientnet_gate", classes=CLASSES
    )
    assert (card.architecture["name"], len(card.classes)) == ("efficientnet_b0", 10)
    model = library.open_model(card.model_id)
    given = sample(image(120, 150))
    pixels = model._pixels([model._prepare(given)])
    with torch.inference_mode():
        expected = gated(pixels).logits[0].softmax(0)
    found = torch.tensor(model.predict([given])[0].class_scores)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_a_b4_is_told_from_its_shapes_whatever_stands_beside() -> None:
    with torch.device("meta"):
        network = EfficientNetGate("efficientnet_b4", class_count=10)
    state = published_gate(network.to("meta"))
    # EfficientNet's own classifier, which is not used.
    state["base_model.classifier.1.weight"] = torch.empty(1000, 1792, device="meta")
    state["base_model.classifier.1.bias"] = torch.empty(1000, device="meta")
    found = gated_state(state)
    assert found is not None
    assert {name: tuple(t.shape) for name, t in found.items()} == {
        name: tuple(t.shape) for name, t in network.state_dict().items()
    }
    parallel = gated_state({f"module.{name}": tensor for name, tensor in state.items()})
    assert parallel is not None
    assert parallel.keys() == found.keys()
    state["auxiliary.weight"] = torch.empty(3, 3, device="meta")
    assert gated_state(state) is None


def test_an_efficientnet_without_a_gate_is_refused(tmp_path: Path, gated: EfficientNetGate) -> None:
    state = {
        name: tensor
        for name, tensor in published_gate(gated).items()
        if not name.startswith("attention.")
    }
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="EfficientNet with a gate"):
        library.add_model(tmp_path / "w.pth", family_name="efficientnet_gate", classes=CLASSES)


def _paired(name: str) -> str:
    """Convolution and norm as one sequence, stages from 0."""
    for place in ("1", "2"):
        name = name.replace(f"conv{place}.", f"conv{place}.0.").replace(
            f"bn{place}.", f"conv{place}.1."
        )
    for stage in range(1, 5):
        name = name.replace(f"layer{stage}.", f"layer{stage - 1}.", 1)
    return name


def _lined(name: str) -> str:
    return name.replace("downsample", "shortcut").replace("fc.", "linear.")


@pytest.mark.parametrize("theirs", [str, _paired, _lined])
def test_a_resnet_of_two_basic_blocks_a_stage(theirs, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = resnet("resnet18", class_count=7, width=8).eval()
    state = {theirs(name): tensor for name, tensor in network.state_dict().items()}
    if theirs is _paired:
        state["conv1.0.bias"] = torch.full((8,), 0.5)
        state["conv1.1.running_mean"] = network.bn1.running_mean + 0.5
        state["layer1.0.downsample.0.bias"] = torch.full((16,), 0.25)
        state["layer1.0.downsample.1.running_mean"] = (
            network.layer2[0].downsample[1].running_mean + 0.25
        )
    torch.save(state, tmp_path / "resnet.pth")
    card = library.add_model(
        tmp_path / "resnet.pth",
        family_name="resnet",
        classes=CLASSES[:7],
        input_size=512,
        standardise="half",
    )
    assert (card.architecture["name"], card.architecture["depths"]) == ("resnet18", [2, 2, 2, 2])
    assert card.input_size == 512
    assert card.note == (
        "The input size of 512 px was given. Its input is standardised as was given: half."
    )
    model = library.open_model(card.model_id)
    given = sample(image(120, 150))
    assert float(model._pixels([model._prepare(given)]).min()) >= -1
    with torch.inference_mode():
        expected = network(model._pixels([model._prepare(given)]))[0].softmax(0)
    found = torch.tensor(model.predict([given])[0].class_scores)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_only_a_classifiers_input_is_standardised_as_told(tmp_path: Path) -> None:
    weights = save_checkpoint(yolo_network("yolov8n.yaml"), tmp_path / "net.pt")
    with pytest.raises(ConfigError, match="standardise: expected a classifier, found a model of"):
        library.add_model(weights, standardise="half")
    assert [card.model_id for card in library.list_cards()] == ["fake"]


def test_names_of_torchvision_stay() -> None:
    state = resnet("resnet50", class_count=2, width=8).state_dict()
    assert list(resnet_state(state)) == list(state)
