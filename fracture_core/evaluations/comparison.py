"""Two to four models on the same images: metrics with intervals and paired tests, and their curves.

Evaluations are compared only where data, split, classes and ground truths are the same. Models are
held against a reference, each at its own confidence, which a common dial gives, and on the same
resamples of the patients.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isnan, nan

import numpy as np

from fracture_core.evaluations.evaluation import About, Evaluation
from fracture_core.evaluations.matched_models import (
    MatchedModel,
    Threshold,
)
from fracture_core.metrics.average_precision import AveragePrecision
from fracture_core.metrics.bootstrap import Interval, interval_of, replicates
from fracture_core.metrics.detection_table import Bools, DetectionTable, Float64s
from fracture_core.metrics.intervals import rate_of_none, wilson
from fracture_core.metrics.paired import Difference, McNemar, difference_of, mcnemar
from fracture_core.metrics.studies import study_positive, study_scores
from fracture_core.metrics.weighted import Auc, FrocSensitivity
from fracture_core.types import Int64s, Unit

# ---- what can be compared ------------------------------------------------------------------------


def refusal_of(first: About, other: About) -> str:
    """Return why two evaluations cannot be compared, by what they are of, or "" where they can."""
    if first.data_stamp != other.data_stamp or first.data != other.data:
        same = first.data == other.data
        found = "another state of the data" if same else f"other data, {other.data_name}"
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
    """As `refusal_of`, but of loaded evaluations, also by their images and ground truths.

    Both hold only images whose ground truth is known.
    """
    if reason := refusal_of(first.about, other.about):
        return reason
    title = other.about.title
    if first.sample_ids != other.sample_ids:
        return (
            f"{title} answered to {len(other):,} other images; the first to {len(first):,}: "
            "evaluate both on the same."
        )
    both_boxes = "classify" not in (first.about.task, other.about.task)
    if both_boxes and not _same_boxes(first.ground_truths, other.ground_truths):
        return f"{title} was held against other boxes of ground truth; evaluate both again."
    if not np.array_equal(first.positive, other.positive):
        return f"{title} was held against another ground truth of the images; evaluate both again."
    return ""


def _findings(about: About) -> frozenset[str]:
    return frozenset(name for name in about.classes if name != about.healthy)


def _same_boxes(first: DetectionTable, other: DetectionTable) -> bool:
    same: bool = np.array_equal(first.image, other.image) and np.array_equal(first.xyxy, other.xyxy)
    return same


# ---- metrics and tests ---------------------------------------------------------------------------

RESAMPLES = 1000
# With more candidates than this a resample takes a hundredth of a second: fewer are drawn.
MANY_CANDIDATES, FEW_RESAMPLES = 500_000, 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One metric of all models.

    `values` holds one interval a model, nan = undefined, and `differences` those from the
    reference, None for the reference itself. `counts` tells of each model how many it is of: a
    sensitivity counts positives, a specificity negatives, a precision what is shown. `at_dial`
    says that it depends on the confidence.
    """

    name: str
    unit: Unit
    counts: tuple[int, ...]
    at_dial: bool
    higher_is_better: bool
    values: tuple[Interval, ...]
    differences: tuple[Difference | None, ...]


# Name, unit, and whether more is better.
_AT_DIAL: tuple[tuple[str, Unit, bool], ...] = (
    ("sensitivity", "lesion", True),
    ("precision", "lesion", True),
    ("F1", "lesion", True),
    ("FP per image", "lesion", False),
    ("sensitivity", "image", True),
    ("specificity", "image", True),
)
_OF_ALL: tuple[tuple[str, Unit, bool], ...] = (
    ("AP50", "lesion", True),
    ("AP", "lesion", True),
    ("FROC, mean sensitivity", "lesion", True),
    ("AUC", "image", True),
    ("AUC", "study", True),
)


Ends = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """The S metrics of one model: `values` (S,) of all images and `replicates` (B, S) of resamples.

    The resamples of the `patients` are the same ones for every model. `counts` tells how many each
    metric is of. `counted` are ends of intervals from counts alone, None where there are none:
    resamples that all agree have no interval of their own.
    """

    values: Float64s
    replicates: Float64s
    patients: int
    counts: tuple[int, ...]
    counted: tuple[Ends | None, ...]


def draw_at_dial(one: MatchedModel, confidence: float | None) -> Drawn:
    """Return the metrics of `_AT_DIAL`, which depend on the confidence; all nan if it is None."""
    counts = _dial_counts(one, inf if confidence is None else confidence)
    boxes = one.lesions is not None
    of, counted = _dial_counted(counts.sum(axis=0))
    if confidence is None:
        nothing = np.full(len(_AT_DIAL), nan)
        none = np.full((0, len(_AT_DIAL)), nan)
        return Drawn(values=nothing, replicates=none, patients=0, counts=of, counted=counted)

    def metrics(weights: Float64s) -> Float64s:
        return _dial_metrics(weights @ counts, boxes)

    return Drawn(
        values=metrics(np.ones(len(counts))),
        replicates=replicates(one.evaluation.group_ids, metrics, count=RESAMPLES),
        patients=len(set(one.evaluation.group_ids)),
        counts=of,
        counted=counted,
    )


def draw_of_all(one: MatchedModel) -> Drawn:
    """Return the metrics of `_OF_ALL`, in which all candidates count."""
    evaluation, config = one.evaluation, one.config
    groups, positive = evaluation.group_ids, evaluation.positive
    by_image = Auc.of(one.image_scores, positive)
    studies = study_scores(one.image_scores, groups, config.study_rule)
    by_study = Auc.of(studies.scores, study_positive(positive, groups))
    _, first = np.unique(np.asarray(groups), return_index=True)
    of_boxes = _box_statistics(one)

    def metrics(weights: Float64s) -> Float64s:
        # A drawn study brings all its images, so its weight is that of any of them.
        whole = [by_image(weights), by_study(weights[first])]
        return np.array([*of_boxes(weights), *whole])

    count = FEW_RESAMPLES if len(one.found) > MANY_CANDIDATES else RESAMPLES
    lesions = len(evaluation.ground_truths) if one.lesions is not None else 0
    return Drawn(
        values=metrics(np.ones(len(groups))),
        replicates=replicates(groups, metrics, count=count),
        patients=len(set(groups)),
        counts=(lesions, lesions, lesions, len(groups), len(set(groups))),
        counted=(None,) * len(_OF_ALL),
    )


def lines(
    models: Sequence[MatchedModel],
    at_dial: Sequence[Drawn],
    of_all: Sequence[Drawn],
    reference: int,
) -> tuple[Line, ...]:
    """Return every metric of the models, those at the dial first.

    Metrics of studies are left out where each study is one image. `reference` is the position of
    the model that the others are held against.
    """
    first = models[0].evaluation
    single = len(set(first.group_ids)) == len(first)
    made = []
    for drawn, names in ((at_dial, _AT_DIAL), (of_all, _OF_ALL)):
        for column, (name, unit, higher) in enumerate(names):
            if unit == "study" and single:
                continue
            made.append(
                Line(
                    name=name,
                    unit=unit,
                    counts=tuple(each.counts[column] for each in drawn),
                    at_dial=names is _AT_DIAL,
                    higher_is_better=higher,
                    values=tuple(_interval(each, column) for each in drawn),
                    differences=_differences(drawn, column, reference),
                )
            )
    return tuple(made)


def image_tests(
    models: Sequence[MatchedModel], thresholds: Sequence[Threshold], reference: int
) -> tuple[McNemar | None, ...]:
    """Test for each model, by McNemar, whether it calls more images right than the reference does.

    None stands for the reference itself and where one of the two has no confidence.
    """
    right = [_called_right(one, at) for one, at in zip(models, thresholds, strict=True)]
    ours = right[reference]
    return tuple(
        None if n == reference or theirs is None or ours is None else mcnemar(theirs, ours)
        for n, theirs in enumerate(right)
    )


def test_count(made: Sequence[Line], images: Sequence[McNemar | None]) -> int:
    """Return how many p values there are, of all lines and image tests."""
    paired = sum(
        each is not None and not np.isnan(each.p_value)
        for line in made
        for each in line.differences
    )
    return paired + sum(each is not None for each in images)


def _dial_counts(one: MatchedModel, confidence: float) -> Float64s:
    """(I, 8) by image: hits, false positives, ground truths; called and positive, positive, not
    called and negative, negative; 1.
    """
    count = len(one.evaluation)
    shown = one.found.scores.astype(np.float64) >= confidence
    positive = one.evaluation.positive
    called = one.image_scores >= confidence

    def by_image(image: Int64s) -> Float64s:
        return np.bincount(image, minlength=count).astype(np.float64)

    columns = (
        by_image(one.found.image[shown & one.right]),
        by_image(one.found.image[shown & ~one.right]),
        by_image(one.evaluation.ground_truths.image),
        (called & positive).astype(np.float64),
        positive.astype(np.float64),
        (~called & ~positive).astype(np.float64),
        (~positive).astype(np.float64),
        np.ones(count),
    )
    return np.stack(columns, axis=1)


def _dial_metrics(sums: Float64s, boxes: bool) -> Float64s:
    """(6,) from the (8,) sums of `_dial_counts`, in the order of `_AT_DIAL`."""
    hits, wrong, ground_truths, called, ill, silent, healthy, images = sums.tolist()
    of_lesions = (
        _share(hits, ground_truths),
        _share(hits, hits + wrong),
        _share(2 * hits, hits + wrong + ground_truths),
        _share(wrong, images),
    )
    lesions = of_lesions if boxes else (nan,) * len(of_lesions)
    return np.array([*lesions, _share(called, ill), _share(silent, healthy)])


def _dial_counted(sums: Float64s) -> tuple[tuple[int, ...], tuple[Ends | None, ...]]:
    """How many each metric of `_AT_DIAL` is of, and its interval from counts where it has one."""
    hits, wrong, ground_truths, called, ill, silent, healthy, images = map(int, sums)
    counted = (
        wilson(hits, ground_truths),
        wilson(hits, hits + wrong),
        None,
        None if wrong else rate_of_none(images),
        wilson(called, ill),
        wilson(silent, healthy),
    )
    return (ground_truths, hits + wrong, ground_truths, images, ill, healthy), counted


class _NoBoxes:
    """The metrics of boxes, all nan, of a model that finds none."""

    def __call__(self, _: Float64s) -> Float64s:
        return np.full(3, nan)


class _BoxMetrics:
    """AP50, AP and the mean sensitivity of FROC, as functions of the weights of the images."""

    def __init__(self, one: MatchedModel) -> None:
        ground_truths, config = one.evaluation.ground_truths, one.config
        self._average = AveragePrecision.of(one.found, ground_truths)
        self._froc = FrocSensitivity.of(
            one.found, ground_truths, match_iou=config.match_iou, class_aware=config.class_aware
        )

    def __call__(self, weights: Float64s) -> Float64s:
        by_iou = self._average(weights)
        return np.array([by_iou[0], by_iou.mean(), self._froc(weights).mean()])


def _box_statistics(one: MatchedModel) -> _NoBoxes | _BoxMetrics:
    return _NoBoxes() if one.lesions is None else _BoxMetrics(one)


def _interval(drawn: Drawn, column: int) -> Interval:
    """By resamples, or from the counts where all of them give the same value."""
    value, replicated = float(drawn.values[column]), drawn.replicates[:, column]
    found, counted = interval_of(value, replicated, patients=drawn.patients), drawn.counted[column]
    if counted is None or isnan(value) or not isnan(found.low):
        return found
    return Interval(value=value, low=counted[0], high=counted[1])


def _differences(
    drawn: Sequence[Drawn], column: int, reference: int
) -> tuple[Difference | None, ...]:
    ours = drawn[reference]
    return tuple(
        None if n == reference else _difference(theirs, ours, column)
        for n, theirs in enumerate(drawn)
    )


def _difference(first: Drawn, second: Drawn, column: int) -> Difference:
    value = float(first.values[column] - second.values[column])
    # One of the two may have fewer resamples; as many first ones are the same patients.
    count = min(len(first.replicates), len(second.replicates))
    drawn = first.replicates[:count, column] - second.replicates[:count, column]
    return difference_of(value, drawn, patients=min(first.patients, second.patients))


def _called_right(one: MatchedModel, at: Threshold) -> Bools | None:
    if at.confidence is None:
        return None
    right: Bools = (one.image_scores >= at.confidence) == one.evaluation.positive
    return right


def _share(part: float, whole: float) -> float:
    return part / whole if whole else nan


# ---- curves --------------------------------------------------------------------------------------

MOST_POINTS = 400
MOST_FP = 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlay:
    """C points of one model's curve, `x` and `y` (C,) float64."""

    x: Float64s
    y: Float64s


def pr_overlay(one: MatchedModel, unit: Unit) -> Overlay:
    """Return precision over sensitivity, of lesions or images; empty with nothing to find."""
    curve = one.curve(unit)
    if curve is None or not curve.positives:
        return Overlay(x=np.empty(0), y=np.empty(0))
    kept = _some(curve.sweep.true_positives)
    return Overlay(x=curve.sweep.recall[kept], y=curve.sweep.precision[kept])


def froc_overlay(one: MatchedModel) -> Overlay:
    """Return sensitivity per lesion over false positives per image, up to `MOST_FP` of these."""
    curve = one.lesions
    if curve is None or not (curve.positives and curve.images):
        return Overlay(x=np.empty(0), y=np.empty(0))
    rates = curve.sweep.false_positives / curve.images
    near = int(np.searchsorted(rates, MOST_FP, side="right"))
    kept = _some(curve.sweep.true_positives[:near])
    # The curve begins where nothing is shown.
    return Overlay(
        x=np.concatenate([[0.0], rates[kept]]),
        y=np.concatenate([[0.0], curve.sweep.recall[kept]]),
    )


def roc_overlay(one: MatchedModel) -> Overlay:
    """Return sensitivity per image over the share of negative images that show something."""
    curve = one.images
    if not (curve.positives and curve.negatives):
        return Overlay(x=np.empty(0), y=np.empty(0))
    kept = _some(curve.sweep.true_positives + curve.false_alarms)
    x = np.concatenate([[0.0], curve.false_alarms[kept] / curve.negatives])
    return Overlay(x=x, y=np.concatenate([[0.0], curve.sweep.recall[kept]]))


def _some(counts: Int64s) -> Int64s:
    """At most `MOST_POINTS` places, where rising counts change by equal steps; both ends."""
    if len(counts) <= MOST_POINTS:
        return np.arange(len(counts), dtype=np.int64)
    steps = np.linspace(counts[0], counts[-1], MOST_POINTS // 2)
    at = np.searchsorted(counts, steps, side="left")
    even = np.round(np.linspace(0, len(counts) - 1, MOST_POINTS // 2)).astype(np.int64)
    kept: Int64s = np.unique(np.concatenate([np.minimum(at, len(counts) - 1), even]))
    return kept
