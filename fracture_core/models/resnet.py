"""The ResNet family: residual networks, inverted ones too, as classifiers of whole images."""

from collections.abc import Collection
from pathlib import Path
from typing import Self, cast

import torch
from pydantic import model_validator
from torch import Tensor
from torchvision.models import get_model_weights

from fracture_core.class_names import negative_among
from fracture_core.models.adapter import RANDOM_NOTE, drawn_from
from fracture_core.models.architectures import named_classes, shape_of, unknown_state
from fracture_core.models.base import Family
from fracture_core.models.cards import ModelCard
from fracture_core.models.classifier import (
    Classifier,
    ClassifierArchitecture,
    classifier_card,
)
from fracture_core.models.packaged import known_weights, load_packaged
from fracture_core.models.published_names import resnet_state
from fracture_core.models.state_dicts import State, fit, read_state, unwrap
from fracture_core.nets.limits import check_name
from fracture_core.nets.mobile import MOBILES, MobileClassifier, mobile_name
from fracture_core.nets.pretrained import load_imagenet
from fracture_core.nets.resnet import RESNETS, BlockName, Depths, ResNet

_STAGES = ("layer1", "layer2", "layer3", "layer4")


CLASSIFIERS = (*RESNETS, *MOBILES)
_FULL_WIDTH = 64


class ResNetArchitecture(ClassifierArchitecture):
    """The blocks of a ResNet, their number a stage, and the channels of its first stage.

    See `fracture_core.nets.resnet`. The networks of `fracture_core.nets.mobile` have neither
    `block` nor `depths`, and one width only.
    """

    block: BlockName | None = None
    depths: Depths | None = None
    width: int = _FULL_WIDTH

    @model_validator(mode="after")
    def _check_shape(self) -> Self:
        if self.name not in MOBILES:
            if self.block is None or self.depths is None:
                raise ValueError(f"block and depths: expected for {self.name}")
        elif (self.block, self.depths, self.width) != (None, None, _FULL_WIDTH):
            raise ValueError(f"block, depths and width: expected none for {self.name}")
        return self


class ResNetModel(Classifier):
    """A ResNet or a `MobileClassifier` with its card."""

    _network: ResNet | MobileClassifier

    @classmethod
    def load(cls, card: ModelCard, folder: Path) -> Self:
        """See `Family.load`."""
        architecture = ResNetArchitecture.of(card)
        if not card.weights_file:
            return cls(card, build_network(architecture, class_count=len(card.classes)))
        weights = folder / card.weights_file
        plain = architecture.model_copy(update={"weights": ""})
        network = build_network(plain, class_count=len(card.classes))
        fit(network, _read(weights), weights)
        return cls(card, network)

    @classmethod
    def describe(
        cls, weights: Path, *, model_id: str, title: str, classes: tuple[str, ...] | None
    ) -> ModelCard:
        """Returns the card of a state dict with torchvision's names or those of `published_names`.

        Its tensors tell depth and width.
        """
        state = _read(weights)
        count = shape_of(state, "fc.weight", 2, weights)[0]
        classes = named_classes(classes, count, weights)
        architecture = _architecture_of(state, weights, negative_among(classes))
        with torch.device("meta"):
            fit(_build(architecture, class_count=count), state, weights)
        return classifier_card("resnet", architecture, classes, model_id=model_id, title=title)

    @classmethod
    def from_name(cls, name: str) -> Self:
        """Returns a classifier by name, with random or published weights.

        The name "resnet50" has random weights and two classes, "resnet50:IMAGENET1K_V2"
        torchvision's weights and ImageNet's classes; "mobilenet_v2:IMAGENET1K" has features from a
        package under two random classes. torchvision's are read from torch's cache or fetched.
        Raises ConfigError for an unknown name and WeightsError, which says what to fetch or to
        install where it is missing.
        """
        plain, _, weights = name.partition(":")
        check_name("resnet", plain, CLASSIFIERS)
        block, depths = RESNETS.get(plain, (None, None))
        classes = ("class 0", "class 1")
        facts = {"title": f"{name} (random weights)", "note": RANDOM_NOTE, "training_data": "none"}
        if weights:
            check_name(f"weights of {plain}", weights, known_weights(plain))
            note = "ImageNet's features under random classes: it finds nothing yet."
            if plain in RESNETS:
                classes = tuple(get_model_weights(plain)[weights].meta["categories"])
                note = "ImageNet's classes: nothing medical."
            facts = {"note": note, "training_data": "ImageNet-1k"}
        architecture = ResNetArchitecture(name=plain, weights=weights, block=block, depths=depths)
        model_id = name.replace(":", "-")
        card = classifier_card("resnet", architecture, classes, model_id=model_id, title=name)
        return cls.load(card.model_copy(update=facts), Path())

    @property
    def _architecture(self) -> ResNetArchitecture:
        return ResNetArchitecture.of(self._card)

    def _logits(self, features: Tensor) -> Tensor:
        return self._network.classify(features)


def build_network(
    architecture: ResNetArchitecture, *, class_count: int
) -> ResNet | MobileClassifier:
    """Returns the network, with random weights or ImageNet's.

    Raises ConfigError and WeightsError.
    """
    with drawn_from(architecture.seed):
        network = _build(architecture, class_count=class_count)
    if not architecture.weights:
        return network
    if isinstance(network, MobileClassifier):
        load_packaged(network.extractor, f"{architecture.name}:{architecture.weights}")
    else:
        load_imagenet(network, architecture.name, architecture.weights)
    return network


def _build(architecture: ResNetArchitecture, *, class_count: int) -> ResNet | MobileClassifier:
    if architecture.name in MOBILES:
        return MobileClassifier(architecture.name, class_count=class_count)
    # With its last norm at 0 each block would begin as its shortcut alone, so that random weights
    # would have little effect on what the network computes.
    return ResNet(
        block=cast(BlockName, architecture.block),
        depths=cast(Depths, architecture.depths),
        class_count=class_count,
        width=architecture.width,
        zero_init_last_norm=False,
    )


def _read(weights: Path) -> State:
    given = read_state(weights)
    state = unwrap(resnet_state(given), _is_resnet)
    if state is None:
        expected = "a state dict of a ResNet, named as torchvision's, or of a MobileNet of ours"
        raise unknown_state(given, weights, expected)
    return state


def _is_resnet(names: Collection[str]) -> bool:
    first = ({"conv1.weight", "layer1.0.conv1.weight"}, {"extractor.stem.0.0.weight"})
    return "fc.weight" in names and any(each <= set(names) for each in first)


def _architecture_of(state: State, weights: Path, healthy: str) -> ResNetArchitecture:
    mobile = mobile_name(state, "extractor.")
    if mobile is not None:
        return ResNetArchitecture(name=mobile, healthy=healthy)
    block: BlockName = "bottleneck" if "layer1.0.conv3.weight" in state else "basic"
    blocks = {tuple(name.split(".")[:2]) for name in state if name.startswith(_STAGES)}
    first, second, third, fourth = (
        sum(stage == wanted for stage, *_ in blocks) for wanted in _STAGES
    )
    depths = (first, second, third, fourth)
    known = {value: name for name, value in RESNETS.items()}
    return ResNetArchitecture(
        name=known.get((block, depths), "resnet"),
        block=block,
        depths=depths,
        width=shape_of(state, "conv1.weight", 4, weights)[0],
        healthy=healthy,
    )


ADAPTER: Family = ResNetModel
