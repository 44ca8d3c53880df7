from typing import Any

import pytest
import torch
import torchvision

from fracture_core.errors import ConfigError
from fracture_core.nets.resnet import RESNETS, ResNet, resnet

pytestmark = pytest.mark.usefixtures("one_thread")


def shuffle_statistics(network: torch.nn.Module) -> None:
    """Norms that do something: a fresh one is nearly the identity and hides a swapped key."""
    for name, tensor in network.state_dict().items():
        if name.endswith(("running_mean", "running_var")) or ".bn" in name:
            tensor.copy_(torch.rand(tensor.shape) * 0.5 + 0.5)


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_equals_torchvision(name: str) -> None:
    torch.manual_seed(0)
    theirs = torchvision.models.get_model(name, weights=None, num_classes=7).eval()
    shuffle_statistics(theirs)
    ours = resnet(name, class_count=7).eval()
    ours.load_state_dict(theirs.state_dict())
    pixels = torch.randn(2, 3, 70, 65)
    with torch.no_grad():
        expected = theirs(pixels)
        scale = float(expected.abs().max())
        torch.testing.assert_close(ours(pixels) / scale, expected / scale, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", RESNETS)
def test_same_parameters_as_torchvision(name: str) -> None:
    with torch.device("meta"):
        theirs = torchvision.models.get_model(name, weights=None).state_dict()
        ours = resnet(name, class_count=1000).state_dict()
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in theirs.items()}


@pytest.mark.parametrize("block", ["basic", "bottleneck"])
@pytest.mark.parametrize("depths", [(1, 1, 1, 1), (1, 2, 1, 3)])
@pytest.mark.parametrize("in_channels", [1, 3])
@pytest.mark.parametrize(("height", "width"), [(64, 64), (33, 97), (1, 1)])
def test_shapes(block: Any, depths: Any, in_channels: int, height: int, width: int) -> None:
    network = ResNet(
        block=block, depths=depths, class_count=5, width=4, in_channels=in_channels
    ).eval()
    pixels = torch.randn(2, in_channels, height, width)
    features = network.features(pixels)
    assert features.shape == (2, network.feature_channels, -(-height // 32), -(-width // 32))
    torch.testing.assert_close(network.classify(features), network(pixels))
    assert network(pixels).shape == (2, 5)


def test_zeroed_last_norms_make_blocks_shortcuts() -> None:
    network = resnet("resnet50", class_count=2, width=4).eval()
    block = network.layer2[1]
    x = torch.rand(1, 32, 5, 5)
    torch.testing.assert_close(block(x), x)
    plain = resnet("resnet50", class_count=2, width=4, zero_init_last_norm=False).eval()
    assert not torch.allclose(plain.layer2[1](x), x)


def test_gradient_reaches_every_parameter() -> None:
    torch.manual_seed(0)
    network = resnet("resnet50", class_count=3, width=8, zero_init_last_norm=False)
    network(torch.randn(4, 3, 64, 64)).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_channels_last_and_bfloat16() -> None:
    torch.manual_seed(0)
    network = resnet("resnet18", class_count=3, width=16).eval()
    pixels = torch.randn(2, 3, 64, 64)
    expected = network(pixels)
    network = network.to(memory_format=torch.channels_last)
    pixels = pixels.to(memory_format=torch.channels_last)
    assert network.features(pixels).is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(network(pixels), expected, atol=1e-5, rtol=1e-4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = network(pixels)
    torch.testing.assert_close(half.float(), expected, atol=0.05, rtol=0.1)


def test_compiles_into_one_graph() -> None:
    network = resnet("resnet18", class_count=3, width=4).eval()
    compiled = torch.compile(network, fullgraph=True, backend="eager")
    pixels = torch.randn(1, 3, 32, 40)
    torch.testing.assert_close(compiled(pixels), network(pixels))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"block": "dense"}, "one of basic, bottleneck, found 'dense'"),
        ({"depths": (1, 2, 3)}, "each of four stages"),
        ({"depths": (1, 2, 0, 1)}, "depths: expected a whole number from 1"),
        ({"class_count": 0}, "class_count"),
        ({"width": 10**6}, "width: expected a whole number from 1 to 1024"),
        ({"in_channels": 0}, "in_channels"),
    ],
)
def test_shapes_that_cannot_be(wrong: dict[str, Any], message: str) -> None:
    right: dict[str, Any] = {"block": "basic", "depths": (1, 1, 1, 1), "class_count": 2}
    with pytest.raises(ConfigError, match=message):
        ResNet(**right | wrong)


def test_unknown_name() -> None:
    with pytest.raises(ConfigError, match=r"resnet18, .*found 'resnet51'"):
        resnet("resnet51", class_count=2)
