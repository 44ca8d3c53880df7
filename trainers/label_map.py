"""The classes of a run: which of them each class of its data set becomes, as the config asks.

Classes stay as they are, count as others (`is_a`), count all as one (`merge_classes`), or, for a
classifier of findings, become "fracture", beside "healthy" for images without a finding.
"""

from collections.abc import Callable

from fracture_core.class_names import NO_CLASS, bring_together
from fracture_core.datasets import Dataset
from fracture_core.errors import ConfigError
from fracture_core.evaluations.evaluation import UNKNOWN_CLASS
from fracture_core.evaluations.labelling import Labelling, by_any_finding, by_named_class
from fracture_core.types import Sample
from trainers.config import FINDINGS_CLASSES, TrainConfig
from trainers.family_configs import ClassifierConfig


def label_map(dataset: Dataset, config: TrainConfig) -> Labelling:
    """Return how the data set's classes become those of the run.

    Raises ConfigError where a classifier has fewer than two classes, where both `merge_classes` and
    `is_a` are given, and where `is_a` makes a class stand for none.
    """
    is_classifier = isinstance(config, ClassifierConfig)
    if _by_findings(config):
        moved = (1,) * len(dataset.classes)
        return _learned(FINDINGS_CLASSES, moved, by_any_finding, classifies=True)
    classes, moved = _merged(dataset, config)
    if is_classifier and len(classes) < 2:
        raise ConfigError(
            "classification.classify",
            expected="two classes or more to tell apart",
            found=f"only '{', '.join(classes)}'",
            advice="With classify=findings images with a finding are told from those without.",
        )
    image_class = by_named_class(moved, UNKNOWN_CLASS)
    return _learned(classes, moved, image_class, classifies=is_classifier)


def class_names(dataset: Dataset, config: TrainConfig) -> tuple[str, ...]:
    """Return the classes that a run tells apart; raise ConfigError as `label_map` does."""
    return label_map(dataset, config).classes


def counts_as_one(dataset: Dataset, config: TrainConfig) -> bool:
    """Return whether evaluations of the run's model take all classes of the data set for one."""
    return bool(config.merge_classes) or (_by_findings(config) and len(dataset.classes) > 1)


def _by_findings(config: TrainConfig) -> bool:
    return isinstance(config, ClassifierConfig) and config.classification.classify == "findings"


def _learned(
    classes: tuple[str, ...],
    moved: tuple[int, ...],
    image_class: Callable[[Sample], int],
    *,
    classifies: bool,
) -> Labelling:
    """A labelling whose classes are all the model's."""
    return Labelling(
        classes=classes,
        model_classes=len(classes),
        moved=moved,
        answered=tuple(range(len(classes))),
        healthy="",
        image_class=image_class,
        classifies=classifies,
    )


def _merged(dataset: Dataset, config: TrainConfig) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """The classes to learn, and the index among them of each of the data set's classes."""
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
