"""torchvision's Faster R-CNN with its own losses (Ren et al. 2015)."""

from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import get_model_weights
from torchvision.models.detection.image_list import ImageList

from fracture_core.models.cards import ModelCard
from fracture_core.models.faster_rcnn import FasterRcnnModel
from fracture_core.models.faster_rcnn_light import NAME as LIGHT
from fracture_core.models.faster_rcnn_light import LightShape
from fracture_core.models.faster_rcnn_networks import (
    INPUT_SIZES,
    FasterRcnnArchitecture,
    build_network,
)
from fracture_core.models.packaged import PACKAGED
from fracture_core.nets.limits import check_name
from trainers.batches import Batch
from trainers.classification import stages_by_stride
from trainers.family_configs import FasterRcnnConfig
from trainers.fixed_norms import fix_norms
from trainers.networks import FasterRcnnNetwork, Scalar, checked
from trainers.pixels import Normalise, valid_pixels
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
from trainers.trainee import Losses, Trainee
from trainers.truths import truth_a_picture

_NORMS_TRAINED = "fasterrcnn_resnet50_fpn_v2"
_LIGHT_SHAPE = ("backbone", "backbone_width", "pyramid_width", "head_width")
_ANCHORS = ("levels", "anchor_px")
_PARTS = {
    "loss_objectness": "objectness",
    "loss_rpn_box_reg": "proposal_box",
    "loss_classifier": "class",
    "loss_box_reg": "box",
}


class FasterRcnnTrainee(Trainee):
    """Both stages, each judged on samples that torchvision draws from the global generator.

    With a start the backbone's norms are fixed, but for the variant v2, as torchvision has it.
    """

    def __init__(
        self, card: ModelCard, network: Any, notes: tuple[str, ...], *, fixed_norms: bool
    ) -> None:
        super().__init__()
        if fixed_norms:
            fix_norms(network.backbone)
        self.network: Any = network
        self.notes = notes
        self._card = card
        self._architecture = FasterRcnnArchitecture.of(card)
        self._normalise = Normalise()
        self._stride: int = network.transform.size_divisible
        # Boxes are not decoded in a half precision: that is off by pixels.
        network.rpn.head.register_forward_hook(_in_float32)
        network.roi_heads.box_predictor.register_forward_hook(_in_float32)

    @property
    def card(self) -> ModelCard:
        return self._card

    def size_of(self, height: int, width: int) -> tuple[int, int]:
        sides = height, width
        scale = min(self._card.input_size / min(sides), self._architecture.max_size / max(sides))
        scaled_height, scaled_width = (max(1, int(side * scale)) for side in sides)
        return scaled_height, scaled_width

    def forward(self, batch: Batch) -> Losses:
        pixels = self._normalise(batch.pixels, valid_pixels(batch))
        truths = truth_a_picture(batch)
        targets = [{"boxes": truth.boxes_xyxy, "labels": truth.labels + 1} for truth in truths]
        sizes = [(truth.height, truth.width) for truth in truths]
        images = ImageList(self._padded(pixels), sizes)
        levels = self.network.backbone(images.tensors)
        proposals, first = self.network.rpn(images, levels, targets)
        _, second = self.network.roi_heads(levels, proposals, sizes, targets)
        given = {**first, **second}
        parts = {name: given[theirs] for theirs, name in _PARTS.items()}
        total = torch.stack(list(parts.values())).sum()
        return {"loss": total, **{name: part.detach() for name, part in parts.items()}}

    def wrap(self, network: nn.Module) -> FasterRcnnModel:
        return FasterRcnnModel(self._card, network.eval().requires_grad_(False))

    def stages(self) -> Sequence[nn.Module]:
        """The pyramid belongs to the last stage."""
        body, pyramid = self.network.backbone.body, self.network.backbone.fpn
        if "stem" in body:
            parts = list(body.children())
        elif "layer1" in body:
            stem = nn.ModuleList([body["conv1"], body["bn1"]])
            parts = [stem, *(body[f"layer{number}"] for number in range(1, 5))]
        else:
            parts = stages_by_stride(list(body.children()))
        return [*parts[:-1], nn.ModuleList([parts[-1], pyramid])]

    def compile_network(self) -> None:
        """The backbone alone: what follows has other shapes with every batch."""
        self.network.backbone.compile()

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        # torchvision gives losses in training only; norms lie deeper and follow the mode.
        self.network.rpn.training = True
        self.network.roi_heads.training = True
        return self

    def _padded(self, pixels: Tensor) -> Tensor:
        """To whole cells of the deepest level, as torchvision does."""
        height, width = pixels.shape[-2:]
        return functional.pad(pixels, (0, -width % self._stride, 0, -height % self._stride))


def build(config: FasterRcnnConfig, classes: tuple[str, ...], model_id: str) -> FasterRcnnTrainee:
    """`start`: "" = random; torchvision's weights by their name, such as COCO_V1; a model of the
    library or a file. The light network's backbone begins from a ResNet, or from a small network
    of a classifier or of a package ("mobilenet_v2:IMAGENET1K").

    `network.levels` are those of the light network's pyramid, the last of stride 32, and
    `network.anchor_px` is the size of the finest level's anchors, doubled from level to level.
    """
    given = config.network.given()
    name = str(given.get("name", config.network.usual("name")))
    packaged = config.start if config.start in PACKAGED else ""
    if packaged:
        check_name("network.name", name, (LIGHT,))
        packaged_name(packaged, given, "backbone")
    start = None if packaged else _start(config.start, name)
    architecture = _architecture(config, start, name, given)
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
    return FasterRcnnTrainee(card, network, notes, fixed_norms=fixed)


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


def _architecture(
    config: FasterRcnnConfig, start: Start | None, name: str, given: dict[str, Scalar]
) -> FasterRcnnArchitecture:
    known = _known(name, start)
    shape: dict[str, object]
    shape = {key: value for key, value in given.items() if key in _LIGHT_SHAPE}
    plain = {key: value for key, value in given.items() if key not in (*_LIGHT_SHAPE, *_ANCHORS)}
    if any(key in given for key in _ANCHORS):
        shape["anchor_sizes_px"] = _anchor_sizes(config.network)
    if shape or (name == LIGHT and "light" not in known):
        known["light"] = checked(LightShape, {**(known.get("light") or {}), **shape})
    usual, longest = INPUT_SIZES[known["name"]]
    known["max_size"] = config.input_size * longest // usual
    facts = {"weights": "", "seed": config.seed}
    return checked(FasterRcnnArchitecture, {**known, **plain, **facts})


def _anchor_sizes(network: FasterRcnnNetwork) -> tuple[int, ...]:
    levels = network.levels or network.usual("levels")
    finest = network.anchor_px or network.usual("anchor_px")
    return tuple(finest * 2**level for level in range(levels))


def _known(name: str, start: Start | None) -> dict[str, Any]:
    """What the start settles of the architecture."""
    if start is None:
        return {"name": name}
    facts = start.card.architecture
    if start.card.family == "faster_rcnn":
        return dict(facts)
    mobile = mobile_in(start)
    shape = {"backbone": mobile or facts["name"]}
    if mobile is None:
        shape["backbone_width"] = facts["width"]
    return {"name": name, "light": checked(LightShape, shape).model_dump(mode="json")}


def _in_float32(_module: nn.Module, _given: object, answers: Any) -> Any:
    """Two tensors, or two lists of them."""
    return tuple(
        answer.float() if isinstance(answer, Tensor) else [one.float() for one in answer]
        for answer in answers
    )
