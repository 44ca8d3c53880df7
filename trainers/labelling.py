"""What a data set's annotations mean for a run: its classes, and each picture's truth in them."""

from dataclasses import dataclass

import numpy as np

from fracture_core.class_names import NO_CLASS, bring_together
from fracture_core.datasets import Dataset
from fracture_core.errors import ConfigError
from fracture_core.types import Int64s, Sample
from trainers.batches import NOTHING
from trainers.config import FINDINGS_CLASSES, TrainConfig

CLASSIFIERS = frozenset({"efficientnet_gate", "resnet"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelling:
    """`classes` of the run · `class_of` the class of each of the data set's, by its number ·
    `classifies` a picture "by class" or "by findings"; "" = its objects are detected.
    """

    classes: tuple[str, ...]
    class_of: tuple[int, ...]
    classifies: str = ""

    @classmethod
    def of(cls, dataset: Dataset, config: TrainConfig) -> "Labelling":
        """As the config asks; raises ConfigError where a classifier has fewer than two classes, and
        for a table of classes that cannot be learned from.
        """
        count = len(dataset.classes)
        is_classifier = config.family in CLASSIFIERS
        if is_classifier and config.classify == "findings":
            return cls(classes=FINDINGS_CLASSES, class_of=(1,) * count, classifies="by findings")
        classes, numbers = _merged(dataset, config)
        if is_classifier and len(classes) < 2:
            raise ConfigError(
                "classify",
                expected="two classes or more to tell apart",
                found=f"only '{', '.join(classes)}'",
                advice="classify=findings tells pictures with a finding from those without.",
            )
        return cls(
            classes=classes, class_of=numbers, classifies="by class" if is_classifier else ""
        )

    def knows(self, sample: Sample) -> bool:
        """Whether enough is known of a picture to learn from it."""
        return (sample.image_class if self.classifies == "by class" else sample.truth) is not None

    def labels(self, sample: Sample) -> Int64s:
        """(n,) classes of its objects, none where its truth is unknown."""
        given = np.empty(0, dtype=np.int64) if sample.truth is None else sample.truth.labels
        return np.asarray(self.class_of, dtype=np.int64)[given]

    def image_class(self, sample: Sample) -> int:
        """The class of the picture as a whole, `NOTHING` where unknown."""
        if self.classifies == "by findings":
            return NOTHING if sample.truth is None else int(len(sample.truth) > 0)
        return NOTHING if sample.image_class is None else self.class_of[sample.image_class]


def _merged(dataset: Dataset, config: TrainConfig) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """The classes to learn, and which of them each of the data set's is."""
    if config.merge_classes and config.is_a:
        found = f"also merge_classes {config.merge_classes!r}"
        raise ConfigError("is_a", expected="one way to merge classes", found=found)
    if config.merge_classes:
        return (config.merge_classes,), (0,) * len(dataset.classes)
    met = bring_together(dataset.classes, is_a=config.is_a)
    if NO_CLASS in met.moved[0]:
        name = dataset.classes[met.moved[0].index(NO_CLASS)]
        advice = "Leave its boxes out of the data set instead."
        raise ConfigError("is_a", expected="a class", found=f"none for {name!r}", advice=advice)
    return met.names, met.moved[0]


def class_names(dataset: Dataset, config: TrainConfig) -> tuple[str, ...]:
    """The classes a run tells apart; raises ConfigError."""
    return Labelling.of(dataset, config).classes
