"""What torchvision's detectors share: scaling, the architecture on a card, raw candidates.

A family adds three steps: what its network makes of images before any candidate is picked
(`_extract`), the candidates in that (`_candidates`), and what speaks for some of them
(`_evidence`).
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import get_model_weights

from fracture_core.boxes import Int64s
from fracture_core.models import gradcam
from fracture_core.models.adapter import RANDOM_FACTS, RANDOM_NOTE, Detector
from fracture_core.models.architectures import Architecture
from fracture_core.models.cards import ModelCard
from fracture_core.models.state_dicts import State, fit
from fracture_core.nets.limits import check_name
from fracture_core.types import Detections, Heatmap, Sample

NORM_EPS = 1e-5
# torchvision sets this where it loads its COCO weights of the first ResNet-50-FPN, and only there.
COCO_RESNET50_EPS = 0.0


class TorchvisionArchitecture(Architecture):
    """The architecture of one of torchvision's detectors.

    `max_size` is the most that the longer side of the input may become, in pixels; `norm_eps` is
    added to the variance in the backbone's batch norms.
    """

    max_size: int = Field(ge=32, le=8192)
    norm_eps: float = Field(default=NORM_EPS, ge=0, le=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaled:
    """One sample as shown, (H, W) uint8, and the `size` (h, w) to which it is scaled."""

    sample_id: str
    shown: npt.NDArray[np.uint8]
    size: tuple[int, int]

    @property
    def shape(self) -> tuple[int, ...]:
        """(h, w) of the input."""
        return self.size


class Candidates(Protocol):
    """One image's N candidates."""

    @property
    def xyxy(self) -> Tensor:
        """(N, 4) corners in pixels of the input."""
        ...

    @property
    def scores(self) -> Tensor:
        """(N,) in [0, 1]."""
        ...

    @property
    def labels(self) -> Tensor:
        """(N,) classes from 0."""
        ...

    def __getitem__(self, rows: Tensor) -> Self: ...


F = TypeVar("F")
C = TypeVar("C", bound=Candidates)


class Networks(Protocol):
    """A module that builds the networks of one family and recognises them."""

    FAMILY: str
    INPUT_SIZES: dict[str, tuple[int, int]]
    """By name the length of an image's scaled shorter side, and the most for the longer, in px."""

    def architecture_on(self, card: ModelCard) -> TorchvisionArchitecture:
        """Returns the checked architecture of a card; raises WeightsError."""
        ...

    def from_library(
        self, name: str, weights: str
    ) -> tuple[TorchvisionArchitecture, tuple[str, ...]]:
        """Returns the architecture and classes of one of torchvision's names.

        Raises ConfigError.
        """
        ...

    def build_network(self, architecture: Any, *, class_count: int, min_size: int) -> Any:
        """Returns the network, with random weights or those that torchvision publishes for it."""
        ...

    def read_weights(self, weights: Path) -> State:
        """Returns the tensors of a file by the network's names; raises WeightsError."""
        ...

    def describe_weights(
        self, weights: Path, classes: tuple[str, ...] | None
    ) -> tuple[TorchvisionArchitecture, tuple[str, ...], str]:
        """Returns architecture, classes and a note, from the tensors in a file.

        Raises WeightsError.
        """
        ...


class TorchvisionDetector(Detector[Scaled, list[C]], Generic[F, C]):
    """A detector of torchvision's that predicts raw; `F` is what `_extract` makes of a batch."""

    _networks: ClassVar[Networks]

    def __init__(self, card: ModelCard, network: Any) -> None:
        super().__init__(card, network)
        self._architecture = self._networks.architecture_on(card)

    @abstractmethod
    def _extract(self, batch: Sequence[Scaled]) -> F:
        """Returns what the network makes of images that are scaled to one size."""

    @abstractmethod
    def _candidates(self, features: F) -> list[C]:
        """Returns the candidates of each image, from `SCORE_FLOOR` up, none suppressed."""

    @abstractmethod
    def _evidence(self, features: F, picked: C) -> Tensor:
        """Returns a (h, w) map ≥ 0 over one image's input, of what speaks for candidates of it."""

    @classmethod
    def load(cls, card: ModelCard, folder: Path) -> Self:
        """See `Family.load`."""
        architecture = cls._networks.architecture_on(card)
        if card.weights_file:
            architecture = architecture.model_copy(update={"weights": ""})
        network = cls._networks.build_network(
            architecture, class_count=len(card.classes), min_size=card.input_size
        )
        if card.weights_file:
            weights = folder / card.weights_file
            fit(network, cls._networks.read_weights(weights), weights)
        return cls(card, network)

    @classmethod
    def describe(
        cls, weights: Path, *, model_id: str, title: str, classes: tuple[str, ...] | None
    ) -> ModelCard:
        """See `Family.describe`; the size of the input is the library's, as no tensor tells it."""
        architecture, classes, note = cls._networks.describe_weights(weights, classes)
        card = cls._new_card(architecture, classes, model_id=model_id, title=title)
        return card.model_copy(update={"note": note})

    @classmethod
    def from_name(cls, name: str) -> Self:
        """Returns a network of torchvision by its name, random, or "NAME:COCO_V1" with its weights.

        Those are read from torch's cache or fetched. Raises ConfigError for an unknown name and
        WeightsError, which says what to fetch, where there is neither cache nor network.
        """
        plain, _, weights = name.partition(":")
        architecture, classes = cls._networks.from_library(plain, weights)
        model_id = name.replace(":", "-")
        card = cls._new_card(architecture, classes, model_id=model_id, title=name)
        return cls.load(card.model_copy(update=_origin_of(name, weights)), Path())

    @classmethod
    def _new_card(
        cls,
        architecture: TorchvisionArchitecture,
        classes: tuple[str, ...],
        *,
        model_id: str,
        title: str,
    ) -> ModelCard:
        return ModelCard(
            model_id=model_id,
            title=title,
            family=cls._networks.FAMILY,
            task="detect",
            classes=classes,
            input_size=cls._networks.INPUT_SIZES[architecture.name][0],
            needs_nms=True,
            architecture=architecture.model_dump(mode="json"),
        )

    def with_random_weights(self, seed: int) -> Self:
        """Returns the same architecture with weights drawn anew from `seed`."""
        drawn = self._architecture.model_copy(update={"weights": "", "seed": seed})
        facts = {"architecture": drawn.model_dump(mode="json"), **RANDOM_FACTS}
        return self.load(self._card.model_copy(update=facts), Path())

    def explain(self, sample: Sample, index: int | None) -> Heatmap:
        """Returns the HiResCAM of a finding's class logit at the levels of the pyramid.

        None explains the image: its best findings, each by its score. Raises IndexError where there
        is no such finding.
        """
        prepared = self._prepare(sample)
        with torch.no_grad():
            features = self._extract([prepared])
            candidates = self._candidates(features)[0]
        found, kept = self._ordered(candidates, prepared)
        chosen = kept[self._explained(found, index)]
        picked = candidates[torch.from_numpy(chosen).to(self._device)]
        evidence = self._evidence(features, picked)
        values = gradcam.over_image(evidence, sample.height, sample.width)
        return Heatmap.of(values, gradcam.HIRES_CAM, self._target(found, index))

    def _prepare(self, sample: Sample) -> Scaled:
        size = scaled_size(
            sample.height, sample.width, self._card.input_size, self._architecture.max_size
        )
        return Scaled(sample_id=sample.sample_id, shown=sample.shown(), size=size)

    @torch.inference_mode()
    def _forward(self, batch: Sequence[Scaled]) -> list[C]:
        return self._candidates(self._extract(batch))

    def _to_detections(
        self, raw: list[C], batch: Sequence[Scaled]
    ) -> list[tuple[Detections, Int64s]]:
        return [self._ordered(one, prepared) for one, prepared in zip(raw, batch, strict=True)]

    def _ordered(self, raw: C, prepared: Scaled) -> tuple[Detections, Int64s]:
        """Returns one image's findings, and the candidate that gave each."""
        (height, width), (scaled_height, scaled_width) = prepared.shown.shape, prepared.size
        across, down = width / scaled_width, height / scaled_height
        gain = torch.tensor([across, down, across, down], device=raw.xyxy.device)
        return Detections.raw(
            (raw.xyxy * gain).cpu().numpy(),
            raw.scores.cpu().numpy(),
            raw.labels.cpu().numpy(),
            height=height,
            width=width,
        )


def scaled_size(height: int, width: int, min_size: int, max_size: int) -> tuple[int, int]:
    """Returns the (height, width) in pixels to which torchvision scales an image.

    A thin strip keeps one pixel, where torchvision leaves none.

    Example:
        >>> scaled_size(500, 1000, min_size=100, max_size=150)
        (75, 150)
    """
    scale = min(min_size / min(height, width), max_size / max(height, width))
    return max(1, int(height * scale)), max(1, int(width * scale))


def scaled_pixels(network: Any, batch: Sequence[Scaled]) -> Tensor:
    """Returns (B, 3, h, w) pixels, padded as torchvision pads, to cells of the deepest level."""
    padded: Tensor = network.transform.batch_images([_scaled(network, one) for one in batch])
    return padded


def _scaled(network: Any, one: Scaled) -> Tensor:
    """Scales (H, W) grey to (3, h, w), in torchvision's order of steps and so with its numbers."""
    device = next(network.parameters()).device
    grey = torch.from_numpy(one.shown).to(device).float() / 255
    pixels = network.transform.normalize(grey.expand(3, -1, -1))
    scaled = functional.interpolate(
        pixels[None], size=one.size, mode="bilinear", align_corners=False
    )
    return scaled[0]


def _origin_of(name: str, weights: str) -> dict[str, object]:
    """Returns what the card of a network by name says of the origin of its weights."""
    if weights:
        licence = "annotations CC BY 4.0, images under Flickr's terms"
        return {"training_data": "COCO train2017", "training_licence": licence}
    return {
        "title": f"{name} (random weights)",
        "note": RANDOM_NOTE,
        "training_data": "none",
        "training_licence": "none",
    }


def published_classes(name: str, weights: str) -> tuple[str, ...]:
    """Returns the classes of a detector's published weights.

    Raises ConfigError if there are none.
    """
    known = get_model_weights(name).__members__
    check_name(f"weights of {name}", weights, known)
    # torchvision's first class is the background.
    return tuple(known[weights].meta["categories"][1:])


def guess_norm_eps(state: State) -> tuple[float, str]:
    """Returns the `norm_eps` of a first ResNet-50-FPN, which no tensor tells, and a note on it."""
    if "backbone.body.bn1.num_batches_tracked" in state:
        return NORM_EPS, ""
    note = (
        "Taken as fine-tuned from torchvision's COCO weights (norm_eps 0). If the training "
        "began with ImageNet's, set norm_eps to 1e-05."
    )
    return COCO_RESNET50_EPS, note


def set_norm_eps(backbone: nn.Module, eps: float) -> None:
    """Gives all batch norms of a backbone this `eps`."""
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = eps
