"""Small Faster R-CNNs and classifiers with random weights whose scores and boxes spread."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from fracture_core.models.cards import ModelCard
from fracture_core.models.classifier import classifier_card
from fracture_core.models.efficientnet_gate import EfficientNetGateArchitecture
from fracture_core.models.families import family
from fracture_core.models.faster_rcnn_networks import FasterRcnnArchitecture, LightShape
from fracture_core.models.resnet import ResNetArchitecture
from fracture_core.models.retinanet_networks import RetinaNetArchitecture, RetinaNetShape
from fracture_core.models.torchvision_detector import TorchvisionArchitecture
from fracture_core.settings import settings
from fracture_core.types import Sample
from tests.support.yolo_files import image, sample

CLASSES = ("wrist", "elbow", "shoulder")
MIN_SIZE, MAX_SIZE = 160, 256
# On an image of one grey the anchors of a finer level tie, and the last digits decide.
LIGHT = LightShape(backbone_width=8, pyramid_width=16, head_width=32, anchor_sizes_px=(128,))


def saved(make: Callable[[], Any]) -> Callable[[Path], ModelCard]:
    """Puts the model that `make` gives into the library."""

    def add(folder: Path) -> ModelCard:
        model = make()
        card: ModelCard = model.save(settings().models / model.card.model_id)
        return card

    return add


def faster_rcnn(
    name: str = "fasterrcnn_mobilenet_v3_large_320_fpn",
    classes: tuple[str, ...] = CLASSES,
    *,
    spread: bool = True,
    light: LightShape | None = LIGHT,
) -> Any:
    light = light if name == "fasterrcnn_light" else None
    architecture = FasterRcnnArchitecture(name=name, max_size=MAX_SIZE, light=light)
    model = _detector("faster_rcnn", architecture, classes)
    if spread:
        _spread_detector(model._network)
    return model


def _detector(
    family_name: str, architecture: TorchvisionArchitecture, classes: tuple[str, ...]
) -> Any:
    card = ModelCard(
        model_id=architecture.name,
        title=architecture.name,
        family=family_name,
        task="detect",
        classes=classes,
        input_size=MIN_SIZE,
        needs_nms=True,
        architecture=architecture.model_dump(mode="json"),
    )
    return family(family_name).load(card, Path())


def light_faster_rcnn() -> Any:
    return faster_rcnn("fasterrcnn_light")


def mobile_faster_rcnn() -> Any:
    light = LightShape(
        backbone="mobilenet_v2", pyramid_width=16, head_width=32, anchor_sizes_px=(128,)
    )
    return faster_rcnn("fasterrcnn_light", light=light)


def retinanet(
    name: str = "retinanet_resnet50_fpn",
    classes: tuple[str, ...] = CLASSES,
    *,
    spread: bool = True,
    background: bool = True,
) -> Any:
    # On an image of one grey anchors of more levels would tie, as in the light Faster R-CNN.
    light = RetinaNetShape(backbone_width=8, pyramid_width=16, anchor_sizes_px=(64,))
    architecture = RetinaNetArchitecture(
        name=name,
        max_size=MAX_SIZE,
        background=background,
        light=light if name == "retinanet_light" else None,
    )
    model = _detector("retinanet", architecture, classes)
    if spread:
        _spread_anchors(model._network)
    return model


def mobile_classifier() -> Any:
    return _classifier("resnet", ResNetArchitecture(name="mobilenet_v2"), input_size=96)


def resnet() -> Any:
    architecture = ResNetArchitecture(name="resnet", block="basic", depths=(1, 1, 1, 1), width=8)
    return _classifier("resnet", architecture, input_size=96)


def gating_resnet() -> Any:
    """One that says by its first class that nothing is there."""
    model = resnet()
    architecture = {**model.card.architecture, "healthy": CLASSES[0]}
    facts = {"model_id": "gating", "architecture": architecture}
    return type(model)(model.card.model_copy(update=facts), model._network)


def efficientnet_gate(name: str = "efficientnet_b0") -> Any:
    architecture = EfficientNetGateArchitecture(name=name, hidden_width=32)
    return _classifier("efficientnet_gate", architecture, input_size=96)


def _classifier(family_name: str, architecture: Any, *, input_size: int) -> Any:
    card = classifier_card(
        family_name, architecture, CLASSES, model_id=family_name, title=family_name
    )
    card = card.model_copy(update={"input_size": input_size})
    model: Any = family(family_name).load(card, Path())
    network = model._network
    samples = [sample(image(96, 96, seed=seed)) for seed in range(8)]
    pixels = model._pixels([model._prepare(one) for one in samples])
    calibrate_norms(network, pixels)
    with torch.no_grad():
        last = network.fc if family_name == "resnet" else network.head[4]
        _spread(network, last, pixels, 1.5)
    return model


@torch.no_grad()
def calibrate_norms(network: nn.Module, pixels: torch.Tensor) -> None:
    """Let the batch norms measure a batch of (B, 3, h, w)."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            module.momentum = None
            module.reset_running_stats()
            module.train()
    network(pixels)
    network.eval()


@torch.no_grad()
def _spread_detector(network: Any) -> None:
    """Proposals of many certainties; scores from near 0 to near 1."""
    pixels = torch.stack([_pixels(160, seed) for seed in range(2)])
    calibrate_norms(network.backbone, pixels)
    predictor = network.roi_heads.box_predictor
    _spread(network, network.rpn.head.cls_logits, pixels, 2.0)
    _spread(network, network.rpn.head.bbox_pred, pixels, 0.3)
    _spread(network, predictor.cls_score, pixels, 2.5)
    _spread(network, predictor.bbox_pred, pixels, 1.0)


@torch.no_grad()
def _spread_anchors(network: Any) -> None:
    """Boxes that differ from their anchors; scores from near 0 to near 1, few of them high."""
    pixels = torch.stack([_pixels(160, seed) for seed in range(2)])
    calibrate_norms(network.backbone, pixels)
    head = network.head.classification_head
    _spread(network, head.cls_logits, pixels, 2.0)
    head.cls_logits.bias -= 5
    _spread(network, network.head.regression_head.bbox_reg, pixels, 0.3)


def _spread(network: Any, layer: nn.Module, pixels: torch.Tensor, deviation: float) -> None:
    """Centre a layer's outputs on 0, channel by channel, and scale them all."""
    outputs: list[torch.Tensor] = []
    with layer.register_forward_hook(lambda _layer, _inputs, output: outputs.append(output)):
        network(pixels)
    rows = torch.cat([output.movedim(1, -1).flatten(0, -2) for output in outputs])
    rows = rows - layer.bias
    gain = deviation / (rows - rows.mean(dim=0)).std()
    layer.weight.mul_(gain)
    layer.bias.copy_(-gain * rows.mean(dim=0))


@torch.no_grad()
def let_brightness_through(network: nn.Module, stem: nn.Conv2d, stem_norm: nn.Module) -> None:
    """Weights set by hand: the first channel carries what is near white, all others nothing.

    Every convolution passes its first channel on from the centre of its window.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.weight.zero_()
            if module.bias is not None:
                module.bias.zero_()
        if isinstance(module, nn.Conv2d):
            module.weight[0, 0, module.kernel_size[0] // 2, module.kernel_size[1] // 2] = 1
    centre = stem.kernel_size[0] // 2
    stem.weight[0, :, centre, centre] = 1
    # Normalised grey summed over three channels: white is 7.3, half grey 0.2.
    stem_norm.weight[0] = 5
    stem_norm.bias[0] = -20


def bright_square(height: int, width: int, corner: tuple[int, int], side: int) -> Sample:
    """A white square, its top left at (row, column), on a grey and noisy ground."""
    pixels = (image(height, width) // 2).astype(np.uint8)
    row, column = corner
    pixels[row : row + side, column : column + side] = 255
    return sample(pixels)


def _pixels(side: int, seed: int) -> torch.Tensor:
    return torch.from_numpy(image(side, side, seed=seed)).float().expand(3, -1, -1) / 255
