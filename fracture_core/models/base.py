"""The interface that every model family offers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from fracture_core.models.cards import ModelCard
from fracture_core.types import Heatmap, Prediction, Sample


class Model(Protocol):
    """A loaded model, which no call changes; two threads may use it at once."""

    @property
    def card(self) -> ModelCard:
        """What is known of the model."""
        ...

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        """Returns one raw prediction a sample, in the same order.

        The candidates are neither thresholded nor suppressed.
        """
        ...

    def explain(self, sample: Sample, index: int | None) -> Heatmap:
        """Returns where the model looked, as a map over the pixels of the sample.

        For a detector, `index` is a position among the findings of this model's own prediction of
        the sample; for a classifier it is a class. None explains the prediction of the image as a
        whole. Raises IndexError where there is no such finding or class.
        """
        ...

    def with_random_weights(self, seed: int) -> "Model":
        """Returns the same network with weights drawn anew from `seed`."""
        ...

    def save(self, folder: Path) -> ModelCard:
        """Writes the weights into a folder and, last, the card; returns the card as written.

        `Family.load` with that card and folder gives the same model.
        """
        ...


class Gated(Model, Protocol):
    """A model with an attention gate."""

    def explain_gate(self, sample: Sample) -> Heatmap:
        """Returns what the gate let pass of the image, whatever the class."""
        ...


class Family(Protocol):
    """A class that makes the models of one family out of folders, weights files and names."""

    def load(self, card: ModelCard, folder: Path) -> Model:
        """Returns the model of `card` with the weights in `folder`; raises WeightsError."""
        ...

    def describe(
        self, weights: Path, *, model_id: str, title: str, classes: tuple[str, ...] | None
    ) -> ModelCard:
        """Returns the card of a weights file from elsewhere.

        Raises WeightsError where it is unusable. `classes` names the classes where the file does
        not name them, or replaces the names in it.
        """
        ...

    def from_name(self, name: str) -> Model:
        """Returns the model that the family's library knows by this name.

        The name decides whether its weights are random or published ones. Raises ConfigError where
        the name is not known, and WeightsError where published weights cannot be had.
        """
        ...
