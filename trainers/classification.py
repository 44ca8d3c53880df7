"""What both families of classifiers share: the loss, the class weights, and the training module.

The loss mixes weighted cross-entropy and a focal term (Lin et al., ICCV 2017), as R4 does.
"""

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from fracture_core.errors import ConfigError
from fracture_core.models.cards import ModelCard
from fracture_core.nets.pretrained import Standard
from trainers.family_configs import ClassifierConfig
from trainers.packed import Normalise
from trainers.training_module import NOTHING, Batch, Losses, TrainingModule


class HybridLoss(nn.Module):
    """(1 − `focal_share`) · weighted cross-entropy + `focal_share` · focal term.

    With lᵢ = −ln pᵢ of each image's own class and wᵢ that class's weight, the cross-entropy is
    Σ wᵢ lᵢ / Σ wᵢ, and the focal term (Lin et al. 2017) the mean of (1 − pᵢ)^γ · lᵢ over images or,
    with `focal_of` "batch", (1 − e^−l)^γ · l of the batch's mean l. With `focal_weighted` these
    means are weighted as the cross-entropy is: of the batch, that is the term as R4 published it.
    Images of unknown class are left out; where all are unknown the loss is 0.
    """

    class_weights: Tensor

    def __init__(
        self,
        class_weights: Tensor,
        *,
        focal_share: float,
        focal_gamma: float,
        focal_of: str,
        focal_weighted: bool = False,
    ) -> None:
        super().__init__()
        self.register_buffer("class_weights", class_weights, persistent=False)
        self.focal_share = focal_share
        self.focal_gamma = focal_gamma
        self.focal_of = focal_of
        self.focal_weighted = focal_weighted

    def forward(self, logits: Tensor, image_classes: Tensor) -> Losses:
        """Return "loss", "cross_entropy" and "focal" of (B, K) logits and (B,) int64 classes.

        Only "loss" has a gradient.
        """
        known = image_classes != NOTHING
        each = functional.cross_entropy(
            logits.float(), image_classes, ignore_index=NOTHING, reduction="none"
        )
        weights = torch.where(known, self.class_weights[image_classes.clamp(min=0)], 0)
        cross_entropy = _mean(each, weights)
        of_focal = weights if self.focal_weighted else known.float()
        if self.focal_of == "sample":
            focal = _mean(self._modulate(each), of_focal)
        else:
            focal = self._modulate(_mean(each, of_focal))
        loss = (1 - self.focal_share) * cross_entropy + self.focal_share * focal
        return {"loss": loss, "cross_entropy": cross_entropy.detach(), "focal": focal.detach()}

    def _modulate(self, each: Tensor) -> Tensor:
        # Kept a hair above 0: where γ is below 1, the gradient of 0^γ is infinite.
        missed = -torch.expm1(-each)
        return missed.clamp(min=1e-7) ** self.focal_gamma * each


class ClassifierModule(TrainingModule):
    """The training module of a classifier, whose network gives one logit for each class.

    With balanced class weights, `set_class_counts` has to be called before training.
    """

    def __init__(
        self, config: ClassifierConfig, card: ModelCard, network: nn.Module, notes: tuple[str, ...]
    ) -> None:
        super().__init__()
        self.network = network
        self._card = card
        asked = config.classification
        told = asked.without_effect(card.classes)
        self.notes = (*notes, told) if told else notes
        self._balanced = asked.class_weights == "balanced"
        self._multipliers = _multipliers(asked.class_multipliers, card.classes)
        self._counted = False
        self._normalise = Normalise(_standard(card))
        self._loss = HybridLoss(
            self._multipliers.clone(),
            focal_share=asked.focal_share,
            focal_gamma=asked.focal_gamma,
            focal_of=asked.focal_of,
            focal_weighted=asked.focal_weighted,
        )

    @property
    def card(self) -> ModelCard:
        return self._card

    @property
    def class_weights(self) -> tuple[float, ...]:
        """The weight of each class in the cross-entropy."""
        return tuple(self._loss.class_weights.tolist())

    def set_class_counts(self, counts: Sequence[int]) -> None:
        """Set the class weights from the number of images of each class in the training split.

        Balanced, a class weighs N / (K · its count), times its multiplier; a class without images
        counts as if it had one. Raises ValueError for another number of classes.
        """
        if len(counts) != len(self._card.classes):
            raise ValueError(f"expected {len(self._card.classes)} counts, found {len(counts)}")
        weights = self._multipliers
        if self._balanced:
            rare = torch.tensor([max(1, count) for count in counts], dtype=torch.float32)
            weights = weights * (sum(counts) / (len(counts) * rare))
        self._loss.class_weights.copy_(weights)
        self._counted = True

    def size_of(self, height: int, width: int) -> tuple[int, int]:
        return self._card.input_size, self._card.input_size

    def forward(self, batch: Batch) -> Losses:
        if self._balanced and not self._counted:
            raise RuntimeError("balanced class weights: set_class_counts comes before training")
        logits = self._logits(self._normalise(batch.pixels))
        losses: Losses = self._loss(logits, batch.image_classes)
        return {**losses, "accuracy": _accuracy(logits.detach(), batch.image_classes)}

    @abstractmethod
    def _logits(self, pixels: Tensor) -> Tensor:
        """Return the (B, K) logits of (B, 3, H, W) normalised pixels."""


def stages_by_stride(layers: Sequence[nn.Module]) -> list[nn.Module]:
    """Return the layers in groups; one begins wherever a convolution has a stride above 1."""
    parts: list[list[nn.Module]] = []
    for layer in layers:
        convolutions = (m for m in layer.modules() if isinstance(m, nn.Conv2d))
        if not parts or any(max(one.stride) > 1 for one in convolutions):
            parts.append([])
        parts[-1].append(layer)
    return [nn.ModuleList(part) for part in parts]


def _standard(card: ModelCard) -> Standard:
    """The name of the mean and deviation by which the network's input is standardised."""
    return "half" if card.architecture.get("standardise") == "half" else "imagenet"


def _multipliers(by_name: dict[str, float], classes: tuple[str, ...]) -> Tensor:
    for name, factor in by_name.items():
        if not 0 <= factor < float("inf"):
            expected = "a finite factor of at least 0"
            where = f"classification.class_multipliers.{name}"
            raise ConfigError(where, expected=expected, found=f"{factor}")
    return torch.tensor([by_name.get(name, 1.0) for name in classes])


def _mean(each: Tensor, weights: Tensor) -> Tensor:
    """The weighted mean of (B,) values; 0 where all weights are 0."""
    return (weights * each).sum() / _not_zero(weights.sum())


def _accuracy(logits: Tensor, image_classes: Tensor) -> Tensor:
    """The share of the images of known class that are called by it; 0 where none is known."""
    known = image_classes != NOTHING
    right = (logits.argmax(dim=1) == image_classes) & known
    return right.sum() / _not_zero(known.sum().float())


def _not_zero(total: Tensor) -> Tensor:
    """Put 1 for 0, so that a sum that is 0 wherever this is can be divided by it."""
    return torch.where(total == 0, 1, total)
