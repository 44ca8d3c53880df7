"""Our own DETR in training, with the set loss of its paper (Carion et al. 2020)."""

import dataclasses
from collections.abc import Sequence
from typing import cast

from torch import nn

from fracture_core.errors import ConfigError
from fracture_core.models.adapter import drawn_from
from fracture_core.models.cards import ModelCard
from fracture_core.models.packaged import PACKAGED, known_weights
from fracture_core.models.scratch_detr import ScratchDetrModel
from fracture_core.nets.detr import Detr, DetrArchitecture, build_detr
from fracture_core.nets.pretrained import imagenet_state
from fracture_core.nets.resnet import RESNETS
from trainers.family_configs import ScratchDetrConfig
from trainers.frozen_batch_norm import fix_norms
from trainers.networks import checked
from trainers.packed import Normalise, valid_where_padded
from trainers.starts import (
    Start,
    begin_packaged,
    begin_trunk,
    mobile_in,
    open_start,
    packaged_name,
    take_over,
)
from trainers.targets import build_criterion, set_losses, set_targets
from trainers.training_module import Batch, Losses, TrainingModule

_BEGUN_FROM = ("scratch_detr", "resnet", "faster_rcnn", "efficientnet_gate")


class ScratchDetrModule(TrainingModule):
    """Trains a `Detr`; images that are smaller than their batch are masked."""

    network: Detr

    def __init__(
        self, config: ScratchDetrConfig, card: ModelCard, network: Detr, notes: tuple[str, ...]
    ) -> None:
        super().__init__()
        self.network = network
        self.notes = notes
        self._card = card
        self._normalise = Normalise()
        self._criterion = build_criterion(config.set_loss, len(card.classes))
        if card.architecture["frozen_norm"]:
            fix_norms(network.backbone)

    @property
    def card(self) -> ModelCard:
        return self._card

    def size_of(self, height: int, width: int) -> tuple[int, int]:
        return self._card.input_size, self._card.input_size

    def forward(self, batch: Batch) -> Losses:
        valid = valid_where_padded(batch)
        output = self.network(self._normalise(batch.pixels), valid)
        return set_losses(self._criterion(output, set_targets(batch)))

    def wrap(self, network: nn.Module) -> ScratchDetrModel:
        return ScratchDetrModel(self._card, cast(Detr, network))

    def stages(self) -> Sequence[nn.Module]:
        return self.network.backbone.stages()

    def plain_name(self, name: str) -> str:
        return name.replace("stem.0.", "conv1.").replace("stem.1.", "bn1.")


def build(config: ScratchDetrConfig, classes: tuple[str, ...], model_id: str) -> ScratchDetrModule:
    """Build the training module.

    `config.start` is empty (random weights); the name of torchvision's weights for the ResNet or of
    packaged ones ("efficientnet_lite0:IMAGENET1K"); or a DETR of this family, from the library or a
    file. A ResNet, a light Faster R-CNN or a classifier on a small network gives the backbone only.
    With a start the backbone's norms are fixed, unless the config or a DETR that it starts from
    says otherwise. Raises ConfigError and WeightsError.
    """
    given = config.network.given()
    packaged = config.start if config.start in PACKAGED else ""
    packaged_name(packaged, given, "backbone")
    backbone = str(given.get("backbone", config.network.usual("backbone")))
    imagenet = _imagenet_name(config.start, backbone)
    start = None
    if config.start and not imagenet and not packaged:
        start = open_start(config.start, _BEGUN_FROM, names="IMAGENET1K_V2")
    facts = {"frozen_norm": bool(config.start), **_facts_of(start), **given}
    facts |= {"class_count": len(classes), "in_channels": 3}
    architecture = checked(DetrArchitecture, facts)
    if imagenet:
        # Downloaded here, because other threads wait while `drawn_from` holds the generator.
        imagenet_state(architecture.backbone, imagenet)
    with drawn_from(config.seed):
        network = build_detr(architecture, backbone_weights=imagenet or None)
    if packaged:
        notes = begin_packaged(network.backbone, packaged)
    else:
        notes = _begin(network, start, classes)
    card = ModelCard(
        model_id=model_id,
        title=f"DETR from scratch, {architecture.backbone}",
        family="scratch_detr",
        task="detect",
        classes=classes,
        input_size=config.input_size,
        needs_nms=False,
        architecture=dataclasses.asdict(architecture),
    )
    return ScratchDetrModule(config, card, network, notes)


def _imagenet_name(start: str, backbone: str) -> str:
    """The start if it names torchvision's weights, else an empty name."""
    return start if backbone in RESNETS and start in known_weights(backbone) else ""


def _facts_of(start: Start | None) -> dict[str, object]:
    if start is None:
        return {}
    facts = start.card.architecture
    if start.card.family == "scratch_detr":
        return dict(facts)
    mobile = mobile_in(start)
    if mobile is not None:
        return {"backbone": mobile}
    if start.card.family == "faster_rcnn":
        light = facts.get("light")
        if not isinstance(light, dict):
            expected = "a light Faster R-CNN (fasterrcnn_light)"
            raise ConfigError("start", expected=expected, found=str(facts["name"]))
        return {name: light[name] for name in ("backbone", "backbone_width")}
    if facts["name"] not in RESNETS:
        expected = f"a ResNet of usual depth ({', '.join(RESNETS)})"
        raise ConfigError("start", expected=expected, found=f"depths {facts['depths']}")
    return {"backbone": facts["name"], "backbone_width": facts["width"]}


def _begin(network: Detr, start: Start | None, classes: tuple[str, ...]) -> tuple[str, ...]:
    if start is None:
        return ()
    if start.card.family == "scratch_detr":
        return take_over(network, start, classes, heads=("class_head.",))
    renamed = {_in_backbone(name): tensor for name, tensor in start.state.items()}
    plain = Start(card=start.card, state=renamed)
    return begin_trunk(network.backbone, plain, classes, "")


def _in_backbone(name: str) -> str:
    """The name in a `Backbone` of a tensor of a classifier or of a Faster R-CNN's backbone."""
    name = name.removeprefix("backbone.body.").removeprefix("extractor.")
    for own, theirs in (("conv1.", "stem.0."), ("bn1.", "stem.1.")):
        if name.startswith(own):
            return theirs + name.removeprefix(own)
    return name
