"""The Faster R-CNN family (Ren et al. 2015) of torchvision, raw.

A candidate is what the second stage makes of a proposal of the first: one box and one score for
every class, none suppressed. The proposal network keeps its own non-maximum suppression and its
limit of 1,000 proposals (150 in the 320 variant, 300 in the light one): they are part of the
network.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from torch import Tensor

from fracture_core.models import faster_rcnn_stages
from fracture_core.models.base import Family
from fracture_core.models.cards import ModelCard
from fracture_core.models.faster_rcnn_networks import (
    INPUT_SIZES,
    FasterRcnnArchitecture,
    build_network,
    describe_weights,
    from_library,
    load_network,
)
from fracture_core.models.faster_rcnn_stages import Candidates, Features
from fracture_core.models.torchvision_detector import Scaled, TorchvisionDetector, origin_of


class FasterRcnnModel(TorchvisionDetector[Features, Candidates]):
    """A Faster R-CNN with its card.

    The map of a finding lies within its proposal, all that the second stage reads.
    """

    def __init__(self, card: ModelCard, network: Any) -> None:
        super().__init__(card, network)
        self._architecture = FasterRcnnArchitecture.of(card)

    @classmethod
    def load(cls, card: ModelCard, folder: Path) -> Self:
        architecture = FasterRcnnArchitecture.of(card)
        count, min_size = len(card.classes), card.input_size
        if not card.weights_file:
            network = build_network(architecture, class_count=count, min_size=min_size)
        else:
            weights = folder / card.weights_file
            network = load_network(architecture, weights, class_count=count, min_size=min_size)
        return cls(card, network)

    @classmethod
    def describe(
        cls, weights: Path, *, model_id: str, title: str, classes: tuple[str, ...] | None
    ) -> ModelCard:
        """The card of a state dict; size and classes are read from its tensors.

        The size of the input is the library's, as it does not stand in the tensors.
        """
        architecture, classes, note = describe_weights(weights, classes)
        return _card(architecture, classes, model_id=model_id, title=title, note=note)

    @classmethod
    def from_name(cls, name: str) -> Self:
        """A network of torchvision by its name, random, or "NAME:COCO_V1" with its weights.

        Those are read from torch's cache or fetched. Raises ConfigError for an unknown name and
        WeightsError, which says what to fetch, where there is neither cache nor network.
        """
        plain, _, weights = name.partition(":")
        architecture, classes = from_library(plain, weights)
        model_id = name.replace(":", "-")
        card = _card(architecture, classes, model_id=model_id, title=name, note="")
        return cls.load(card.model_copy(update=origin_of(name, weights)), Path())

    def _extract(self, batch: Sequence[Scaled]) -> Features:
        return faster_rcnn_stages.extract(self._network, batch)

    def _candidates(self, features: Features) -> list[Candidates]:
        return faster_rcnn_stages.classify(self._network, features)

    def _evidence(self, features: Features, picked: Candidates) -> Tensor:
        return faster_rcnn_stages.explain(self._network, features, picked)


def _card(
    architecture: FasterRcnnArchitecture,
    classes: tuple[str, ...],
    *,
    model_id: str,
    title: str,
    note: str,
) -> ModelCard:
    return ModelCard(
        model_id=model_id,
        title=title,
        family="faster_rcnn",
        task="detect",
        classes=classes,
        input_size=INPUT_SIZES[architecture.name][0],
        needs_nms=True,
        architecture=architecture.model_dump(mode="json"),
        note=note,
    )


ADAPTER: Family = FasterRcnnModel
