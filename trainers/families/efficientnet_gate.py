"""EfficientNet with an attention gate in training, as in R4."""

from collections.abc import Sequence

from torch import Tensor, nn

from fracture_core.class_names import negative_among
from fracture_core.errors import ConfigError
from fracture_core.models.cards import ModelCard
from fracture_core.models.efficientnet_gate import (
    EfficientNetGateArchitecture,
    EfficientNetGateModel,
    build_network,
)
from fracture_core.models.packaged import known_weights
from fracture_core.nets.efficientnet_gate import EfficientNetGate
from fracture_core.nets.mobile import MOBILES, MobileTrunk
from trainers.classification import ClassifierModule, stages_by_stride
from trainers.family_configs import EfficientNetGateConfig
from trainers.networks import checked
from trainers.starts import (
    Start,
    begin_trunk,
    mobile_in,
    open_start,
    packaged_name,
    take_over,
)


class EfficientNetGateModule(ClassifierModule):
    """Trains an `EfficientNetGate`; a stage begins wherever its features halve the image."""

    network: EfficientNetGate

    def wrap(self, network: nn.Module) -> EfficientNetGateModel:
        return EfficientNetGateModel(self._card, network)

    def stages(self) -> Sequence[nn.Module]:
        if isinstance(self.network.extractor, MobileTrunk):
            return self.network.extractor.stages()
        return stages_by_stride(list(self.network.extractor.children()))

    def _logits(self, pixels: Tensor) -> Tensor:
        logits: Tensor = self.network(pixels).logits
        return logits


def build(
    config: EfficientNetGateConfig, classes: tuple[str, ...], model_id: str
) -> EfficientNetGateModule:
    """Build the training module.

    `config.start` is empty (random weights); the name of torchvision's weights for the features, or
    of packaged ones ("efficientnet_lite0:IMAGENET1K"); or a model of the library or a file. One of
    the ResNet family gives its features, if they are those of a small network. Raises ConfigError
    and WeightsError.
    """
    given = config.network.given()
    start_name = packaged_name(config.start, given, "name")
    name = str(given.get("name", config.network.usual("name")))
    imagenet = start_name if start_name in known_weights(name) else ""
    start: Start | None = None
    if config.start and not imagenet:
        start = open_start(config.start, ("efficientnet_gate", "resnet"), names="IMAGENET1K_V1")
    known = {"name": name} if start is None else _known(start)
    facts = {"weights": imagenet, "seed": config.seed, "healthy": negative_among(classes)}
    architecture = checked(EfficientNetGateArchitecture, {**known, **given, **facts})
    network = build_network(architecture, class_count=len(classes)).requires_grad_(True)
    notes = () if start is None else _begin(network, start, classes)
    card = ModelCard(
        model_id=model_id,
        title=f"EfficientNet with attention gate, {architecture.name}",
        family="efficientnet_gate",
        task="classify",
        classes=classes,
        input_size=config.input_size,
        needs_nms=False,
        architecture=architecture.model_copy(update={"weights": ""}).model_dump(mode="json"),
    )
    return EfficientNetGateModule(config, card, network, notes)


def _known(start: Start) -> dict[str, object]:
    """The part of the architecture that the start decides.

    Raises ConfigError for a start of the ResNet family that is no small network.
    """
    if start.card.family == "efficientnet_gate":
        return dict(start.card.architecture)
    name = mobile_in(start)
    if name is None:
        expected = f"a model of this family, or one of {', '.join(MOBILES)}"
        raise ConfigError("start", expected=expected, found=f"a {start.card.architecture['name']}")
    return {"name": name}


def _begin(network: EfficientNetGate, start: Start, classes: tuple[str, ...]) -> tuple[str, ...]:
    if start.card.family == "efficientnet_gate":
        return take_over(network, start, classes, heads=("head.4.",))
    return begin_trunk(network.extractor, start, classes, "extractor.")
