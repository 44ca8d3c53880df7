"""Every metric of an evaluation, each with its unit, its number, its interval and its rule.

The parts of a report (`report_boxes`, `report_images`) write `Metric`s into a `Draft`, which
measures them and draws all intervals at once. Between the two stand the metrics of weighted images
that only a report needs; others are in `metrics.weighted`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import isnan, nan

import numpy as np
import numpy.typing as npt

from fracture_core.evaluations.attributes import banner_of
from fracture_core.evaluations.evaluation import About, Evaluation
from fracture_core.matching import MatchConfig
from fracture_core.metrics.bootstrap import bootstrap_all
from fracture_core.metrics.detection_table import Bools, DetectionTable, Float64s
from fracture_core.metrics.intervals import Proportion
from fracture_core.metrics.pairs import box_pairs
from fracture_core.metrics.weighted import ImageCounts
from fracture_core.types import Int64s, Unit

Key = tuple[str, str, Unit, str]
RANKING = "Ranking"
"""The name of the section of areas under curves."""
UNDEFINED = "undefined"
"""The text of a number that there is nothing to measure on."""
FEWEST = 10
"""A subgroup with fewer cases is not called weaker than the whole."""


# ---- what a report holds -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricValue:
    """One measured number; nan, undefined, where there is nothing to measure it on.

    `section` groups metrics. `of` names a class or the rule of an operating point, "" = all. `unit`
    is what was counted and `n` how many of it. `low` and `high` are the ends of the 95 % interval,
    nan = no interval. `rule` says how it was measured.
    """

    section: str
    name: str
    of: str = ""
    unit: Unit
    n: int
    value: float
    low: float = nan
    high: float = nan
    rule: str = ""

    @property
    def is_defined(self) -> bool:
        """Whether there was anything to measure it on."""
        return not isnan(self.value)

    @property
    def text(self) -> str:
        """The number with its interval: "0.81 (0.75–0.86)", "0.812" without one, or "undefined"."""
        return measured_text(self.value, self.low, self.high)


def measured_text(value: float, low: float = nan, high: float = nan, places: int = 2) -> str:
    """Return a number with its interval, or alone and then to three places.

    Example:
        >>> measured_text(0.81, 0.75, 0.86), measured_text(0.8125)
        ('0.81 (0.75–0.86)', '0.812')
    """
    if isnan(value):
        return UNDEFINED
    return (
        f"{value:.3f}" if isnan(low) else f"{value:.{places}f} {interval_text(low, high, places)}"
    )


def interval_text(low: float, high: float, places: int = 2) -> str:
    """Return both ends in brackets, or "" where there is no interval."""
    return "" if isnan(low) else f"({low:.{places}f}–{high:.{places}f})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table of counts; in a confusion matrix rows are true and columns predicted."""

    title: str
    unit: Unit
    rule: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PointOfReport:
    """An operating point; `confidence` is None where its rule is not met, and `reason` says why."""

    rule: str
    confidence: float | None
    reason: str
    chosen_on: str


def key_of(metric: MetricValue) -> Key:
    """Return what tells a metric from the others of its subgroup."""
    return metric.section, metric.name, metric.unit, metric.of


@dataclass(frozen=True, slots=True, kw_only=True)
class Subgroup:
    """One subgroup, or all, with its `metrics`, named as in the report.

    `positives` are the `images` with anything to find. In a subgroup of lesions, images are those
    with such a lesion.
    """

    name: str
    images: int
    studies: int
    positives: int
    lesions: int
    metrics: tuple[MetricValue, ...]

    def metric(self, key: Key) -> MetricValue | None:
        """Return the metric with a key as `key_of` makes it, None where there is none."""
        return next((each for each in self.metrics if key_of(each) == key), None)

    def is_few(self, metric: MetricValue) -> bool:
        """Whether a metric counts fewer than `FEWEST` cases; an area needs so many of each kind."""
        if metric.section == RANKING:
            return min(self.positives, self.images - self.positives) < FEWEST
        return metric.n < FEWEST


@dataclass(frozen=True, slots=True, kw_only=True)
class Breakdown:
    """The metrics by one attribute: `whole` is of all images or lesions, `groups` are its parts."""

    attribute: str
    whole: Subgroup
    groups: tuple[Subgroup, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything that was measured in one evaluation.

    `asked` counts the images predicted, `images` those of them whose ground truth is known, and
    `positives` those with anything to find. `notes` say in sentences what is missing and why.
    `breakdowns` hold every metric by subgroup, and `weakest` says in sentences what they show.
    """

    about: About
    nms_iou: float
    match_iou: float
    study_rule: str
    asked: int
    images: int
    studies: int
    lesions: int
    positives: int
    seconds_an_image: float
    points: tuple[PointOfReport, ...]
    metrics: tuple[MetricValue, ...]
    tables: tuple[Table, ...]
    notes: tuple[str, ...]
    breakdowns: tuple[Breakdown, ...] = ()
    weakest: tuple[str, ...] = ()

    @property
    def config(self) -> MatchConfig:
        """How predictions were matched."""
        return MatchConfig(
            nms_iou=self.nms_iou, match_iou=self.match_iou, study_rule=self.study_rule
        )

    @property
    def banner(self) -> str:
        """A warning where images lie outside the model's scope or nothing tells; else ""."""
        return banner_of(self.about.scope)

    @property
    def sections(self) -> tuple[str, ...]:
        """The sections in order, each once."""
        return tuple(dict.fromkeys(metric.section for metric in self.metrics))

    def of_section(self, section: str) -> tuple[MetricValue, ...]:
        """Return the metrics of a section, in order."""
        return tuple(metric for metric in self.metrics if metric.section == section)

    def metric(self, section: str, name: str, unit: Unit, of: str = "") -> MetricValue:
        """Return one metric; raises KeyError where there is none."""
        for each in self.metrics:
            if (each.section, each.name, each.unit, each.of) == (section, name, unit, of):
                return each
        raise KeyError((section, name, unit, of))


# ---- metrics of weighted images ------------------------------------------------------------------

Statistic = Callable[[Float64s], npt.ArrayLike]
"""(I,) weights of the images → one metric or several."""


def pr_auc(scores: npt.ArrayLike, positive: npt.ArrayLike) -> Callable[[Float64s], float]:
    """Return the area under the PR curve of (I,) scores and (I,) bool as a function of weights.

    With weights of 1 it is the average precision of `rates.precision_recall`; it is nan without a
    positive.
    """
    values, marks = np.asarray(scores, dtype=np.float64), np.asarray(positive, dtype=np.float64)
    order = np.argsort(-values, kind="stable")
    # Images of equal scores are called together.
    ends = np.flatnonzero(np.diff(values[order], append=-np.inf))

    def metric(weights: Float64s) -> float:
        calls = np.cumsum(weights[order])[ends]
        hits = np.cumsum((weights * marks)[order])[ends]
        if not len(hits) or not hits[-1]:
            return nan
        precision = np.divide(hits, calls, out=np.zeros_like(hits), where=calls > 0)
        return float(np.diff(hits, prepend=0.0) @ precision / hits[-1])

    return metric


def calibration_error(
    scores: Float64s, right: Bools, image: Int64s, image_count: int, bins: int = 10
) -> Callable[[Float64s], float]:
    """Return the ECE of (N,) scores, each of an image, as a function of the weights of the images.

    With weights of 1 it is that of `calibration.reliability`.
    """
    place = np.minimum((np.searchsorted(np.arange(bins + 1) / bins, scores, "right") - 1), bins - 1)
    cell = image * bins + place
    # Hits less the sum of scores by image and bin, and how many scores there are by image.
    gaps = np.bincount(cell, right - scores, image_count * bins).reshape(image_count, bins)
    totals = np.bincount(cell, minlength=image_count * bins).reshape(image_count, bins).sum(axis=1)

    def metric(weights: Float64s) -> float:
        whole = float(weights @ totals)
        return float(np.abs(weights @ gaps).sum()) / whole if whole else nan

    return metric


def of_studies(
    statistic: Callable[[Float64s], float], groups: tuple[str, ...]
) -> Callable[[Float64s], float]:
    """Return a metric of studies, sorted by name, as a function of the weights of (I,) images."""
    _, first = np.unique(np.asarray(groups), return_index=True)
    return lambda weights: statistic(weights[first])


def any_hits(
    found: DetectionTable, ground_truths: DetectionTable, confidence: float, match_iou: float
) -> ImageCounts:
    """Return counts of images that any shown box hits, as `any_hit.count` counts them."""
    count = found.image_count
    shown = found.scores.astype(np.float64) >= confidence
    pairs = box_pairs(found, ground_truths, match_iou, class_aware=False)
    hitting = pairs.found[(pairs.iou > match_iou) & shown[pairs.found]]
    hits, called, there = np.zeros(count), np.zeros(count), np.zeros(count)
    hits[found.image[hitting]] = 1
    called[found.image[shown]] = 1
    there[ground_truths.image] = 1
    return ImageCounts(
        hits=hits, false_positives=called - hits, ground_truths=there, alarms=called * (1 - there)
    )


# ---- drafts --------------------------------------------------------------------------------------

# The confidence where no operating point can be chosen; the pages begin with it too.
_OTHERWISE = 0.5
Pair = tuple[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One number of a `statistic` that gives several, which is computed once for all its parts.

    `at` is the number's place.
    """

    statistic: Statistic
    at: int


Measure = Proportion | Statistic | Part | float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Metric:
    """A metric that is to be measured, with all that a report tells of it, see `MetricValue`.

    `measure` is where number and interval come from. A `Proportion` is counted and has Wilson's
    interval. A statistic, or a part of one, takes the weights of the images, 1 each for the number,
    and its interval is that of the bootstrap over patients. A bare number has none. `n` is the
    total of a proportion where it is not given.
    """

    section: str
    name: str
    of: str = ""
    unit: Unit
    n: int | None = None
    rule: str
    measure: Measure


@dataclass(slots=True, kw_only=True)
class Draft:
    """What the parts of a report are written into; every ground truth of it is known."""

    evaluation: Evaluation
    config: MatchConfig
    found: DetectionTable
    intervals: bool
    critical_pairs: tuple[Pair, ...] = ()
    points: tuple[PointOfReport, ...] = ()
    metrics: list[MetricValue] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _drawn: list[tuple[int, Part]] = field(default_factory=list)
    # Keyed by identity: statistics hold arrays and cannot be hashed.
    _whole: dict[int, tuple[Statistic, list[float]]] = field(default_factory=dict)

    @property
    def box_rule(self) -> str:
        """How boxes are matched, in words: match IoU, classes, and NMS IoU where it is used."""
        about = self.evaluation.about
        classes = "one class" if about.one_class else "by class"
        merged = f", merged above IoU {self.config.nms_iou:g}" if about.needs_nms else ""
        return f"IoU ≥ {self.config.match_iou:g}, {classes}{merged}"

    @property
    def met_points(self) -> list[tuple[str, float]]:
        """Rule and confidence of each operating point whose rule is met."""
        return [(each.rule, each.confidence) for each in self.points if each.confidence is not None]

    @property
    def main_point(self) -> tuple[str, float]:
        """The operating point at which tables are counted: the first one met, else 0.5."""
        points = self.met_points
        return points[0] if points else ("none chosen", _OTHERWISE)

    def add(self, metric: Metric) -> None:
        """Measure a metric; its interval is drawn later with those of all others.

        Raises ValueError for a metric without `n` that is no proportion.
        """
        measure, n = metric.measure, metric.n
        low = high = nan
        if isinstance(measure, Proportion):
            n = measure.total if n is None else n
            value = measure.share
            if self.intervals:
                low, high = measure.interval
        elif isinstance(measure, float):
            value = measure
        else:
            part = measure if isinstance(measure, Part) else Part(measure, 0)
            value = self._of_all(part.statistic)[part.at]
            self._drawn.append((len(self.metrics), part))
        if n is None:
            raise ValueError(f"n: expected how many {metric.name} is of, got None")
        self.metrics.append(
            MetricValue(
                section=metric.section,
                name=metric.name,
                of=metric.of,
                unit=metric.unit,
                n=n,
                value=value,
                low=low,
                high=high,
                rule=metric.rule,
            )
        )

    def _of_all(self, statistic: Statistic) -> list[float]:
        """The numbers with weights of 1; kept, as a statistic may have several parts."""
        if id(statistic) not in self._whole:
            values = np.atleast_1d(statistic(np.ones(len(self.evaluation))))
            self._whole[id(statistic)] = statistic, [float(value) for value in values]
        return self._whole[id(statistic)][1]

    def draw_intervals(self) -> None:
        """Draw all bootstrap intervals, each resample of the patients once for all."""
        if not (self.intervals and self._drawn):
            return
        first, width = {}, 0
        for key, (_, values) in self._whole.items():
            first[key], width = width, width + len(values)
        statistics = [statistic for statistic, _ in self._whole.values()]

        def all_of(weights: Float64s) -> Float64s:
            return np.concatenate([np.atleast_1d(one(weights)) for one in statistics])

        ends = bootstrap_all(self.evaluation.group_ids, all_of)
        for place, part in self._drawn:
            interval = ends[first[id(part.statistic)] + part.at]
            metric = self.metrics[place]
            self.metrics[place] = replace(metric, low=interval.low, high=interval.high)
