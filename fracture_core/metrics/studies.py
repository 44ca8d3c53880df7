"""One score and one ground truth of each study, or patient, from those of its images."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from fracture_core.errors import ConfigError
from fracture_core.metrics.detection_table import Bools, Float64s
from fracture_core.types import Int64s

StudyRule = Literal["max", "noisy-or", "top-3 mean"]
STUDY_RULES: tuple[StudyRule, ...] = get_args(StudyRule)
TOP = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Studies:
    """The `names` of G groups, sorted, and the `scores` (G,) float64 of each."""

    names: tuple[str, ...]
    scores: Float64s


def study_scores(image_scores: npt.ArrayLike, groups: Sequence[str], rule: str) -> Studies:
    """(I,) scores of images and the group of each → one score a group, by a rule.

    "max" takes the score of its best image. "noisy-or" is 1 − ∏(1 − score), the chance of any
    finding if the scores were independent chances. "top-3 mean" is the mean of its three best
    scores, or of all if there are fewer. Raises ConfigError for another rule, ValueError where the
    lengths differ or a score for "noisy-or" is outside [0, 1].

    Example:
        >>> study_scores([0.2, 0.8, 0.5], ["a", "a", "b"], "max").scores.tolist()
        [0.8, 0.5]
    """
    scores = np.asarray(image_scores, dtype=np.float64)
    _require_length("image_scores", len(scores), groups)
    if rule not in STUDY_RULES:
        raise ConfigError("study rule", expected=f"one of {', '.join(STUDY_RULES)}", found=rule)
    names, number = _numbered(groups)
    if rule == "noisy-or":
        if ((scores < 0) | (scores > 1)).any():
            raise ValueError("image_scores: expected 0 to 1 for noisy-or")
        silent = np.ones(len(names))
        np.multiply.at(silent, number, 1 - scores)
        return Studies(names=names, scores=1 - silent)
    most = 1 if rule == "max" else TOP
    return Studies(names=names, scores=_mean_of_best(scores, number, len(names), most))


def study_positive(positive: npt.ArrayLike, groups: Sequence[str]) -> Bools:
    """(I,) whether there is anything to find in each image → (G,) whether in any image of a group.

    Groups are in the order of `Studies.names`. Raises ValueError where the lengths differ.
    """
    marks = np.asarray(positive, dtype=np.bool_)
    _require_length("positive", len(marks), groups)
    names, number = _numbered(groups)
    any_of = np.zeros(len(names), dtype=np.bool_)
    any_of[number[marks]] = True
    return any_of


def _mean_of_best(scores: Float64s, number: Int64s, count: int, most: int) -> Float64s:
    order = np.lexsort((-scores, number))
    sizes = np.bincount(number, minlength=count)
    rank = np.arange(len(scores)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    best = order[rank < most]
    means: Float64s = np.bincount(number[best], scores[best], count) / np.minimum(sizes, most)
    return means


def _numbered(groups: Sequence[str]) -> tuple[tuple[str, ...], Int64s]:
    names = sorted(set(groups))
    place = {name: i for i, name in enumerate(names)}
    return tuple(names), np.array([place[group] for group in groups], dtype=np.int64)


def _require_length(name: str, got: int, groups: Sequence[str]) -> None:
    if got != len(groups):
        raise ValueError(f"{name}: expected {len(groups)}, one an image, got {got}")
