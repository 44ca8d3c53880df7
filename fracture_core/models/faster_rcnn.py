"""The Faster R-CNN family (Ren et al. 2015) of torchvision, raw.

A candidate is what the second stage makes of a proposal of the first: one box and one score for
every class, none suppressed. The proposal network keeps its own non-maximum suppression and its
limit of 1,000 proposals (150 in the 320 variant, 300 in the light one): they are part of the
network.
"""

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor

from fracture_core.models import faster_rcnn_networks, faster_rcnn_stages
from fracture_core.models.base import Family
from fracture_core.models.faster_rcnn_stages import Candidates, Features
from fracture_core.models.torchvision_detector import Networks, Scaled, TorchvisionDetector


class FasterRcnnModel(TorchvisionDetector[Features, Candidates]):
    """A Faster R-CNN with its card.

    The map of a finding lies within its proposal, all that the second stage reads.
    """

    _networks: ClassVar[Networks] = faster_rcnn_networks

    def _extract(self, batch: Sequence[Scaled]) -> Features:
        return faster_rcnn_stages.extract(self._network, batch)

    def _candidates(self, features: Features) -> list[Candidates]:
        return faster_rcnn_stages.classify(self._network, features)

    def _evidence(self, features: Features, picked: Candidates) -> Tensor:
        return faster_rcnn_stages.explain(self._network, features, picked)


ADAPTER: Family = FasterRcnnModel
