"""Metrics, and what the parts of a report write them into, with intervals drawn at once."""

from dataclasses import dataclass, field, replace
from math import nan

import numpy as np

from fracture_core.evaluations.evaluation import Evaluation
from fracture_core.evaluations.report import Figure, PointOfReport, Table
from fracture_core.evaluations.resampling import Statistic
from fracture_core.matching import MatchConfig
from fracture_core.metrics.bootstrap import bootstrap_all
from fracture_core.metrics.columns import Columns, Float64s
from fracture_core.metrics.intervals import Proportion
from fracture_core.types import Unit

# Where no operating point can be chosen, as the pages begin.
_OTHERWISE = 0.5
Pair = tuple[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """The number at place `at` of a `statistic` that gives several, computed once for all."""

    statistic: Statistic
    at: int


Measure = Proportion | Statistic | Part | float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Metric:
    """A figure that is to be measured, with all that a report tells of it, see `Figure`.

    `measure` is where number and interval come from: a `Proportion` is counted and has Wilson's
    interval; a statistic, or a part of one, takes the weights of the pictures, 1 each for the
    number, and its interval is that of patients drawn anew; a bare number has none. `n` is the
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
    """What the parts of a report are written into; of judged pictures alone."""

    evaluation: Evaluation
    config: MatchConfig
    found: Columns
    intervals: bool
    critical_pairs: tuple[Pair, ...] = ()
    points: tuple[PointOfReport, ...] = ()
    figures: list[Figure] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _drawn: list[tuple[int, Part]] = field(default_factory=list)
    # By identity: statistics hold arrays, which are no keys.
    _whole: dict[int, tuple[Statistic, list[float]]] = field(default_factory=dict)

    @property
    def box_rule(self) -> str:
        about = self.evaluation.about
        classes = "one class" if about.one_class else "by class"
        merged = f", merged above IoU {self.config.nms_iou:g}" if about.needs_nms else ""
        return f"IoU ≥ {self.config.match_iou:g}, {classes}{merged}"

    @property
    def met_points(self) -> list[tuple[str, float]]:
        """Rule and confidence of the operating points there are."""
        return [(each.rule, each.confidence) for each in self.points if each.confidence is not None]

    @property
    def main_point(self) -> tuple[str, float]:
        """The one at which findings are sorted into tables."""
        points = self.met_points
        return points[0] if points else ("none chosen", _OTHERWISE)

    def add(self, metric: Metric) -> None:
        """Measure it, and have its interval drawn with those of all others."""
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
            self._drawn.append((len(self.figures), part))
        if n is None:
            raise ValueError(f"n: expected how many {metric.name} is of, got None")
        self.figures.append(
            Figure(
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
        """The numbers of all pictures as they are; kept, as a statistic may have several."""
        if id(statistic) not in self._whole:
            values = np.atleast_1d(statistic(np.ones(len(self.evaluation))))
            self._whole[id(statistic)] = statistic, [float(value) for value in values]
        return self._whole[id(statistic)][1]

    def draw_intervals(self) -> None:
        """All at once: each set of patients is drawn for all figures."""
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
            figure = self.figures[place]
            self.figures[place] = replace(figure, low=interval.low, high=interval.high)
