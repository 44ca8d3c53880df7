"""Every family that the loop trains, held to one contract."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fracture_core.errors import ConfigError
from fracture_core.models.families import family
from fracture_core.models.resnet import ResNetArchitecture
from tests.support.training_modules import (
    CLASSES,
    DETECTORS,
    TINY,
    build,
    make_batch,
    one_sample,
    without_ground_truth,
)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("name", TINY)
def test_loss_is_finite_and_reaches_every_parameter(name: str) -> None:
    module = build(name)
    losses = module(make_batch())
    assert all(value.isfinite() and value.ndim == 0 for value in losses.values())
    losses["loss"].backward()
    without = [key for key, p in module.named_parameters() if p.requires_grad and p.grad is None]
    assert without == []


@pytest.mark.parametrize("name", TINY)
def test_only_the_network_has_parameters_and_state(name: str) -> None:
    module = build(name)
    assert all(key.startswith("network.") for key in module.state_dict())


@pytest.mark.parametrize("name", TINY)
def test_frozen_stages_get_no_gradient_and_keep_their_statistics(name: str) -> None:
    module = build(name)
    module.freeze(2)
    module.train()
    frozen, rest = module.stages()[:2], module.stages()[2:]
    assert len(module.stages()) == 5
    before = [copy.deepcopy(stage.state_dict()) for stage in frozen]
    module(make_batch())["loss"].backward()
    for stage, state in zip(frozen, before, strict=True):
        assert all(p.grad is None for p in stage.parameters())
        for key, tensor in stage.state_dict().items():
            torch.testing.assert_close(tensor, state[key], rtol=0, atol=0)
    assert all(p.grad is not None for stage in rest for p in stage.parameters())


@pytest.mark.parametrize("name", TINY)
def test_saved_and_loaded_it_predicts_as_it_did(name: str, tmp_path: Path) -> None:
    module = build(name)
    optimiser = torch.optim.SGD(module.parameters(), lr=1e-3)
    module(make_batch())["loss"].backward()
    optimiser.step()
    kept = {key: value.clone() for key, value in module.state_dict().items()}

    model = module.wrap(copy.deepcopy(module.network))
    card = model.save(tmp_path / "model")
    again = family(name).load(card, tmp_path / "model")

    assert card.family == name
    assert card.classes == CLASSES
    assert card.weights_file
    for sample in (one_sample(), one_sample(90, 70)):
        (ours,), (theirs,) = model.predict([sample]), again.predict([sample])
        assert (len(ours.detections) > 0) == (name in DETECTORS)
        np.testing.assert_array_equal(ours.detections.xyxy, theirs.detections.xyxy)
        np.testing.assert_array_equal(ours.detections.scores, theirs.detections.scores)
        assert (ours.class_scores is None) == (name in DETECTORS)
        if ours.class_scores is not None:
            np.testing.assert_array_equal(ours.class_scores, theirs.class_scores)
    # The training module is as it was.
    assert all(torch.equal(kept[key], value) for key, value in module.state_dict().items())
    assert all(p.requires_grad for p in module.parameters())


@pytest.mark.parametrize("name", TINY)
@pytest.mark.parametrize("training", [True, False])
def test_empty_truth_gives_a_finite_loss(name: str, training: bool) -> None:
    module = build(name).train(training)
    loss = module(without_ground_truth(make_batch()))["loss"]
    assert loss.isfinite()
    loss.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in module.parameters())


@pytest.mark.parametrize("name", TINY)
def test_bfloat16_autocast_keeps_the_loss_in_float32(name: str) -> None:
    module, batch = build(name).eval(), make_batch()
    torch.manual_seed(1)
    full = module(batch)["loss"]
    torch.manual_seed(1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = module(batch)["loss"]
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, full, rtol=0.1, atol=0.1)
    half.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in module.parameters())


@pytest.mark.parametrize("name", TINY)
def test_validation_leaves_the_network_as_it_is(name: str) -> None:
    module = build(name).eval()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    with torch.no_grad():
        losses = module(make_batch())
    assert losses["loss"].isfinite()
    assert all(torch.equal(before[key], value) for key, value in module.state_dict().items())


@pytest.mark.parametrize("name", TINY)
def test_same_seed_same_weights(name: str) -> None:
    first, second, other = build(name, seed=3), build(name, seed=3), build(name, seed=4)
    pairs = zip(first.parameters(), second.parameters(), strict=True)
    assert all(torch.equal(one, two) for one, two in pairs)
    assert any(
        not torch.equal(one, two)
        for one, two in zip(first.parameters(), other.parameters(), strict=True)
    )


@pytest.mark.parametrize("name", TINY)
def test_wrapped_it_scales_as_it_is_trained(name: str) -> None:
    module = build(name)
    if name in {"faster_rcnn", "retinanet"}:
        model: Any = module.wrap(copy.deepcopy(module.network))
        assert model._prepare(one_sample(90, 70)).size == module.size_of(90, 70)
    elif name in {"hf_detr", "scratch_detr"}:
        model = module.wrap(copy.deepcopy(module.network))
        assert tuple(model._prepare(one_sample(90, 70)).grey.shape[1:]) == module.size_of(90, 70)
    else:
        assert module.size_of(90, 70) == (64, 64)


def test_weights_are_frozen_by_their_plain_names() -> None:
    for name in ("scratch_detr", "hf_detr", "faster_rcnn", "resnet"):
        module = build(name)
        module.freeze(0, ("conv1", "layer2"))
        backbone = {id(each) for stage in module.stages() for each in stage.parameters()}
        for key, each in module.network.named_parameters():
            plain = module.plain_name(key)
            named = "conv1" in plain or "layer2" in plain
            if id(each) in backbone:
                assert each.requires_grad != named, key
            else:
                assert each.requires_grad, key
        # Not frozen for good.
        module.freeze(0)
        assert all(each.requires_grad for stage in module.stages() for each in stage.parameters())


def test_hf_detr_stretches_images_to_a_square_where_it_is_asked_to(tmp_path: Path) -> None:
    module = build("hf_detr", network={"square": True})
    assert module.size_of(100, 300) == (64, 64)
    assert build("hf_detr").size_of(100, 300) == (35, 106)
    card = module.wrap(copy.deepcopy(module.network)).save(tmp_path / "model")
    model = family("hf_detr").load(card, tmp_path / "model")
    sample = one_sample(40, 120)
    prepared = model._prepare(sample)  # type: ignore[attr-defined]
    assert prepared.shape == (1, 64, 64)
    assert len(model.predict([sample])[0].detections) > 0


def test_a_network_of_one_input_size_refuses_others() -> None:
    with pytest.raises(ConfigError, match=r"augment\.sizes: expected none for RT-DETR"):
        build(
            "hf_detr",
            network_after={"name": "rt_detr:tiny"},
            network=None,
            augment={"sizes": [0.5]},
        )


def test_a_resnet_sees_grey_as_its_card_standardises_it(tmp_path: Path) -> None:
    module = build("resnet", network={"standardise": "half"}).eval()
    card = module.wrap(copy.deepcopy(module.network)).save(tmp_path / "model")
    model = family("resnet").load(card, tmp_path / "model")
    batch, seen = make_batch(count=4).part(0, 1), list[torch.Tensor]()
    network: Any = module.network
    network.conv1.register_forward_hook(lambda _m, given, _out: seen.append(given[0]))
    module(batch)
    torch.testing.assert_close(seen[0], (batch.pixels / 255 - 0.5).expand(-1, 3, -1, -1) / 0.5)
    sample = one_sample()
    pixels = model._pixels([model._prepare(sample)])  # type: ignore[attr-defined]
    grey = torch.from_numpy(sample.shown()) / 255
    torch.testing.assert_close(pixels[0, 0], (grey - 0.5) / 0.5)


def test_cards_of_before_are_standardised_as_imagenet() -> None:
    plain = build("resnet")
    before = {k: v for k, v in plain.card.architecture.items() if k != "standardise"}
    card = plain.card.model_copy(update={"architecture": before})
    assert ResNetArchitecture.of(card).standardise == "imagenet"
