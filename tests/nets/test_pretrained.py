import io
from pathlib import Path

import pytest
import torch
import torchvision

from fracture_core.errors import ConfigError, WeightsError
from fracture_core.nets.backbone import resnet_backbone
from fracture_core.nets.efficientnet_gate import EfficientNetGate
from fracture_core.nets.pretrained import imagenet_state
from fracture_core.nets.resnet import resnet

RESNET18 = "resnet18-f37072fd.pth"


def test_cached_weights_are_read_without_a_network(cache: Path) -> None:
    torch.manual_seed(3)
    network = torchvision.models.resnet18(weights=None)
    torch.save(network.state_dict(), cache / RESNET18)
    for state in (
        imagenet_state("resnet18", "IMAGENET1K_V1"),
        imagenet_state("resnet18", "DEFAULT"),
    ):
        assert torch.equal(state["fc.weight"], network.fc.weight)


@pytest.mark.parametrize("frozen_norm", [False, True])
def test_backbone_takes_them(cache: Path, frozen_norm: bool) -> None:
    network = torchvision.models.resnet18(weights=None).eval()
    torch.save(network.state_dict(), cache / RESNET18)
    backbone = resnet_backbone("resnet18", weights="DEFAULT", frozen_norm=frozen_norm).eval()
    ours = resnet("resnet18", class_count=1000).eval()
    ours.load_state_dict(network.state_dict())
    pixels = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(backbone(pixels), ours.features(pixels), atol=1e-4, rtol=1e-4)


def test_without_either_it_says_what_to_fetch_and_where_to_put_it(cache: Path) -> None:
    with pytest.raises(WeightsError) as caught:
        imagenet_state("resnet18", "IMAGENET1K_V1")
    assert str(cache / RESNET18) in str(caught.value)
    assert f"https://download.pytorch.org/models/{RESNET18}" in str(caught.value)
    assert "found neither" in str(caught.value)


class Bomb:
    """What a hostile pickle looks like."""

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (Path("exploded"),))


def hostile() -> bytes:
    buffer = io.BytesIO()
    torch.save({"fc.weight": Bomb()}, buffer)
    return buffer.getvalue()


def truncated() -> bytes:
    buffer = io.BytesIO()
    torch.save(torchvision.models.resnet18(weights=None).state_dict(), buffer)
    return buffer.getvalue()[:100_000]


@pytest.mark.parametrize("content", [b"", b"not weights", hostile(), truncated()])
def test_a_file_that_is_none(
    cache: Path, content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (cache / RESNET18).write_bytes(content)
    with pytest.raises(
        WeightsError, match=r"resnet18-f37072fd.pth: expected torchvision's weights"
    ):
        imagenet_state("resnet18", "IMAGENET1K_V1")
    assert not (tmp_path / "exploded").exists()


def test_weights_of_another_network_in_its_place(cache: Path) -> None:
    torch.save(torchvision.models.resnet34(weights=None).state_dict(), cache / RESNET18)
    with pytest.raises(WeightsError, match="found those of another network"):
        resnet_backbone("resnet18", weights="DEFAULT")


def test_efficientnet_takes_them(cache: Path) -> None:
    torch.manual_seed(1)
    theirs = torchvision.models.efficientnet_b0(weights=None)
    file = cache / torchvision.models.EfficientNet_B0_Weights.DEFAULT.url.rsplit("/", 1)[-1]
    torch.save(theirs.state_dict(), file)
    ours = EfficientNetGate("efficientnet_b0", class_count=2, weights="DEFAULT")
    for name, tensor in theirs.features.state_dict().items():
        assert torch.equal(ours.extractor.state_dict()[name], tensor), name


def test_unknown_weights(cache: Path) -> None:
    with pytest.raises(ConfigError, match=r"weights of resnet18: expected one of IMAGENET1K_V1"):
        imagenet_state("resnet18", "COCO")


@pytest.mark.parametrize("shape", [{"in_channels": 1}, {"width": 32}])
def test_imagenet_weights_fit_one_shape_only(shape: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="expected 3 channels and width 64"):
        resnet_backbone("resnet18", weights="DEFAULT", **shape)
