"""The EfficientNet family with an attention gate: classifiers that show where they looked."""

from collections.abc import Collection
from pathlib import Path
from typing import Self

import torch
from pydantic import Field
from torch import Tensor

from fracture_core.class_names import negative_among
from fracture_core.errors import WeightsError
from fracture_core.models import gradcam
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
from fracture_core.models.published_names import gated_state
from fracture_core.models.state_dicts import State, fit, read_state, unwrap
from fracture_core.nets.efficientnet_gate import GATED, EfficientNetGate
from fracture_core.nets.limits import check_name
from fracture_core.nets.mobile import MOBILES, mobile_name
from fracture_core.nets.pretrained import imagenet_state
from fracture_core.types import Heatmap, Sample

# Channels of the stem and of the last feature map, and blocks in the first stage.
SIZES = {
    (32, 1280, 1): "efficientnet_b0",
    (32, 1280, 2): "efficientnet_b1",
    (32, 1408, 2): "efficientnet_b2",
    (40, 1536, 2): "efficientnet_b3",
    (48, 1792, 2): "efficientnet_b4",
    (48, 2048, 3): "efficientnet_b5",
    (56, 2304, 3): "efficientnet_b6",
    (64, 2560, 4): "efficientnet_b7",
    (24, 1280, 2): "efficientnet_v2_s",
}
_HIDDEN, _CLASSES = "head.1.weight", "head.4.weight"


class EfficientNetGateArchitecture(ClassifierArchitecture):
    """The sizes of an `EfficientNetGate`.

    `weights` names published weights of its features alone.
    """

    reduction: int = Field(default=8, ge=1)
    hidden_width: int = Field(default=512, ge=1)
    dropout: float = Field(default=0.5, ge=0, lt=1)
    stochastic_depth: float = Field(default=0.2, ge=0, lt=1)


class EfficientNetGateModel(Classifier):
    """An EfficientNet with an attention gate, and its card."""

    _network: EfficientNetGate

    @classmethod
    def load(cls, card: ModelCard, folder: Path) -> Self:
        """See `Family.load`."""
        architecture = EfficientNetGateArchitecture.of(card)
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
        """Returns the card of an `EfficientNetGate`'s state dict, whose tensors tell its sizes.

        That of a published one may have other names, see `published_names`.
        """
        state = _read(weights)
        count = shape_of(state, _CLASSES, 2, weights)[0]
        classes = named_classes(classes, count, weights)
        architecture = _architecture_of(state, weights, negative_among(classes))
        with torch.device("meta"):
            fit(_build(architecture, class_count=count), state, weights)
        family = "efficientnet_gate"
        return classifier_card(family, architecture, classes, model_id=model_id, title=title)

    @classmethod
    def from_name(cls, name: str) -> Self:
        """Returns a network of two classes by name, its gate and head always random.

        The name "efficientnet_b4" has random features too, "efficientnet_b4:IMAGENET1K_V1" those of
        torchvision, read from torch's cache or fetched; "efficientnet_lite0:IMAGENET1K" and
        "mobilenet_v2:IMAGENET1K" have those of an installed package
        (`fracture_core.models.packaged`). Raises ConfigError for an unknown name, and WeightsError,
        which says what to fetch or to install.
        """
        plain, _, weights = name.partition(":")
        check_name("efficientnet", plain, GATED)
        facts = {"title": f"{name} (random weights)", "note": RANDOM_NOTE, "training_data": "none"}
        if weights:
            check_name(f"weights of {plain}", weights, known_weights(plain))
            note = "ImageNet's features under a random gate and head: it finds nothing yet."
            facts = {"note": note, "training_data": "ImageNet-1k (features only)"}
        architecture = EfficientNetGateArchitecture(name=plain, weights=weights)
        classes = ("class 0", "class 1")
        family, model_id = "efficientnet_gate", name.replace(":", "-")
        card = classifier_card(family, architecture, classes, model_id=model_id, title=name)
        return cls.load(card.model_copy(update=facts), Path())

    def explain_gate(self, sample: Sample) -> Heatmap:
        """Returns which share of each cell the gate let pass, in (0, 1), whatever the class."""
        with torch.inference_mode():
            features = self._network.features(self._pixels([self._prepare(sample)]))
            cells = self._network.classify(features).gate[0]
        values = gradcam.over_image(cells, sample.height, sample.width)
        return Heatmap.of(values, "Attention gate", "the whole image")

    @property
    def _architecture(self) -> EfficientNetGateArchitecture:
        return EfficientNetGateArchitecture.of(self._card)

    def _logits(self, features: Tensor) -> Tensor:
        return self._network.classify(features).logits


def build_network(
    architecture: EfficientNetGateArchitecture, *, class_count: int
) -> EfficientNetGate:
    """Returns the network with random weights, or with ImageNet's features where they are named.

    Raises ConfigError and WeightsError.
    """
    if architecture.name in MOBILES:
        plain = architecture.model_copy(update={"weights": ""})
        with drawn_from(architecture.seed):
            network = _build(plain, class_count=class_count)
        if architecture.weights:
            load_packaged(network.extractor, f"{architecture.name}:{architecture.weights}")
        return network
    if architecture.weights:
        # Fetched first: `drawn_from` keeps other threads waiting while it is open.
        imagenet_state(architecture.name, architecture.weights)
    with drawn_from(architecture.seed):
        return _build(architecture, class_count=class_count)


def _build(architecture: EfficientNetGateArchitecture, *, class_count: int) -> EfficientNetGate:
    return EfficientNetGate(
        architecture.name,
        class_count=class_count,
        weights=architecture.weights or None,
        reduction=architecture.reduction,
        hidden_width=architecture.hidden_width,
        dropout=architecture.dropout,
        stochastic_depth=architecture.stochastic_depth,
    )


def _read(weights: Path) -> State:
    given = read_state(weights)
    state = unwrap(given, _is_gated) or gated_state(given)
    if state is None:
        raise unknown_state(given, weights, "a state dict of an EfficientNet with a gate")
    return state


def _is_gated(names: Collection[str]) -> bool:
    first = ("extractor.0.0.weight", "extractor.stem.0.0.weight")
    gated = {"gate.squeeze.weight", _HIDDEN, _CLASSES} <= set(names)
    return gated and any(name in names for name in first)


def _architecture_of(state: State, weights: Path, healthy: str) -> EfficientNetGateArchitecture:
    squeezed, channels, *_ = shape_of(state, "gate.squeeze.weight", 4, weights)
    return EfficientNetGateArchitecture(
        name=mobile_name(state, "extractor.") or _size_of(state, channels, weights),
        reduction=channels // squeezed,
        hidden_width=shape_of(state, _HIDDEN, 2, weights)[0],
        healthy=healthy,
    )


def _size_of(state: State, channels: int, weights: Path) -> str:
    stem = shape_of(state, "extractor.0.0.weight", 4, weights)[0]
    blocks = {name.split(".")[2] for name in state if name.startswith("extractor.1.")}
    size = SIZES.get((stem, channels, len(blocks)))
    if size is None:
        found = f"{stem} channels first, {channels} last, {len(blocks)} blocks in the first stage"
        expected = f"an EfficientNet ({', '.join(SIZES.values())})"
        raise WeightsError(weights, expected=expected, found=found)
    return size


ADAPTER: Family = EfficientNetGateModel
