"""What networks begin from, and settings that are refused."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor
from torchvision.ops import StochasticDepth

from fracture_core.errors import ConfigError, WeightsError
from fracture_core.models.faster_rcnn import FasterRcnnModel
from fracture_core.models.hf_detr import HfDetrModel
from fracture_core.models.state_dicts import save_state
from fracture_core.settings import settings
from tests.support.packaged_weights import install
from tests.support.training_modules import CLASSES, TINY, build, make_batch
from trainers.families.faster_rcnn import build as build_faster_rcnn
from trainers.families.resnet import build as build_resnet
from trainers.family_configs import FasterRcnnConfig, ResNetConfig
from trainers.frozen_batch_norm import FixedNorm, fix_norms
from trainers.networks import FasterRcnnNetwork, ResNetNetwork
from trainers.training_module import TrainingModule

HEADS = {
    "scratch_detr": "class_head.",
    "hf_detr": "class_labels_classifier.",
    "faster_rcnn": "roi_heads.box_predictor.",
    "retinanet": "head.classification_head.cls_logits.",
    "efficientnet_gate": "head.4.",
    "resnet": "fc.",
}
RESNET18 = "resnet18-f37072fd.pth"


def kept(module: TrainingModule, model_id: str = "first") -> dict[str, Tensor]:
    """Puts its network into the library; returns its tensors."""
    state = {name: tensor.clone() for name, tensor in module.network.state_dict().items()}
    card = module.card.model_copy(update={"model_id": model_id})
    module._card = card  # type: ignore[attr-defined]
    module.wrap(module.network).save(settings().models / model_id)
    return state


def begun(
    name: str, start: str, classes: tuple[str, ...] = CLASSES, **changes: Any
) -> TrainingModule:
    """Another network that begins from `start`, which says what its size is."""
    return build(name, classes, start=start, seed=9, network=None, **changes)


def differing(module: TrainingModule, state: dict[str, Tensor]) -> set[str]:
    own = module.network.state_dict()
    counters = {key for key in state if key.endswith("num_batches_tracked")}
    assert own.keys() == state.keys() - (counters - own.keys())
    return {key for key in own if not torch.equal(own[key], state[key])}


@pytest.mark.parametrize("name", TINY)
def test_a_model_of_the_library_is_gone_on_with(name: str) -> None:
    state = kept(build(name))
    module = begun(name, "first")
    assert differing(module, state) == set()
    assert module.notes == ()
    assert all(p.requires_grad for p in module.parameters())
    assert module(make_batch())["loss"].isfinite()


@pytest.mark.parametrize("name", TINY)
def test_other_classes_get_a_new_head_and_a_note(name: str) -> None:
    state = kept(build(name))
    module = begun(name, "first", ("fracture",))
    changed = {
        key
        for key, tensor in module.network.state_dict().items()
        if tensor.shape != state[key].shape or not torch.equal(tensor, state[key])
    }
    assert changed
    assert all(key.startswith(HEADS[name]) for key in changed)
    (note,) = module.notes
    assert "crack, break, chip" in note
    assert "begins anew" in note


@pytest.mark.parametrize("name", TINY)
def test_a_folder_or_a_file_will_do(name: str, tmp_path: Path) -> None:
    module = build(name)
    state = {key: tensor.clone() for key, tensor in module.network.state_dict().items()}
    module.wrap(module.network).save(tmp_path / "model")
    assert differing(begun(name, str(tmp_path / "model")), state) == set()
    again = begun(name, str(tmp_path / "model" / "weights.safetensors"))
    # A file does not name its classes.
    assert all(key.startswith(HEADS[name]) for key in differing(again, state))
    assert len(again.notes) == 1


def test_scratch_detr_takes_a_resnet_as_its_backbone() -> None:
    state = kept(build("resnet"))
    module = begun("scratch_detr", "first", network_after={"width": 32, "query_count": 5})
    backbone = module.network.get_submodule("backbone").state_dict()
    assert torch.equal(backbone["stem.0.weight"], state["conv1.weight"])
    assert torch.equal(backbone["stem.1.running_var"], state["bn1.running_var"])
    assert torch.equal(backbone["layer4.1.conv2.weight"], state["layer4.1.conv2.weight"])
    assert any(isinstance(layer, FixedNorm) for layer in module.modules())
    (note,) = module.notes
    assert note == "The backbone begins from ResNet, resnet18, everything else anew."


def test_scratch_detr_takes_the_backbone_of_a_light_faster_rcnn() -> None:
    state = kept(build("faster_rcnn"))
    network = {"width": 32, "query_count": 5, "backbone_depth": 3, "two_stage": True}
    module = begun("scratch_detr", "first", network_after=network)
    backbone = module.network.get_submodule("backbone").state_dict()
    assert torch.equal(backbone["stem.0.weight"], state["backbone.body.conv1.weight"])
    assert torch.equal(
        backbone["layer3.1.conv2.weight"], state["backbone.body.layer3.1.conv2.weight"]
    )
    assert not any(name.startswith("layer4") for name in backbone)
    (note,) = module.notes
    assert "The backbone begins from" in note


def test_scratch_detr_does_not_take_torchvisions_faster_rcnn() -> None:
    model = FasterRcnnModel.from_name("fasterrcnn_mobilenet_v3_large_320_fpn")
    model.save(settings().models / model.card.model_id)
    with pytest.raises(ConfigError, match=r"a light Faster R-CNN.*found fasterrcnn_mobilenet"):
        begun("scratch_detr", model.card.model_id)


def test_an_efficientnets_dropout_is_that_of_the_config_and_is_kept() -> None:
    kept(build("efficientnet_gate", network={"dropout": 0.0, "stochastic_depth": 0.0}))
    module = begun("efficientnet_gate", "first")
    modules = list(module.network.modules())
    assert {layer.p for layer in modules if isinstance(layer, torch.nn.Dropout)} == {0.0}
    skipped = [layer.p for layer in modules if isinstance(layer, StochasticDepth)]
    assert skipped
    assert set(skipped) == {0.0}


def test_transformers_own_folder_will_do(tmp_path: Path) -> None:
    network: Any = HfDetrModel.from_name("detr:tiny").network
    network.config.id2label = {0: "cat", 1: "dog", 2: "bird"}
    network.save_pretrained(tmp_path / "published")
    module = begun("hf_detr", str(tmp_path / "published"))
    own, theirs = module.network.state_dict(), network.state_dict()
    changed = {key for key in own if not torch.equal(own[key], theirs[key])}
    # Both begin with biases of 0.
    assert changed == {"class_labels_classifier.weight"}
    assert "cat, dog, bird" in module.notes[0]


@pytest.mark.parametrize("name", ["resnet", "scratch_detr"])
def test_imagenets_weights_by_name(name: str, cache: Path) -> None:
    theirs = torchvision.models.resnet18(weights=None)
    torch.save(theirs.state_dict(), cache / RESNET18)
    key, size = ("name", {}) if name == "resnet" else ("backbone", {"width": 32})
    module = build(
        name, start="IMAGENET1K_V1", network=None, network_after={key: "resnet18", **size}
    )
    own = module.network.state_dict()
    prefix = "" if name == "resnet" else "backbone."
    ours = own[f"{prefix}layer3.0.conv1.weight"]
    assert torch.equal(ours, theirs.state_dict()["layer3.0.conv1.weight"])


# Where each family keeps the features of a small network, and what it is told besides the start.
MOBILE: dict[str, tuple[str, dict[str, Any]]] = {
    "efficientnet_gate": ("extractor.", {"hidden_width": 16}),
    "resnet": ("extractor.", {}),
    "faster_rcnn": ("backbone.body.", {"name": "fasterrcnn_light", "pyramid_width": 16}),
    "scratch_detr": ("backbone.", {"width": 32, "query_count": 5, "backbone_depth": 3}),
}


@pytest.mark.parametrize("start", ["efficientnet_lite0:IMAGENET1K", "mobilenet_v2:IMAGENET1K"])
@pytest.mark.parametrize("name", MOBILE)
def test_packaged_weights_begin_the_features(
    name: str, start: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = install(start, tmp_path, monkeypatch)
    prefix, network = MOBILE[name]
    module = begun(name, start, network_after=network)
    own = module.network.state_dict()
    features = {key: t for key, t in own.items() if key.startswith((f"{prefix}stem", f"{prefix}l"))}
    assert features
    for key, tensor in features.items():
        assert torch.equal(tensor, wanted[key.removeprefix(prefix)]), key
    assert start.partition(":")[0] in str(module.card.architecture)
    assert all(p.requires_grad for p in module.parameters())
    assert len(module.stages()) == (4 if name == "scratch_detr" else 5)
    assert module(make_batch())["loss"].isfinite()


@pytest.mark.parametrize("name", MOBILE)
def test_packaged_weights_of_another_network_than_named(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "name" if name in ("efficientnet_gate", "resnet") else "backbone"
    network = {**MOBILE[name][1], key: "efficientnet_lite0"}
    with pytest.raises(ConfigError, match=f"network.{key}: expected mobilenet_v2, whose weights"):
        begun(name, "mobilenet_v2:IMAGENET1K", network_after=network)


def test_packaged_weights_begin_the_backbone_of_a_small_rt_detr(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = "mobilenet_v2:IMAGENET1K"
    wanted = install(start, tmp_path, monkeypatch)
    module = begun("hf_detr", start, network_after={"name": "rt_detr:small", "num_queries": 30})
    trunk = module.network.get_submodule("model.backbone.model.trunk")
    assert all(torch.equal(t, wanted[key]) for key, t in trunk.state_dict().items())
    assert len(module.stages()) == 5
    # In the backbone they are fixed; those of the encoder learn.
    assert any(isinstance(layer, FixedNorm) for layer in trunk.modules())
    assert not any(isinstance(layer, torch.nn.BatchNorm2d) for layer in trunk.modules())
    encoder = module.network.get_submodule("model.encoder")
    assert any(isinstance(layer, torch.nn.BatchNorm2d) for layer in encoder.modules())
    loss = module(make_batch())["loss"]
    loss.backward()
    assert loss.isfinite()
    assert all(parameter.grad is not None for parameter in trunk.parameters())


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("detr:tiny", "mobilenet_v2:IMAGENET1K"),
        ("rt_detr:small", "efficientnet_lite0:IMAGENET1K"),
    ],
)
def test_packaged_weights_of_another_backbone_than_transformers_has(name: str, start: str) -> None:
    with pytest.raises(ConfigError, match="start: expected mobilenet_v2 weights, and a network"):
        begun("hf_detr", start, network_after={"name": name})


@pytest.mark.parametrize("kept_as", ["efficientnet_gate", "resnet", "faster_rcnn"])
def test_detectors_begin_from_a_small_network_that_was_trained_here(kept_as: str) -> None:
    prefix, network = MOBILE[kept_as]
    key = "backbone" if kept_as == "faster_rcnn" else "name"
    state = kept(build(kept_as, network=None, network_after={**network, key: "efficientnet_lite0"}))
    for name in {"faster_rcnn", "scratch_detr"} - {kept_as}:
        own_prefix, own_network = MOBILE[name]
        module = begun(name, "first", ("fracture",), network_after=own_network)
        own = module.network.state_dict()
        ours = own[f"{own_prefix}layer3.2.depthwise.0.weight"]
        assert torch.equal(ours, state[f"{prefix}layer3.2.depthwise.0.weight"])
        assert "The backbone begins from" in module.notes[0]


@pytest.mark.parametrize("name", ["faster_rcnn", "scratch_detr"])
def test_detectors_do_not_begin_from_a_large_efficientnet(name: str) -> None:
    kept(build("efficientnet_gate"))
    with pytest.raises(ConfigError, match=r"one of efficientnet_lite0.*found an efficientnet_b0"):
        begun(name, "first", network_after=MOBILE[name][1])


def test_packaged_weights_are_not_for_torchvisions_faster_rcnn() -> None:
    with pytest.raises(ConfigError, match=r"network\.name: expected one of fasterrcnn_light"):
        begun("faster_rcnn", "mobilenet_v2:IMAGENET1K")


def test_anchors_of_the_light_faster_rcnn() -> None:
    module = build("faster_rcnn", network={"levels": 3, "anchor_px": 12})
    light = module.card.architecture["light"]
    assert isinstance(light, dict)
    assert light["anchor_sizes_px"] == [12, 24, 48]
    assert module(make_batch())["loss"].isfinite()
    with pytest.raises(ConfigError, match=r"network\.levels: .* less than or equal to 4"):
        build("faster_rcnn", network={"levels": 5})


MISSING = {
    "scratch_detr": ("IMAGENET1K_V2", "resnet50-11ad3fa6.pth"),
    "faster_rcnn": ("COCO_V1", "fasterrcnn_resnet50_fpn_coco-258fb6c6.pth"),
    "retinanet": ("COCO_V1", "retinanet_resnet50_fpn_coco-eeacb38b.pth"),
    "efficientnet_gate": ("IMAGENET1K_V1", "efficientnet_b4_rwightman-23ab8bcd.pth"),
    "resnet": ("IMAGENET1K_V2", "resnet50-11ad3fa6.pth"),
}


@pytest.mark.parametrize("name", MISSING)
def test_weights_that_are_not_there_are_named(name: str, cache: Path) -> None:
    start, file = MISSING[name]
    with pytest.raises(WeightsError) as caught:
        begun(name, start)
    assert str(cache / file) in str(caught.value)


def test_a_hub_id_without_a_network_says_what_to_fetch(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(cache))
    with pytest.raises(WeightsError, match=r"model\.safetensors"):
        begun("hf_detr", "nobody/no-such-detr")


@pytest.mark.parametrize("name", TINY)
def test_an_unknown_start_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"start: .*library.*'nothing-of-this-name'"):
        begun(name, "nothing-of-this-name")


@pytest.mark.parametrize("name", TINY)
def test_a_start_of_another_family_is_refused(name: str) -> None:
    kept(build("scratch_detr" if name != "scratch_detr" else "hf_detr"))
    with pytest.raises(ConfigError, match=f"family {name}"):
        begun(name, "first")


@pytest.mark.parametrize("name", TINY)
def test_weights_of_another_network_are_refused(name: str, tmp_path: Path) -> None:
    save_state(torch.nn.Linear(2, 2), tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match=re.escape("other.safetensors")):
        begun(name, str(tmp_path / "other.safetensors"))


@pytest.mark.parametrize("name", TINY)
def test_unknown_settings_of_the_network_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"network\.widht: .*name|network\.widht: .*width"):
        build(name, network={"widht": 3})


@pytest.mark.parametrize(
    ("name", "network"),
    [
        ("scratch_detr", {"width": "wide"}),
        ("scratch_detr", {"width": 33}),
        ("hf_detr", {"d_model": 33}),
        ("hf_detr", {"d_model": "wide"}),
        ("hf_detr", {"encoder_layers": 1000}),
        ("hf_detr", {"name": "detr:huge"}),
        ("faster_rcnn", {"name": "fasterrcnn_resnet9"}),
        ("faster_rcnn", {"pyramid_width": 0}),
        ("retinanet", {"name": "retinanet_resnet9"}),
        ("retinanet", {"pyramid_width": 20}),
        ("efficientnet_gate", {"hidden_width": -1}),
        ("resnet", {"name": "resnet7"}),
        ("resnet", {"width": 0}),
    ],
)
def test_values_that_cannot_be_are_refused(name: str, network: dict[str, Any]) -> None:
    with pytest.raises((ConfigError, WeightsError), match="expected"):
        build(name, network=network)


def test_fixed_norms_are_the_norms_they_replace() -> None:
    norm = torch.nn.BatchNorm2d(3, eps=1e-3)
    network = torch.nn.Sequential(torch.nn.Sequential(norm))
    norm(torch.randn(8, 3, 4, 4))
    norm.weight.data.uniform_()
    pixels = torch.randn(2, 3, 4, 4)
    wanted, state = network.eval()(pixels), network.state_dict()
    fix_norms(network)
    torch.testing.assert_close(network.train()(pixels), wanted)
    state.pop("0.0.num_batches_tracked")
    assert network.state_dict().keys() == state.keys()
    assert not list(network.parameters())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert network(pixels.bfloat16()).dtype == torch.bfloat16


def test_a_light_faster_rcnn_begins_from_a_resnet_of_other_classes() -> None:
    network = ResNetNetwork(name="resnet18", width=8)
    config = ResNetConfig(data="", input_size=64, network=network)
    trunk = build_resnet(config, ("healthy", "fracture"), "patches")
    trunk.wrap(trunk.network).save(settings().models / "patches")
    light = FasterRcnnConfig(
        data="",
        input_size=64,
        start="patches",
        network=FasterRcnnNetwork(name="fasterrcnn_light", pyramid_width=16),
    )
    module = build_faster_rcnn(light, CLASSES, "light")
    own, given = module.network.backbone.body.state_dict(), trunk.network.state_dict()
    assert set(given) - set(own) == {"fc.weight", "fc.bias"}
    assert all(torch.equal(own[name], given[name]) for name in own)
    shape = module.card.architecture["light"]
    assert isinstance(shape, dict)
    assert (shape["backbone_width"], shape["pyramid_width"]) == (8, 16)
    assert "backbone begins from" in module.notes[0]
    assert module.train()(make_batch())["loss"].isfinite()


def test_a_gate_begins_from_the_features_of_a_classifier_with_the_same_small_network() -> None:
    state = kept(build("resnet", network=None, network_after={"name": "mobilenet_v2"}))
    module = begun("efficientnet_gate", "first", network_after={})
    own = module.network.get_submodule("extractor").state_dict()
    assert all(torch.equal(own[name], state[f"extractor.{name}"]) for name in own)
    assert module.card.architecture["name"] == "mobilenet_v2"
    assert "The backbone begins from" in module.notes[0]


def test_a_gate_does_not_begin_from_a_classifier_of_another_network() -> None:
    kept(build("resnet"))
    with pytest.raises(ConfigError, match=r"start: expected a model of this family, or one of"):
        begun("efficientnet_gate", "first")
