"""The losses of training against their sources, and against numbers worked out by hand."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from fracture_core.errors import ConfigError
from fracture_core.models.hf_architectures import ARCHITECTURES
from tests.support.training_modules import (
    CLASSES,
    DETECTORS,
    build,
    make_batch,
    without_ground_truth,
)
from trainers.classification import ClassifierModule, HybridLoss
from trainers.families import build_module
from trainers.family_configs import make_config
from trainers.training_module import NOTHING, Batch, TrainingModule

pytestmark = pytest.mark.usefixtures("one_thread")


def padded_batch(sides: list[tuple[int, int]]) -> Batch:
    """Images of several sizes, their boxes within them and 0 beside them."""
    batch = make_batch()
    sizes = torch.tensor(sides)
    pixels = torch.zeros_like(batch.pixels)
    for row, (height, width) in enumerate(sides):
        pixels[row, :, :height, :width] = batch.pixels[row, :, :height, :width]
    most = sizes.flip(1).repeat(1, 2)[:, None]
    return Batch(
        pixels=pixels,
        sizes=sizes,
        boxes_xyxy=batch.boxes_xyxy.minimum(most),
        labels=batch.labels,
        image_classes=batch.image_classes,
        rows=batch.rows,
    )


def gt_of(batch: Batch, row: int) -> tuple[Tensor, Tensor]:
    there = batch.labels[row] != NOTHING
    return batch.labels[row][there], batch.boxes_xyxy[row][there]


def labels_for_transformers(batch: Batch) -> list[dict[str, Tensor]]:
    found = []
    for row in range(len(batch)):
        labels, (x1, y1, x2, y2) = gt_of(batch, row)[0], gt_of(batch, row)[1].unbind(1)
        height, width = batch.sizes[row].tolist()
        boxes = [(x1 + x2) / 2 / width, (y1 + y2) / 2 / height]
        boxes += [(x2 - x1) / width, (y2 - y1) / height]
        found.append({"class_labels": labels, "boxes": torch.stack(boxes, dim=1)})
    return found


def imagenet_pixels(batch: Batch) -> Tensor:
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    pixels = (batch.pixels / 255 - mean) / std
    for row, (height, width) in enumerate(batch.sizes.tolist()):
        pixels[row, :, height:] = 0
        pixels[row, :, :, width:] = 0
    return pixels


def mask_of(batch: Batch) -> Tensor:
    mask = torch.zeros(len(batch), *batch.pixels.shape[-2:], dtype=torch.int64)
    for row, (height, width) in enumerate(batch.sizes.tolist()):
        mask[row, :height, :width] = 1
    return mask


EQUAL, MIXED = [(64, 64)] * 4, [(64, 64), (64, 40), (33, 64), (64, 64)]


@pytest.mark.parametrize("sides", [EQUAL, MIXED])
def test_detr_is_judged_as_transformers_judges_it(sides: list[tuple[int, int]]) -> None:
    module = build("hf_detr", network={"auxiliary_loss": False})
    batch = padded_batch(sides)
    theirs = module.network(
        imagenet_pixels(batch), pixel_mask=mask_of(batch), labels=labels_for_transformers(batch)
    )
    ours = module(batch)
    torch.testing.assert_close(ours["loss"], theirs.loss, rtol=1e-5, atol=1e-5)
    for name, key in (("class", "loss_ce"), ("l1", "loss_bbox"), ("giou", "loss_giou")):
        torch.testing.assert_close(ours[name], theirs.loss_dict[key], rtol=1e-5, atol=1e-5)


def test_every_layer_of_detr_is_judged_as_transformers_judges_it() -> None:
    """The states between layers are taken as they are: its own decoder norms them on the way."""
    module, batch = build("hf_detr"), padded_batch(MIXED)
    network: Any = module.network
    states: list[Tensor] = []
    hooks = [
        layer.register_forward_hook(lambda _m, _i, out: states.append(out))
        for layer in network.model.decoder.layers
    ]
    answer = network(imagenet_pixels(batch), pixel_mask=mask_of(batch))
    for hook in hooks:
        hook.remove()
    layers = network.model.decoder.layernorm(torch.stack(states))
    classes = network.class_labels_classifier(layers)
    boxes = network.bbox_predictor(layers).sigmoid()
    network.config.auxiliary_loss = True
    labels = labels_for_transformers(batch)
    total, *_ = network.loss_function(
        answer.logits, labels, "cpu", answer.pred_boxes, network.config, classes, boxes
    )
    network.config.auxiliary_loss = False
    torch.testing.assert_close(module(batch)["loss"], total, rtol=1e-5, atol=1e-5)


def test_yolos_is_judged_as_transformers_judges_it() -> None:
    module, batch = other_detr("yolos"), make_batch()
    network: Any = module.network
    theirs = network(imagenet_pixels(batch), labels=labels_for_transformers(batch))
    torch.testing.assert_close(module(batch)["loss"], theirs.loss, rtol=1e-5, atol=1e-5)


OWN_LOSS = [name for name, one in ARCHITECTURES.items() if one.scores == "sigmoid"]


def other_detr(model_type: str, **network: Any) -> TrainingModule:
    values = {"family": "hf_detr", "data": "somewhere", "input_size": 64}
    config = make_config({**values, "network": {"name": f"{model_type}:tiny", **network}}, "test")
    return build_module(config, CLASSES, "trained").train()


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("model_type", OWN_LOSS)
def test_other_detrs_learn_by_the_loss_of_transformers(model_type: str, half: bool) -> None:
    module, batch = other_detr(model_type), padded_batch(EQUAL)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
        losses = module(batch)
    assert losses["loss"].isfinite()
    assert losses["loss"].dtype == torch.float32
    assert {"class", "l1", "giou"} < losses.keys()
    losses["loss"].backward()
    without = [name for name, p in module.named_parameters() if p.grad is None]
    assert without == []
    assert len(module.stages()) == 5
    assert module.eval()(without_ground_truth(batch))["loss"].isfinite()


def test_a_loss_of_its_own_is_not_weighed_by_ours() -> None:
    with pytest.raises(ConfigError, match=r"l1_weight.*its default"):
        build("hf_detr", network={"name": "rt_detr:tiny"}, l1_weight=7.0)
    with pytest.raises(ConfigError, match="auxiliary_loss"):
        other_detr("rt_detr", auxiliary_loss=False)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("sides", [EQUAL, [(64, 48), (48, 64), (64, 48), (48, 60)]])
def test_faster_rcnn_is_judged_as_torchvision_judges_it(
    sides: list[tuple[int, int]], training: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    least = min(min(pair) for pair in sides)
    # Images of this shorter side are not scaled by the library.
    batch = padded_batch(sides)
    module = build("faster_rcnn", input_size=least, network={"max_size": 64})
    module.train(training)
    # In the library's order of steps: another last digit suppresses other proposals.
    normalise: Any = module._normalise
    monkeypatch.setattr(normalise, "forward", lambda _grey, _valid: imagenet_pixels(batch))
    torch.manual_seed(5)
    ours = module(batch)

    network: Any = module.network
    network.train()
    if not training:
        for layer in network.modules():
            if "Norm" in type(layer).__name__:
                layer.eval()
    # In training it draws one of its sizes, which would put the samples off.
    network.transform.eval()
    images = [
        (batch.pixels[row, :, :height, :width] / 255).expand(3, -1, -1)
        for row, (height, width) in enumerate(sides)
    ]
    targets = [
        {"labels": gt_of(batch, row)[0] + 1, "boxes": gt_of(batch, row)[1]}
        for row in range(len(batch))
    ]
    torch.manual_seed(5)
    theirs = network(images, targets)
    torch.testing.assert_close(ours["loss"], torch.stack(list(theirs.values())).sum())
    torch.testing.assert_close(ours["class"], theirs["loss_classifier"].detach())
    torch.testing.assert_close(ours["objectness"], theirs["loss_objectness"].detach())


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("sides", [EQUAL, [(64, 48), (48, 64), (64, 48), (48, 60)]])
def test_retinanet_is_judged_as_torchvision_judges_it(
    sides: list[tuple[int, int]], training: bool
) -> None:
    least = min(min(pair) for pair in sides)
    # Images of this shorter side are not scaled by the library.
    batch = padded_batch(sides)
    module = build("retinanet", input_size=least, network={"max_size": 64}).train(training)
    ours = module(batch)

    network: Any = module.network
    # It gives losses in training only; norms lie deeper and stay as they are.
    network.training = True
    network.transform.eval()
    images = [
        (batch.pixels[row, :, :height, :width] / 255).expand(3, -1, -1)
        for row, (height, width) in enumerate(sides)
    ]
    targets = [
        {"labels": gt_of(batch, row)[0] + 1, "boxes": gt_of(batch, row)[1]}
        for row in range(len(batch))
    ]
    theirs = network(images, targets)
    torch.testing.assert_close(ours["class"], theirs["classification"].detach())
    torch.testing.assert_close(ours["box"], theirs["bbox_regression"].detach())
    torch.testing.assert_close(ours["loss"], sum(theirs.values()))


def test_the_focal_loss_of_a_retinanet_that_sees_nothing() -> None:
    """Every anchor scores 0.01 for each of the classes and the background, and none is right."""
    module = build("retinanet")
    with torch.no_grad():
        module.network.get_submodule("head.classification_head.cls_logits").weight.zero_()
    losses = module(without_ground_truth(make_batch()))
    anchors = 9 * (8 * 8 + 4 * 4 + 2 * 2)
    each = 0.75 * 0.01**2 * -math.log(0.99)
    assert losses["class"].item() == pytest.approx(anchors * (len(CLASSES) + 1) * each, rel=1e-4)
    assert losses["box"].item() == 0


def test_a_retinanets_loss_falls_on_four_images() -> None:
    module, batch = build("retinanet"), make_batch()
    optimiser = torch.optim.AdamW(module.parameters(), lr=2e-3)
    seen: list[float] = []
    for _ in range(30):
        loss = module(batch)["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        seen.append(loss.item())
    assert all(math.isfinite(value) for value in seen)
    assert seen[-1] < 0.7 * seen[0]


@pytest.mark.parametrize("name", DETECTORS)
def test_boxes_without_area_count_for_nothing(name: str) -> None:
    module, batch = build(name).eval(), make_batch()
    boxes, labels = batch.boxes_xyxy.clone(), batch.labels.clone()
    boxes[1, 1], labels[1, 1] = torch.tensor([20.0, 20.0, 20.0, 50.0]), 1
    # Before a real one, too.
    boxes[3, 1], labels[3, 1] = boxes[3, 0], labels[3, 0]
    boxes[3, 0] = torch.tensor([5.0, 9.0, 30.0, 9.0])
    thin = Batch(batch.pixels, batch.sizes, boxes, labels, batch.image_classes, batch.rows)
    torch.manual_seed(2)
    wanted = module(batch)["loss"]
    torch.manual_seed(2)
    torch.testing.assert_close(module(thin)["loss"], wanted)


def test_padding_does_not_change_what_scratch_detr_is_told() -> None:
    """The grey beside an image is not looked at."""
    module, batch = build("scratch_detr").eval(), padded_batch(MIXED)
    dirty = batch.pixels.clone()
    dirty[1, :, :, 40:] = 200
    other = Batch(dirty, *batch[1:])
    torch.testing.assert_close(module(other)["loss"], module(batch)["loss"])


LOGITS = torch.tensor([[0.5, 0.25, 0.25], [0.2, 0.7, 0.1], [0.6, 0.2, 0.2], [1.0, 0, 0]]).log()
# The own class of the first has 0.5, of the second 0.7, of the third 0.2; the fourth is unknown.
OWN = torch.tensor([0, 1, 2, NOTHING])
LOSSES = (-math.log(0.5), -math.log(0.7), -math.log(0.2))


def hybrid(
    share: float, gamma: float, of: str, weights: tuple[float, ...], *, weighted: bool = False
) -> dict[str, Tensor]:
    loss = HybridLoss(
        torch.tensor(weights),
        focal_share=share,
        focal_gamma=gamma,
        focal_of=of,
        focal_weighted=weighted,
    )
    found: dict[str, Tensor] = loss(LOGITS.clamp(min=-50), OWN)
    return found


def test_hybrid_loss_by_hand() -> None:
    a, b, c = LOSSES
    found = hybrid(0.6, 2.0, "sample", (1.0, 2.0, 3.0))
    weighted = (1 * a + 2 * b + 3 * c) / 6
    focal = (0.5**2 * a + 0.3**2 * b + 0.8**2 * c) / 3
    assert found["cross_entropy"].item() == pytest.approx(weighted, rel=1e-5)
    assert found["focal"].item() == pytest.approx(focal, rel=1e-5)
    assert found["loss"].item() == pytest.approx(0.4 * weighted + 0.6 * focal, rel=1e-5)


def test_both_forms_of_r4s_loss_by_hand() -> None:
    """Class weights 1, 2 and 3; the losses of the three images are −ln 0.5, −ln 0.7, −ln 0.2."""
    # (1 · 0.69315 + 2 · 0.35667 + 3 · 1.60944) / 6
    ce = 1.039135
    # (1 − e^−1.039135)² · 1.039135
    letter = hybrid(0.6, 2.0, "batch", (1.0, 2.0, 3.0), weighted=True)
    assert letter["cross_entropy"].item() == pytest.approx(ce, abs=1e-5)
    assert letter["focal"].item() == pytest.approx(0.433969, abs=1e-5)
    assert letter["loss"].item() == pytest.approx(0.4 * ce + 0.6 * 0.433969, abs=1e-5)
    # (1 · 0.5² · 0.69315 + 2 · 0.3² · 0.35667 + 3 · 0.8² · 1.60944) / 6
    mended = hybrid(0.6, 2.0, "sample", (1.0, 2.0, 3.0), weighted=True)
    assert mended["focal"].item() == pytest.approx(0.554602, abs=1e-5)
    assert mended["loss"].item() == pytest.approx(0.4 * ce + 0.6 * 0.554602, abs=1e-5)


@pytest.mark.parametrize("of", ["sample", "batch"])
def test_a_batch_of_unknown_classes_has_no_weighted_loss(of: str) -> None:
    loss = HybridLoss(
        torch.ones(3), focal_share=0.6, focal_gamma=2, focal_of=of, focal_weighted=True
    )
    assert loss(LOGITS, torch.full((4,), NOTHING))["loss"].item() == 0


def test_the_focal_term_of_the_batch_without_class_weights() -> None:
    mean = sum(LOSSES) / 3
    found = hybrid(0.6, 2.0, "batch", (1.0, 1.0, 1.0))
    assert found["focal"].item() == pytest.approx((1 - math.exp(-mean)) ** 2 * mean, rel=1e-5)
    # One image alone is its own batch.
    one = HybridLoss(torch.ones(3), focal_share=1, focal_gamma=2, focal_of="batch")
    each = HybridLoss(torch.ones(3), focal_share=1, focal_gamma=2, focal_of="sample")
    torch.testing.assert_close(one(LOGITS[:1], OWN[:1]), each(LOGITS[:1], OWN[:1]))


def test_without_a_focal_share_it_is_torchs_cross_entropy() -> None:
    weights = torch.tensor([0.5, 2.0, 7.0])
    logits = torch.randn(9, 3)
    own = torch.randint(0, 3, (9,))
    loss = HybridLoss(weights, focal_share=0, focal_gamma=2, focal_of="sample")
    wanted = torch.nn.functional.cross_entropy(logits, own, weights)
    torch.testing.assert_close(loss(logits, own)["loss"], wanted)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("of", ["sample", "batch"])
def test_a_image_without_any_loss_has_a_finite_slope(gamma: float, of: str) -> None:
    loss = HybridLoss(torch.ones(3), focal_share=0.5, focal_gamma=gamma, focal_of=of)
    logits = torch.tensor([[200.0, 0.0, 0.0]], requires_grad=True)
    loss(logits, torch.tensor([0]))["loss"].backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def classifier(**changes: Any) -> ClassifierModule:
    module = build("resnet", **changes)
    assert isinstance(module, ClassifierModule)
    return module


def test_class_weights_are_balanced_then_multiplied() -> None:
    module = classifier(class_weights="balanced", class_multipliers={"chip": 3.0, "crack": 0.5})
    with pytest.raises(RuntimeError, match="set_class_counts"):
        module(make_batch())
    module.set_class_counts([10, 40, 0])
    # 50 images, three classes; a class without images counts as if it had one.
    wanted = (0.5 * 50 / 30, 50 / 120, 3 * 50 / 3)
    assert module.class_weights == pytest.approx(wanted)
    assert module(make_batch())["loss"].isfinite()


def test_equal_class_weights_are_multiplied_alone() -> None:
    module = classifier(class_multipliers={"break": 2.0})
    module.set_class_counts([1, 100, 5])
    assert module.class_weights == (1.0, 2.0, 1.0)
    with pytest.raises(ValueError, match="expected 3 counts, found 2"):
        module.set_class_counts([1, 2])


def test_multipliers_are_applied_where_the_classes_exist() -> None:
    module = classifier(class_multipliers={"Crack": 2.0, "chip": 3.0})
    assert module.class_weights == (1.0, 1.0, 3.0)
    assert module.notes[-1].endswith("has no such class: Crack.")
    with pytest.raises(ConfigError, match=r"class_multipliers\.chip.*finite"):
        classifier(class_multipliers={"chip": -1.0})


def test_images_of_unknown_class_count_for_nothing() -> None:
    module, batch = classifier().eval(), make_batch()
    known = batch.part(3, 4)
    both = Batch(*(torch.cat([one, two]) for one, two in zip(known, batch.part(2, 3), strict=True)))
    torch.testing.assert_close(module(both)["loss"], module(known)["loss"])
    assert CLASSES[int(known.image_classes[0])] == "break"
