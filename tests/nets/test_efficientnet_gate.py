from typing import Any

import pytest
import torch
import torchvision

from fracture_core.errors import ConfigError
from fracture_core.nets.efficientnet_gate import EFFICIENTNETS, AttentionGate, EfficientNetGate

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def smallest() -> EfficientNetGate:
    torch.manual_seed(0)
    return EfficientNetGate("efficientnet_b0", class_count=3).eval()


def test_gate_by_hand() -> None:
    gate = AttentionGate(2, reduction=1)
    with torch.no_grad():
        gate.squeeze.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, -1.0]])[..., None, None])
        gate.squeeze.bias.copy_(torch.tensor([0.5, 0.0]))
        gate.score.weight.copy_(torch.tensor([[2.0, 3.0]])[..., None, None])
        gate.score.bias.copy_(torch.tensor([-1.0]))
    features = torch.tensor([[[[1.0, -2.0]], [[4.0, -1.0]]]])
    gated, values = gate(features)
    # Left: relu(1 + 0.5, −4) = (1.5, 0), score 2 · 1.5 − 1 = 2; right: (0, 1), score 3 − 1 = 2.
    sigmoid = 1 / (1 + torch.tensor(-2.0).exp())
    torch.testing.assert_close(values, sigmoid.expand(1, 1, 2))
    torch.testing.assert_close(gated, features * sigmoid)


def test_gate_is_an_eighth_wide_and_scales_each_cell() -> None:
    torch.manual_seed(0)
    gate = AttentionGate(40)
    features = torch.randn(2, 40, 3, 4)
    gated, values = gate(features)
    assert gate.squeeze.out_channels == 5
    assert values.shape == (2, 3, 4)
    hidden = torch.einsum("oc,bchw->bohw", gate.squeeze.weight[..., 0, 0], features)
    hidden = (hidden + gate.squeeze.bias[:, None, None]).relu()
    score = torch.einsum("o,bohw->bhw", gate.score.weight[0, :, 0, 0], hidden) + gate.score.bias
    torch.testing.assert_close(values, score.sigmoid())
    torch.testing.assert_close(gated, features * score.sigmoid()[:, None])


@pytest.mark.parametrize(("height", "width"), [(64, 64), (33, 70), (1, 1), (20, 200)])
def test_shapes(smallest: EfficientNetGate, height: int, width: int) -> None:
    pixels = torch.randn(2, 3, height, width)
    answer = smallest(pixels)
    assert answer.logits.shape == (2, 3)
    assert answer.gate.shape == (2, -(-height // 32), -(-width // 32))
    assert ((answer.gate > 0) & (answer.gate < 1)).all()
    again = smallest.classify(smallest.features(pixels))
    torch.testing.assert_close(again.logits, answer.logits)
    torch.testing.assert_close(again.gate, answer.gate)


def test_closed_gate_leaves_only_the_bias(smallest: EfficientNetGate) -> None:
    features = torch.rand(1, smallest.feature_channels, 2, 2)
    bias = smallest.gate.score.bias
    assert bias is not None
    before = bias.detach().clone()
    with torch.no_grad():
        bias.fill_(-1e4)
        shut = smallest.classify(features)
        empty = smallest.classify(torch.zeros_like(features))
        bias.copy_(before)
    torch.testing.assert_close(shut.logits, empty.logits)


@pytest.mark.parametrize("name", EFFICIENTNETS)
def test_every_size_has_torchvisions_features(name: str) -> None:
    with torch.device("meta"):
        ours = EfficientNetGate(name, class_count=4)
        theirs = torchvision.models.get_model(name, weights=None).features
    assert list(ours.extractor.state_dict()) == list(theirs.state_dict())
    assert ours.head[1].in_features == ours.feature_channels == theirs[-1].out_channels
    assert ours.gate.squeeze.out_channels == ours.feature_channels // 8


def test_b4_is_the_default() -> None:
    with torch.device("meta"):
        network = EfficientNetGate(class_count=10)
    assert network.feature_channels == 1792
    assert network.gate.squeeze.out_channels == 224


def test_gradient_reaches_every_parameter() -> None:
    torch.manual_seed(0)
    network = EfficientNetGate("efficientnet_b0", class_count=3)
    # Stochastic depth may drop a block for the whole batch.
    for module in network.modules():
        if isinstance(module, torchvision.ops.StochasticDepth):
            module.p = 0.0
    network(torch.randn(4, 3, 64, 64)).logits.square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_eval_is_deterministic_and_safe_in_bfloat16(smallest: EfficientNetGate) -> None:
    pixels = torch.randn(2, 3, 64, 64).to(memory_format=torch.channels_last)
    with torch.no_grad():
        first = smallest(pixels)
        assert torch.equal(first.logits, smallest(pixels).logits)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            half = smallest(pixels)
    torch.testing.assert_close(half.logits.float(), first.logits, atol=0.05, rtol=0.1)
    torch.testing.assert_close(half.gate.float(), first.gate, atol=0.02, rtol=0)


def test_compiles_into_one_graph() -> None:
    gate = AttentionGate(16)
    features = torch.randn(1, 16, 3, 3)
    compiled = torch.compile(gate, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(features), gate(features))


@pytest.mark.slow
def test_whole_network_compiles_into_one_graph(smallest: EfficientNetGate) -> None:
    pixels = torch.randn(1, 3, 64, 64)
    compiled = torch.compile(smallest, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(pixels).logits, smallest(pixels).logits)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"name": "efficientnet_b8"}, r"one of efficientnet_b0, .*found 'efficientnet_b8'"),
        ({"class_count": 0}, "class_count"),
        ({"dropout": -0.1}, "dropout"),
        ({"stochastic_depth": 1.0}, "stochastic_depth"),
        ({"hidden_width": 0}, "hidden_width"),
        ({"reduction": 5000}, "reduction: expected a whole number from 1 to 1280"),
    ],
)
def test_shapes_that_cannot_be(wrong: dict[str, Any], message: str) -> None:
    right: dict[str, Any] = {"name": "efficientnet_b0", "class_count": 2}
    with pytest.raises(ConfigError, match=message), torch.device("meta"):
        EfficientNetGate(**right | wrong)
