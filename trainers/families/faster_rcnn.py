"""torchvision's Faster R-CNN in training, with its own losses (Ren et al., NeurIPS 2015)."""

from typing import Any, Self

import torch
from torch import Tensor, nn
from torchvision.models import get_model_weights

from fracture_core.models.cards import ModelCard
from fracture_core.models.faster_rcnn import FasterRcnnModel
from fracture_core.models.faster_rcnn_networks import (
    INPUT_SIZES,
    FasterRcnnArchitecture,
    LightShape,
    build_network,
)
from fracture_core.models.faster_rcnn_networks import NAME as LIGHT
from fracture_core.models.packaged import PACKAGED
from fracture_core.nets.limits import check_name
from trainers.families.torchvision_detectors import (
    Kind,
    TorchvisionModule,
    architecture_of,
    targets_of,
)
from trainers.family_configs import FasterRcnnConfig
from trainers.networks import checked
from trainers.starts import (
    Start,
    begin_packaged,
    begin_trunk,
    mobile_in,
    open_start,
    packaged_name,
    take_over,
    taken_from,
)
from trainers.targets import targets_by_image
from trainers.training_module import Batch, Losses

_NORMS_TRAINED = "fasterrcnn_resnet50_fpn_v2"
_KIND = Kind(FasterRcnnArchitecture, LightShape, INPUT_SIZES)
_PARTS = {
    "loss_objectness": "objectness",
    "loss_rpn_box_reg": "proposal_box",
    "loss_classifier": "class",
    "loss_box_reg": "box",
}


class FasterRcnnModule(TorchvisionModule):
    """Trains both stages; their losses are of samples that torchvision draws at random.

    It draws them from torch's global generator. With a start the backbone's norms are fixed, as in
    torchvision, except in the variant v2 and in the light network.
    """

    def __init__(
        self, card: ModelCard, network: Any, notes: tuple[str, ...], *, fixed_norms: bool
    ) -> None:
        architecture = FasterRcnnArchitecture.of(card)
        super().__init__(card, architecture, network, notes, fixed_norms=fixed_norms)
        # Boxes are decoded in float32: in half precision they would be off by pixels.
        network.rpn.head.register_forward_hook(_in_float32)
        network.roi_heads.box_predictor.register_forward_hook(_in_float32)

    def forward(self, batch: Batch) -> Losses:
        ground_truths = targets_by_image(batch)
        targets = targets_of(ground_truths, first_class=1)
        images = self._images(batch, ground_truths)
        levels = self.network.backbone(images.tensors)
        proposals, first = self.network.rpn(images, levels, targets)
        _, second = self.network.roi_heads(levels, proposals, images.image_sizes, targets)
        given = {**first, **second}
        parts = {name: given[theirs] for theirs, name in _PARTS.items()}
        total = torch.stack(list(parts.values())).sum()
        return {"loss": total, **{name: part.detach() for name, part in parts.items()}}

    def wrap(self, network: nn.Module) -> FasterRcnnModel:
        return FasterRcnnModel(self._card, network.eval().requires_grad_(False))

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        # torchvision computes losses in training mode only. This sets the two modules alone: the
        # norms below them follow `mode`.
        self.network.rpn.training = True
        self.network.roi_heads.training = True
        return self


def build(config: FasterRcnnConfig, classes: tuple[str, ...], model_id: str) -> FasterRcnnModule:
    """Build the training module.

    `config.start` is empty (random weights); the name of torchvision's weights, such as COCO_V1; or
    a model of the library or a file. The backbone of the light network also begins from a ResNet,
    or from a small network: a classifier's or a packaged one ("mobilenet_v2:IMAGENET1K"). Raises
    ConfigError and WeightsError.
    """
    given = config.network.given()
    name = str(given.get("name", config.network.usual("name")))
    packaged = config.start if config.start in PACKAGED else ""
    if packaged:
        check_name("network.name", name, (LIGHT,))
        packaged_name(packaged, given, "backbone")
    start = None if packaged else _start(config.start, name)
    architecture = architecture_of(_KIND, _known(name, start), given, config)
    count, size = len(classes), config.input_size
    network = build_network(architecture, class_count=count, min_size=size).requires_grad_(True)
    if packaged:
        notes = begin_packaged(network.backbone.body, packaged)
    else:
        notes = _begin(network, start, classes)
    card = ModelCard(
        model_id=model_id,
        title=f"Faster R-CNN, {architecture.name}",
        family="faster_rcnn",
        task="detect",
        classes=classes,
        input_size=size,
        needs_nms=True,
        architecture=architecture.model_dump(mode="json"),
    )
    fixed = start is not None and architecture.name not in (_NORMS_TRAINED, LIGHT)
    return FasterRcnnModule(card, network, notes, fixed_norms=fixed)


def _start(ref: str, name: str) -> Start | None:
    if not ref:
        return None
    if name != LIGHT and ref in get_model_weights(name).__members__:
        return taken_from(FasterRcnnModel.from_name(f"{name}:{ref}"))
    others = ("resnet", "efficientnet_gate") if name == LIGHT else ()
    families = ("faster_rcnn", *others)
    return open_start(ref, families, names="COCO_V1")


def _begin(network: Any, start: Start | None, classes: tuple[str, ...]) -> tuple[str, ...]:
    if start is None:
        return ()
    if start.card.family == "faster_rcnn":
        return take_over(network, start, classes, heads=("roi_heads.box_predictor.",))
    prefix = "extractor." if mobile_in(start) else ""
    return begin_trunk(network.backbone.body, start, classes, prefix)


def _known(name: str, start: Start | None) -> dict[str, Any]:
    """The part of the architecture that the start decides."""
    if start is None:
        return {"name": name, "light": {}} if name == LIGHT else {"name": name}
    facts = start.card.architecture
    if start.card.family == "faster_rcnn":
        return dict(facts)
    mobile = mobile_in(start)
    shape = {"backbone": mobile or facts["name"]}
    if mobile is None:
        shape["backbone_width"] = facts["width"]
    return {"name": name, "light": checked(LightShape, shape).model_dump(mode="json")}


def _in_float32(_module: nn.Module, _given: object, predictions: Any) -> Any:
    """A hook that turns a head's output, two tensors or two lists of tensors, into float32."""
    return tuple(
        answer.float() if isinstance(answer, Tensor) else [one.float() for one in answer]
        for answer in predictions
    )
