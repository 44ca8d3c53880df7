"""What torchvision's detectors share in training: inputs, targets, stages of the backbone."""

from collections.abc import Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection.image_list import ImageList

from fracture_core.models.cards import ModelCard
from fracture_core.models.light_pyramid import PyramidShape
from fracture_core.models.torchvision_detector import TorchvisionArchitecture, scaled_size
from trainers.classification import stages_by_stride
from trainers.family_configs import FasterRcnnConfig, RetinaNetConfig
from trainers.frozen_batch_norm import fix_norms
from trainers.networks import Scalar, checked
from trainers.packed import Normalise, valid_pixels
from trainers.targets import Target
from trainers.training_module import Batch, TrainingModule

_ANCHORS = ("levels", "anchor_px")
A = TypeVar("A", bound=TorchvisionArchitecture)


class TorchvisionModule(TrainingModule):
    """The part that training modules of torchvision's detectors share.

    The network has a `backbone` with a `body` and a pyramid `fpn`; with `fixed_norms` the
    backbone's batch norms are not trained.
    """

    def __init__(
        self,
        card: ModelCard,
        architecture: TorchvisionArchitecture,
        network: Any,
        notes: tuple[str, ...],
        *,
        fixed_norms: bool,
    ) -> None:
        super().__init__()
        if fixed_norms:
            fix_norms(network.backbone)
        self.network: Any = network
        self.notes = notes
        self._card = card
        self._max_size = architecture.max_size
        self._normalise = Normalise()
        self._stride: int = network.transform.size_divisible

    @property
    def card(self) -> ModelCard:
        return self._card

    def size_of(self, height: int, width: int) -> tuple[int, int]:
        return scaled_size(height, width, self._card.input_size, self._max_size)

    def stages(self) -> Sequence[nn.Module]:
        """Return the stages of the backbone; the pyramid belongs to the last one."""
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
        """Compile the backbone only: the shapes of what follows change with every batch."""
        self.network.backbone.compile()

    def _images(self, batch: Batch, ground_truths: Sequence[Target]) -> ImageList:
        """The images, normalised, and padded to whole cells of the deepest level."""
        pixels = self._normalise(batch.pixels, valid_pixels(batch))
        height, width = pixels.shape[-2:]
        padded = functional.pad(pixels, (0, -width % self._stride, 0, -height % self._stride))
        return ImageList(
            padded, [(ground_truth.height, ground_truth.width) for ground_truth in ground_truths]
        )


def targets_of(ground_truths: Sequence[Target], first_class: int) -> list[dict[str, Tensor]]:
    """Return the targets of torchvision's losses, one dict for each image.

    `first_class` is 1 where the network counts the background as class 0, else 0.
    """
    return [
        {"boxes": ground_truth.boxes_xyxy, "labels": ground_truth.labels + first_class}
        for ground_truth in ground_truths
    ]


class Kind(NamedTuple, Generic[A]):
    """A family's `architecture`, the shape of its `light` network, and by name of the network the
    usual input size and longer side in pixels.
    """

    architecture: type[A]
    light: type[PyramidShape]
    input_sizes: Mapping[str, tuple[int, int]]


def architecture_of(
    kind: Kind[A],
    known: dict[str, Any],
    given: Mapping[str, Scalar],
    config: FasterRcnnConfig | RetinaNetConfig,
) -> A:
    """Return what is `known` of an architecture by start or name, with the parameters `given`.

    `known["light"]` is the shape of a light network, as far as it is known, and None or absent for
    another. Raises ConfigError.
    """
    shape: dict[str, object]
    shape = {name: value for name, value in given.items() if name in kind.light.model_fields}
    plain = {name: value for name, value in given.items() if name not in {*shape, *_ANCHORS}}
    if any(name in given for name in _ANCHORS):
        network = config.network
        levels = network.levels or network.usual("levels")
        finest = network.anchor_px or network.usual("anchor_px")
        shape["anchor_sizes_px"] = tuple(finest * 2**level for level in range(levels))
    if shape or known.get("light") is not None:
        known["light"] = checked(kind.light, {**(known.get("light") or {}), **shape})
    usual, longest = kind.input_sizes[known["name"]]
    known["max_size"] = config.input_size * longest // usual
    return checked(kind.architecture, {**known, **plain, "weights": "", "seed": config.seed})
