"""Random weights that are the same each time.

What every model family offers.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import torch

from fracture_core.models.cards import ModelCard
from fracture_core.types import Heatmap, Prediction, Sample

# Layers draw from the one generator of the process: one network is built at a time.
_LOCK = threading.Lock()


@contextmanager
def drawn_from(seed: int) -> Iterator[None]:
    """What is built inside draws its weights from `seed`; the generator is left as it was."""
    with _LOCK, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


class Model(Protocol):
    """A loaded model, never changed by what it is asked. Safe to call from two threads at once."""

    @property
    def card(self) -> ModelCard: ...

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        """Raw answers, one a sample in the same order: nothing thresholded, nothing suppressed."""
        ...

    def explain(self, sample: Sample, index: int | None) -> Heatmap:
        """Where the model looked, on the pixels of the sample.

        For a detector, `index` is a finding of its prediction of this sample alone; for a
        classifier, a class. None explains the answer to the image as a whole. Raises IndexError
        where there is no such finding or class.
        """
        ...

    def with_random_weights(self, seed: int) -> "Model":
        """The same network with weights drawn anew."""
        ...

    def save(self, folder: Path) -> ModelCard:
        """Write the weights into a folder and, last, the card; returns the card as written.

        `Family.load` with that card and folder gives the same model.
        """
        ...


class Family(Protocol):
    """A class that makes models of one family out of a model's folder."""

    def load(self, card: ModelCard, folder: Path) -> Model:
        """The model of `card` with the weights in `folder`; raises WeightsError."""
        ...

    def describe(
        self, weights: Path, *, model_id: str, title: str, classes: tuple[str, ...] | None
    ) -> ModelCard:
        """The card of a weights file from elsewhere; raises WeightsError where it is unusable.

        `classes` names the classes where the file does not, or in its place.
        """
        ...

    def from_name(self, name: str) -> Model:
        """The model of an architecture that the family's library knows by name, random weights.

        Raises ConfigError where the name is not known.
        """
        ...
