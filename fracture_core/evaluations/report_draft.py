"""What the parts of a report are written into, with intervals drawn for all metrics at once."""

from collections.abc import Sequence
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
    _resampled: list[tuple[list[int], Statistic]] = field(default_factory=list)

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

    def share(
        self, section: str, name: str, unit: Unit, share: Proportion, rule: str, of: str = ""
    ) -> None:
        """A proportion, with Wilson's interval."""
        low, high = share.interval if self.intervals else (nan, nan)
        self.figures.append(
            Figure(
                section=section,
                name=name,
                of=of,
                unit=unit,
                n=share.total,
                value=share.share,
                low=low,
                high=high,
                rule=rule,
            )
        )

    def number(  # noqa: PLR0913, PLR0917
        self,
        section: str,
        name: str,
        unit: Unit,
        n: int,
        value: float,
        rule: str,
        of: str = "",
        statistic: Statistic | None = None,
    ) -> None:
        """Anything else; `statistic` is what its interval is drawn from."""
        if statistic is not None:
            self.resample([len(self.figures)], statistic)
        self.figures.append(
            Figure(
                section=section,
                name=name,
                of=of,
                unit=unit,
                n=n,
                value=value,
                rule=rule,
            )
        )

    def resample(self, places: Sequence[int], statistic: Statistic) -> None:
        """The figures at these places have intervals by patients drawn anew."""
        self._resampled.append((list(places), statistic))

    def draw_intervals(self) -> None:
        """All at once: each set of patients is drawn for all figures."""
        if not (self.intervals and self._resampled):
            return
        statistics = [statistic for _, statistic in self._resampled]

        def all_of(weights: Float64s) -> Float64s:
            return np.concatenate([np.atleast_1d(one(weights)) for one in statistics])

        ends = bootstrap_all(self.evaluation.group_ids, all_of)
        places = [place for some, _ in self._resampled for place in some]
        for place, interval in zip(places, ends, strict=True):
            figure = self.figures[place]
            self.figures[place] = replace(figure, low=interval.low, high=interval.high)
