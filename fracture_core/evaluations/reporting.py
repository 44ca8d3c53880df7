"""A report made of an evaluation: which figures there are, and by which rule."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import nan

import numpy as np

from fracture_core import importing
from fracture_core.errors import ConfigError
from fracture_core.evaluations.evaluation import Evaluation
from fracture_core.evaluations.measuring import Scored, score_all
from fracture_core.evaluations.report import Figure, PointOfReport, Report, Table, Unit
from fracture_core.evaluations.resampling import Statistic
from fracture_core.metrics.bootstrap import bootstrap_all
from fracture_core.metrics.columns import Columns, Float64s
from fracture_core.metrics.intervals import Proportion
from fracture_core.metrics.studies import STUDY_RULES
from fracture_core.models.points import Measurements
from fracture_core.operating_points import RULES, choose

# Where no operating point can be chosen, as the pages begin.
_OTHERWISE = 0.5
Pair = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a report is made with."""

    nms_iou: float
    match_iou: float
    study_rule: str
    critical_pairs: tuple[Pair, ...]


@dataclass(slots=True, kw_only=True)
class Draft:
    """What the parts of a report are written into; of judged pictures alone."""

    evaluation: Evaluation
    setting: Setting
    found: Columns
    intervals: bool
    points: tuple[PointOfReport, ...] = ()
    figures: list[Figure] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _resampled: list[tuple[list[int], Statistic]] = field(default_factory=list)

    @property
    def box_rule(self) -> str:
        about = self.evaluation.about
        classes = "one class" if about.one_class else "by class"
        merged = f", merged above IoU {self.setting.nms_iou:g}" if about.needs_nms else ""
        return f"IoU ≥ {self.setting.match_iou:g}, {classes}{merged}"

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


def report_of(
    evaluation: Evaluation,
    *,
    nms_iou: float = 0.5,
    match_iou: float = 0.5,
    study_rule: str = "max",
    critical_pairs: Sequence[Pair] = (),
    intervals: bool = True,
    measured: Measurements | None = None,
) -> Report:
    """All figures of the pictures whose truth is known.

    Operating points are those of `measured`, where they are of this model, else chosen here, which
    flatters them. AP, FROC and the areas under curves use all candidates. Raises ConfigError for a
    study rule or a critical pair that is none.
    """
    with importing.LOCK:
        from fracture_core.evaluations.reporting_boxes import report_boxes
        from fracture_core.evaluations.reporting_kinds import report_kinds
        from fracture_core.evaluations.reporting_pictures import report_classes, report_pictures

    if study_rule not in STUDY_RULES:
        expected = f"one of {', '.join(STUDY_RULES)}"
        raise ConfigError("study rule", expected=expected, found=repr(study_rule))
    judged = evaluation.judged()
    draft = Draft(
        evaluation=judged,
        setting=Setting(
            nms_iou=nms_iou,
            match_iou=match_iou,
            study_rule=study_rule,
            critical_pairs=tuple(critical_pairs),
        ),
        found=judged.found(nms_iou),
        intervals=intervals,
    )
    scored = _scored(draft)
    draft.points = _points(draft, scored, measured)
    if evaluation.about.task == "classify":
        report_classes(draft)
    else:
        report_boxes(draft, scored)
    report_pictures(draft, scored)
    report_kinds(draft)
    draft.draw_intervals()
    return _finished(evaluation, draft)


def _scored(draft: Draft) -> Scored | None:
    """None for a classifier none of whose classes means that nothing is there."""
    try:
        return score_all(draft.evaluation, draft.setting.nms_iou, draft.setting.match_iou)
    except ConfigError as error:
        draft.notes.append(str(error))
        return None


def _points(
    draft: Draft, scored: Scored | None, measured: Measurements | None
) -> tuple[PointOfReport, ...]:
    if measured is not None:
        where = f"{measured.data}, split {measured.split}"
        return tuple(
            PointOfReport(
                rule=point.rule, confidence=point.confidence, reason=point.reason, chosen_on=where
            )
            for point in measured.points
        )
    if scored is None:
        return ()
    about = draft.evaluation.about
    draft.notes.append(
        "The operating points were chosen on these very pictures, which flatters them; "
        "choose on validation and report on test."
    )
    return tuple(
        PointOfReport(
            rule=point.rule.name,
            confidence=point.confidence,
            reason=point.reason,
            chosen_on=f"{about.data_name}, split {about.split}",
        )
        for point in (choose(scored.curve, rule) for rule in RULES)
    )


def _finished(evaluation: Evaluation, draft: Draft) -> Report:
    judged, setting = draft.evaluation, draft.setting
    for point in draft.points:
        if point.reason:
            draft.notes.append(f"No operating point for {point.rule}: {point.reason}.")
    if len(judged) < len(evaluation):
        left_out = len(evaluation) - len(judged)
        draft.notes.append(f"{left_out:,} pictures of unknown truth are left out.")
    return Report(
        about=evaluation.about,
        nms_iou=setting.nms_iou,
        match_iou=setting.match_iou,
        study_rule=setting.study_rule,
        asked=len(evaluation),
        pictures=len(judged),
        studies=len(set(judged.group_ids)),
        lesions=len(judged.truths),
        positives=int(judged.positive.sum()),
        seconds_an_image=float(np.mean(evaluation.seconds)) if len(evaluation) else nan,
        points=draft.points,
        figures=tuple(draft.figures),
        tables=tuple(draft.tables),
        notes=tuple(draft.notes),
    )
