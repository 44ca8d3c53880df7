"""What a data set's annotations mean in the classes of a model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fracture_core import classes as class_names
from fracture_core.datasets import Dataset
from fracture_core.errors import ConfigError
from fracture_core.evaluations.evaluation import UNKNOWN_CLASS
from fracture_core.models.cards import ModelCard
from fracture_core.types import Detections, Sample

FINDING = "finding"
"""What the one class is called where the model tells several apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelling:
    """`classes` are the model's, then those only the truth knows · `moved` says which of them each
    of the data set's is, `answered` which each of the model's is · `healthy` "nothing here", "" =
    there is none · `image_class` the class of a picture, −1 = unknown.
    """

    classes: tuple[str, ...]
    model_classes: int
    moved: tuple[int, ...]
    answered: tuple[int, ...]
    healthy: str
    image_class: Callable[[Sample], int]

    def truth(self, sample: Sample) -> Detections:
        """Its boxes in these classes; none where it is unknown."""
        return class_names.relabel(sample.truth or Detections.empty(), self.moved)


def label(card: ModelCard, dataset: Dataset, *, one_class: bool) -> Labelling:
    """How to hold a model against a data set; raises ConfigError where they have nothing in
    common.
    """
    if card.task == "classify":
        return _of_classifier(card, dataset, one_class=one_class)
    if one_class:
        name = card.classes[0] if len(card.classes) == 1 else FINDING
        return Labelling(
            classes=(name,),
            model_classes=1,
            moved=(0,) * len(dataset.classes),
            answered=(0,) * len(card.classes),
            healthy="",
            image_class=_unknown,
        )
    if not class_names.shared(card.classes, dataset.classes):
        advice = "With one class (--one-class) every class of both counts as one finding."
        raise _nothing_in_common(card, dataset, advice)
    return _by_name(card, dataset, healthy="", image_class=_unknown)


def _of_classifier(card: ModelCard, dataset: Dataset, *, one_class: bool) -> Labelling:
    """By the classes of pictures, or by whether there is any finding."""
    healthy = str(card.architecture.get("healthy", ""))
    healthy = healthy if healthy in card.classes else ""
    others = [name for name in card.classes if name != healthy]
    if not one_class and class_names.shared(others, dataset.classes):
        names, moved = class_names.merge(card.classes, dataset.classes)
        nothing = names.index(healthy) if healthy else UNKNOWN_CLASS
        return _by_name(card, dataset, healthy, _named_class(moved, nothing))
    if healthy and (one_class or len(others) == 1):
        return _by_findings(card, dataset, healthy, others)
    advice = "Its classes can be told from any finding only where one of them means healthy."
    if healthy:
        advice = "With one class (--one-class) it is judged by healthy or not."
    raise _nothing_in_common(card, dataset, advice)


def _by_name(
    card: ModelCard, dataset: Dataset, healthy: str, image_class: Callable[[Sample], int]
) -> Labelling:
    names, moved = class_names.merge(card.classes, dataset.classes)
    return Labelling(
        classes=names,
        model_classes=len(card.classes),
        moved=moved,
        answered=tuple(range(len(card.classes))),
        healthy=healthy,
        image_class=image_class,
    )


def _by_findings(
    card: ModelCard, dataset: Dataset, healthy: str, others: Sequence[str]
) -> Labelling:
    """Two classes in the model's order: healthy, and whatever else it knows."""
    other = others[0] if len(others) == 1 else FINDING
    first = card.classes[0] == healthy
    nothing, something = (0, 1) if first else (1, 0)
    return Labelling(
        classes=(healthy, other) if first else (other, healthy),
        model_classes=2,
        moved=(something,) * len(dataset.classes),
        answered=tuple(nothing if name == healthy else something for name in card.classes),
        healthy=healthy,
        image_class=_named_class((something,) * len(dataset.classes), nothing),
    )


def _named_class(moved: Sequence[int], nothing: int) -> Callable[[Sample], int]:
    """By the picture's own class, or by its truth; `nothing` is the class of a picture without."""

    def find(sample: Sample) -> int:
        if sample.image_class is not None:
            return moved[sample.image_class]
        if sample.truth is None:
            return UNKNOWN_CLASS
        return moved[sample.truth.labels[0]] if len(sample.truth) else nothing

    return find


def _unknown(_: Sample) -> int:
    return UNKNOWN_CLASS


def _nothing_in_common(card: ModelCard, dataset: Dataset, advice: str) -> ConfigError:
    return ConfigError(
        dataset.name,
        expected=f"a class of {card.title} ({_listed(card.classes)})",
        found=f"other classes ({_listed(dataset.classes)})",
        advice=advice,
    )


def _listed(names: Sequence[str]) -> str:
    text = ", ".join(names)
    return text if len(text) <= 200 else f"{text[:200]}…"
