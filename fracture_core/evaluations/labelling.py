"""What a data set's annotations mean in the classes of a model.

Classes meet by their names, or by what `is_a` says of them, or all count as one. A classifier of
images is held against the images' own classes, or against whether there is any finding.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fracture_core import class_names
from fracture_core.class_names import NO_CLASS, IsA, bring_together
from fracture_core.datasets import Dataset
from fracture_core.errors import ConfigError
from fracture_core.evaluations.evaluation import UNKNOWN_CLASS
from fracture_core.models.cards import ModelCard
from fracture_core.types import Detections, Int64s, Sample

FINDING = "finding"
"""The name of the one class where the model tells several apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelling:
    """How the classes of a model and of a data set are brought together.

    `classes` are the model's, then those only the ground truth knows. `moved` tells which of them
    each class of the data set is, `answered` which each of the model's is, −1 = no finding.
    `healthy` means "nothing here", "" = there is no such class. `image_class` gives the class of an
    image, −1 = unknown; it counts only where the model `classifies` images. `kinds` are the data
    set's own classes where several of them count as one, else none.
    """

    classes: tuple[str, ...]
    model_classes: int
    moved: tuple[int, ...]
    answered: tuple[int, ...]
    healthy: str
    image_class: Callable[[Sample], int]
    classifies: bool = False
    kinds: tuple[str, ...] = ()

    def knows(self, sample: Sample) -> bool:
        """Whether enough is known of an image to learn from it, or to match predictions."""
        if self.classifies:
            return self.image_class(sample) != UNKNOWN_CLASS
        return sample.ground_truth is not None

    def labels(self, sample: Sample) -> Int64s:
        """(n,) int64: which of these classes each box of an image is, −1 = no finding.

        It is (0,) where the ground truth is unknown.
        """
        given = (sample.ground_truth or Detections.empty()).labels
        found: Int64s = np.asarray(self.moved, dtype=np.int64)[given]
        return found

    def ground_truth(self, sample: Sample) -> Detections:
        """Return an image's boxes in these classes; none where nothing is known."""
        return class_names.relabel(sample.ground_truth or Detections.empty(), self.moved)

    def gt_kinds(self, sample: Sample) -> Int64s:
        """(n,) int64: which of `kinds` each box of `ground_truth` is."""
        kept: Int64s = (sample.ground_truth or Detections.empty()).labels[
            self.labels(sample) != NO_CLASS
        ]
        return kept


def label(
    card: ModelCard, dataset: Dataset, *, one_class: bool, is_a: IsA | None = None
) -> Labelling:
    """Return how to hold a model against a data set.

    Raises ConfigError where they have no class in common, unless all count as one.
    """
    found = _label(card, dataset, one_class=one_class, is_a=is_a or {})
    several = len(set(found.moved)) < len(found.moved)
    return replace(found, kinds=dataset.classes) if several else found


def _label(card: ModelCard, dataset: Dataset, *, one_class: bool, is_a: IsA) -> Labelling:
    if card.task == "classify":
        matched = _of_classifier(card, dataset, one_class=one_class, is_a=is_a)
        return replace(matched, classifies=True)
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
    if not bring_together(card.classes, dataset.classes, is_a=is_a).share:
        advice = "With one class (--one-class) every class of both counts as one finding."
        raise _nothing_in_common(card, dataset, advice)
    return _by_name(card, dataset, is_a, healthy="", image_class=_no_class)


def _of_classifier(card: ModelCard, dataset: Dataset, *, one_class: bool, is_a: IsA) -> Labelling:
    """By the classes of images, or by whether there is any finding."""
    healthy = str(card.architecture.get("healthy", ""))
    healthy = healthy if healthy in card.classes else ""
    others = [name for name in card.classes if name != healthy]
    # Its class for nothing stays a class; what counts as no finding is of it.
    table = {name: parent for name, parent in is_a.items() if name != healthy}
    if not one_class and bring_together(others, dataset.classes, is_a=table).share:

        def by_name(moved: Sequence[int], names: Sequence[str]) -> Callable[[Sample], int]:
            nothing = names.index(healthy) if healthy else UNKNOWN_CLASS
            return by_named_class([nothing if at == NO_CLASS else at for at in moved], nothing)

        return _by_name(card, dataset, table, healthy, by_name)
    if healthy and (one_class or len(others) == 1):
        return _by_findings(card, dataset, healthy, others)
    advice = "Its classes can be told from any finding only where one of them means healthy."
    if healthy:
        advice = "With one class (--one-class) an image counts as healthy or not."
    raise _nothing_in_common(card, dataset, advice)


def _by_name(
    card: ModelCard,
    dataset: Dataset,
    is_a: IsA,
    healthy: str,
    image_class: Callable[[Sequence[int], Sequence[str]], Callable[[Sample], int]],
) -> Labelling:
    met = bring_together(card.classes, dataset.classes, is_a=is_a)
    answered, moved = met.moved
    return Labelling(
        classes=met.names,
        model_classes=len(set(answered) - {NO_CLASS}),
        moved=moved,
        answered=answered,
        healthy=healthy,
        image_class=image_class(moved, met.names),
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
        image_class=by_named_class((something,) * len(dataset.classes), nothing),
    )


def by_any_finding(sample: Sample) -> int:
    """Return 1 where the ground truth holds anything, 0 where nothing, −1 where it is unknown."""
    return UNKNOWN_CLASS if sample.ground_truth is None else int(len(sample.ground_truth) > 0)


def by_named_class(moved: Sequence[int], nothing: int) -> Callable[[Sample], int]:
    """Return a function for the class of an image: its own, or that of its first ground truth.

    `nothing` is the class of an image without a ground truth box; −1 stands for one whose ground
    truth is unknown.
    """

    def find(sample: Sample) -> int:
        if sample.image_class is not None:
            return moved[sample.image_class]
        if sample.ground_truth is None:
            return UNKNOWN_CLASS
        return moved[sample.ground_truth.labels[0]] if len(sample.ground_truth) else nothing

    return find


def _unknown(_: Sample) -> int:
    return UNKNOWN_CLASS


def _no_class(_moved: Sequence[int], _names: Sequence[str]) -> Callable[[Sample], int]:
    return _unknown


def _nothing_in_common(card: ModelCard, dataset: Dataset, advice: str) -> ConfigError:
    proposed = class_names.propose(card.classes, dataset.classes)
    if pairs := [f'--is-a "{name}={parent}"' for name, parent in proposed.items() if parent]:
        advice = f"They may mean the same ({_listed(pairs)}). {advice}"
    return ConfigError(
        dataset.name,
        expected=f"a class of {card.title} ({_listed(card.classes)})",
        found=f"other classes ({_listed(dataset.classes)})",
        advice=advice,
    )


def _listed(names: Sequence[str]) -> str:
    text = ", ".join(names)
    return text if len(text) <= 200 else f"{text[:200]}…"
