"""Which evaluations can be held against each other."""

import numpy as np

from fracture_core.evaluations.evaluation import About, Evaluation
from fracture_core.metrics.columns import Columns


def refusal_of(first: About, other: About) -> str:
    """Why two evaluations cannot be compared by what they are of, or ""."""
    if first.data_stamp != other.data_stamp or first.data != other.data:
        same = first.data == other.data
        found = "an other state of the data" if same else f"other data, {other.data_name}"
        return f"{other.title} answered to {found}; the first to {first.data_name}."
    if first.split != other.split:
        return f"{other.title} answered to split {other.split}; the first to {first.split}."
    if first.one_class != other.one_class:
        words = ("each class by itself", "one class")
        return (
            f"{other.title} was evaluated with {words[other.one_class]}; "
            f"the first with {words[first.one_class]}."
        )
    if _findings(first) != _findings(other):
        ours, theirs = (", ".join(sorted(_findings(about)))[:120] for about in (first, other))
        return f"{other.title} was evaluated with the classes {theirs}; the first with {ours}."
    return ""


def refusal(first: Evaluation, other: Evaluation) -> str:
    """As `refusal_of`, and by their pictures and truths; both hold only known truths."""
    if reason := refusal_of(first.about, other.about):
        return reason
    title = other.about.title
    if first.sample_ids != other.sample_ids:
        return (
            f"{title} answered to {len(other):,} other images; the first to {len(first):,}: "
            "evaluate both on the same."
        )
    both_boxes = "classify" not in (first.about.task, other.about.task)
    if both_boxes and not _same_boxes(first.truths, other.truths):
        return f"{title} was held against other boxes of ground truth; evaluate both again."
    if not np.array_equal(first.positive, other.positive):
        return f"{title} was held against another ground truth of the images; evaluate both again."
    return ""


def _findings(about: About) -> frozenset[str]:
    return frozenset(name for name in about.classes if name != about.healthy)


def _same_boxes(first: Columns, other: Columns) -> bool:
    same: bool = np.array_equal(first.image, other.image) and np.array_equal(first.xyxy, other.xyxy)
    return same
