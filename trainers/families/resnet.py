"""The ResNet classifier and the small networks of its family in training."""

from collections.abc import Sequence

from torch import Tensor, nn

from fracture_core.class_names import negative_among
from fracture_core.models.cards import ModelCard
from fracture_core.models.packaged import known_weights
from fracture_core.models.resnet import ResNetArchitecture, ResNetModel, build_network
from fracture_core.nets.mobile import MobileClassifier
from fracture_core.nets.resnet import RESNETS, ResNet
from trainers.classification import ClassifierModule
from trainers.family_configs import ResNetConfig
from trainers.networks import Scalar, checked
from trainers.starts import Start, open_start, packaged_name, take_over, taken_from


class ResNetModule(ClassifierModule):
    """Trains a `ResNet` or a `MobileClassifier` on three equal channels."""

    network: ResNet | MobileClassifier

    def wrap(self, network: nn.Module) -> ResNetModel:
        return ResNetModel(self._card, network)

    def stages(self) -> Sequence[nn.Module]:
        network = self.network
        if isinstance(network, MobileClassifier):
            return network.extractor.stages()
        stem = nn.ModuleList([network.conv1, network.bn1])
        return stem, network.layer1, network.layer2, network.layer3, network.layer4

    def _logits(self, pixels: Tensor) -> Tensor:
        logits: Tensor = self.network(pixels)
        return logits


def build(config: ResNetConfig, classes: tuple[str, ...], model_id: str) -> ResNetModule:
    """Build the training module.

    `config.start` is empty (random weights); the name of torchvision's weights or of packaged ones
    ("mobilenet_v2:IMAGENET1K"); or a model of this family, from the library or a file. Raises
    ConfigError and WeightsError.
    """
    given = config.network.given()
    ref = packaged_name(config.start, given, "name")
    start = _start(ref, str(given.get("name", config.network.usual("name"))))
    architecture = _architecture(config, start, given, classes)
    network = build_network(architecture, class_count=len(classes)).requires_grad_(True)
    notes = () if start is None else take_over(network, start, classes, heads=("fc.",))
    kind = "Classifier" if isinstance(network, MobileClassifier) else "ResNet"
    card = ModelCard(
        model_id=model_id,
        title=f"{kind}, {architecture.name}",
        family="resnet",
        task="classify",
        classes=classes,
        input_size=config.input_size,
        needs_nms=False,
        architecture=architecture.model_dump(mode="json"),
    )
    return ResNetModule(config, card, network, notes)


def _start(ref: str, name: str) -> Start | None:
    if not ref:
        return None
    if ref in known_weights(name):
        return taken_from(ResNetModel.from_name(f"{name}:{ref}"))
    return open_start(ref, ("resnet",), names="IMAGENET1K_V2")


def _architecture(
    config: ResNetConfig,
    start: Start | None,
    given: dict[str, Scalar],
    classes: tuple[str, ...],
) -> ResNetArchitecture:
    known: dict[str, object] = {} if start is None else dict(start.card.architecture)
    if start is None or "name" in given:
        name = str(given.get("name", config.network.usual("name")))
        known["block"], known["depths"] = RESNETS.get(name, (None, None))
        known["name"] = name
    facts = {"weights": "", "seed": config.seed, "healthy": negative_among(classes)}
    return checked(ResNetArchitecture, {**known, **given, **facts})
