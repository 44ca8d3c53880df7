"""torchvision's RetinaNet in training, with its own focal loss (Lin et al., ICCV 2017)."""

from typing import Any

from torch import nn
from torchvision.models import get_model_weights

from fracture_core.models.cards import ModelCard
from fracture_core.models.retinanet import RetinaNetModel
from fracture_core.models.retinanet_networks import (
    CLASS_HEAD,
    INPUT_SIZES,
    LIGHT,
    RetinaNetArchitecture,
    RetinaNetShape,
    build_network,
)
from trainers.families.torchvision_detectors import (
    Kind,
    TorchvisionModule,
    architecture_of,
    targets_of,
)
from trainers.family_configs import RetinaNetConfig
from trainers.starts import Start, open_start, take_over, taken_from
from trainers.targets import targets_by_image
from trainers.training_module import Batch, Losses

_FIXED_NORMS = "retinanet_resnet50_fpn"
_KIND = Kind(RetinaNetArchitecture, RetinaNetShape, INPUT_SIZES)


class RetinaNetModule(TorchvisionModule):
    """Trains on every anchor: its classes by the focal loss, and its box by L1 or by GIoU.

    The box loss is GIoU in the variant v2 and in the light network. With a start the norms of the
    first variant are fixed, as in torchvision.
    """

    def __init__(
        self, card: ModelCard, network: Any, notes: tuple[str, ...], *, fixed_norms: bool
    ) -> None:
        architecture = RetinaNetArchitecture.of(card)
        super().__init__(card, architecture, network, notes, fixed_norms=fixed_norms)
        self._first_class = int(architecture.background)

    def forward(self, batch: Batch) -> Losses:
        ground_truths = targets_by_image(batch)
        images = self._images(batch, ground_truths)
        levels = list(self.network.backbone(images.tensors).values())
        # In half precision anchors and boxes would be off by pixels.
        predictions = {name: answer.float() for name, answer in self.network.head(levels).items()}
        anchors = self.network.anchor_generator(images, [level.float() for level in levels])
        targets = targets_of(ground_truths, self._first_class)
        parts = self.network.compute_loss(targets, predictions, anchors)
        focal, box = parts["classification"], parts["bbox_regression"]
        return {"loss": focal + box, "class": focal.detach(), "box": box.detach()}

    def wrap(self, network: nn.Module) -> RetinaNetModel:
        return RetinaNetModel(self._card, network.eval().requires_grad_(False))


def build(config: RetinaNetConfig, classes: tuple[str, ...], model_id: str) -> RetinaNetModule:
    """Build the training module.

    `config.start` is empty (random weights); the name of torchvision's weights, such as COCO_V1; or
    a RetinaNet of the library or a file. Raises ConfigError and WeightsError.
    """
    name = str(config.network.name or config.network.usual("name"))
    start = _start(config.start, name)
    known: dict[str, Any] = {"name": name} if start is None else dict(start.card.architecture)
    if name == LIGHT:
        known.setdefault("light", {})
    architecture = architecture_of(_KIND, known, config.network.given(), config)
    network = build_network(architecture, class_count=len(classes), min_size=config.input_size)
    network.requires_grad_(True)
    notes = () if start is None else take_over(network, start, classes, heads=(CLASS_HEAD,))
    card = ModelCard(
        model_id=model_id,
        title=f"RetinaNet, {architecture.name}",
        family="retinanet",
        task="detect",
        classes=classes,
        input_size=config.input_size,
        needs_nms=True,
        architecture=architecture.model_dump(mode="json"),
    )
    fixed = start is not None and architecture.name == _FIXED_NORMS
    return RetinaNetModule(card, network, notes, fixed_norms=fixed)


def _start(ref: str, name: str) -> Start | None:
    if not ref:
        return None
    if name != LIGHT and ref in get_model_weights(name).__members__:
        return taken_from(RetinaNetModel.from_name(f"{name}:{ref}"))
    return open_start(ref, ("retinanet",), names="COCO_V1")
