"""The part of a report that counts images and studies, and the classes of classifiers."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fracture_core.evaluations import report
from fracture_core.evaluations.measuring import Scored
from fracture_core.evaluations.report import RANKING, Draft, Measure, Metric, Part, Table
from fracture_core.evaluations.report_boxes import CALIBRATION, POINTS, as_rows, report_critical
from fracture_core.metrics.classification import Report
from fracture_core.metrics.classification import report as classification_report
from fracture_core.metrics.detection_table import Bools, Float64s
from fracture_core.metrics.intervals import Proportion
from fracture_core.metrics.studies import study_positive, study_scores
from fracture_core.metrics.weighted import Auc, ImageCounts
from fracture_core.types import Unit

ACCURACY, CLASSES = "Accuracy", "Classes"
MACRO, WEIGHTED = "macro average", "weighted average"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wholes:
    """W images or studies, with (W,) scores and whether there is anything to find in each."""

    unit: Unit
    scores: Float64s
    positive: Bools
    rule: str


def report_images(draft: Draft, scored: Scored | None) -> None:
    """Add the metrics of images and studies at the operating points, and areas under ROC and PR.

    Nothing is added where the model tells no findings from none, and `scored` is None.
    """
    if scored is not None:
        report_calls(draft)
        report_areas(draft)


def report_calls(draft: Draft) -> None:
    """Add how often images and studies are called right at the operating points."""
    for whole in _wholes(draft):
        for rule, confidence in draft.met_points:
            _report_point(draft, whole, rule, confidence)


def report_areas(draft: Draft) -> None:
    """Add the areas under ROC and PR, of images and studies."""
    for whole in _wholes(draft):
        areas: tuple[tuple[str, Callable[[Float64s], float]], ...] = (
            ("ROC AUC", Auc.of(whole.scores, whole.positive)),
            ("PR AUC", report.pr_auc(whole.scores, whole.positive)),
        )
        for name, area in areas:
            draft.add(
                Metric(
                    section=RANKING,
                    name=name,
                    unit=whole.unit,
                    n=len(whole.scores),
                    rule=whole.rule,
                    measure=_of_wholes(area, whole, draft),
                )
            )


def _of_wholes(
    metric: Callable[[Float64s], float], whole: _Wholes, draft: Draft
) -> Callable[[Float64s], float]:
    """The metric as a function of the weights of images, whether it is of images or of studies."""
    if whole.unit != "study":
        return metric
    return report.of_studies(metric, draft.evaluation.group_ids)


def _wholes(draft: Draft) -> list[_Wholes]:
    evaluation, rule = draft.evaluation, draft.config.study_rule
    classifies = evaluation.about.task == "classify"
    scores = evaluation.scores(draft.config.nms_iou)
    images = _Wholes(
        unit="image",
        scores=scores,
        positive=evaluation.positive,
        rule="the image's own score" if classifies else "the score of its best candidate",
    )
    groups = evaluation.group_ids
    if len(set(groups)) == len(groups):
        note = "Each study is one image: its metrics are those per image."
        if note not in draft.notes:
            draft.notes.append(note)
        return [images]
    by_study = study_scores(scores, groups, rule)
    studies = _Wholes(
        unit="study",
        scores=by_study.scores,
        positive=study_positive(evaluation.positive, groups),
        rule=f"{rule} of the scores of its images",
    )
    return [images, studies]


def _report_point(draft: Draft, whole: _Wholes, rule: str, confidence: float) -> None:
    called, positive = whole.scores >= confidence, whole.positive
    counts = ImageCounts.of_images(whole.scores, positive, confidence)
    rows: list[tuple[str, int | None, Measure]] = [
        (name, None, Proportion(count=int(part.sum()), total=int(of.sum())))
        for name, part, of in (
            ("sensitivity", called & positive, positive),
            ("specificity", ~called & ~positive, ~positive),
            ("PPV", called & positive, called),
            ("NPV", ~called & ~positive, ~called),
        )
    ]
    rows.append(("F1", int(positive.sum()), _of_wholes(counts.f1, whole, draft)))
    for name, n, measured in rows:
        draft.add(
            Metric(
                section=POINTS,
                name=name,
                of=rule,
                unit=whole.unit,
                n=n,
                rule=f"scored ≥ {confidence:.3f}, {whole.rule}",
                measure=measured,
            )
        )


def report_classes(draft: Draft) -> None:
    """Add a classifier's usual report, its confusion matrix, critical errors and calibration."""
    evaluation = draft.evaluation
    about, ground_truth, called = evaluation.about, evaluation.image_classes, evaluation.called
    found = classification_report(ground_truth, called, len(about.classes))
    how, images = "the class with the highest score", len(evaluation)
    right = Proportion(count=int((ground_truth == called).sum()), total=images)
    draft.add(Metric(section=ACCURACY, name="accuracy", unit="image", rule=how, measure=right))
    _report_averages(draft, found, how)
    calls = found.confusion.sum(axis=0)
    for label, of in enumerate(about.classes):
        hits = int(found.confusion[label, label])
        for name, total in (("precision", calls[label]), ("recall", found.support[label])):
            share = Proportion(count=hits, total=int(total))
            draft.add(
                Metric(section=CLASSES, name=name, of=of, unit="image", rule=how, measure=share)
            )
    draft.tables.append(
        Table(
            title="Confusion",
            unit="image",
            rule=how,
            rows=about.classes,
            columns=about.classes,
            counts=as_rows(found.confusion),
        )
    )
    report_critical(draft, ground_truth, called, about.classes, how)
    _report_calibration(draft, ground_truth == called)


def _report_calibration(draft: Draft, right: Bools) -> None:
    scores, images = draft.evaluation.class_scores, len(draft.evaluation)
    best = np.max(scores, axis=1, initial=0) if scores is not None else np.empty(0)
    best = np.asarray(best, dtype=np.float64)
    draft.add(
        Metric(
            section=CALIBRATION,
            name="ECE",
            unit="image",
            n=images,
            rule="10 bins of the highest class score",
            measure=report.calibration_error(best, right, np.arange(images), images),
        )
    )


def _report_averages(draft: Draft, found: Report, how: str) -> None:
    """Add what is no share of images, in the order of `report.class_metrics`."""
    evaluation = draft.evaluation
    names, images = evaluation.about.classes, len(evaluation)
    averages = [
        (CLASSES, name, of, images)
        for of in (MACRO, WEIGHTED)
        for name in ("precision", "recall", "F1")
    ]
    rows = [
        (ACCURACY, "balanced accuracy", "", images),
        *averages,
        *((CLASSES, "F1", *facts) for facts in zip(names, found.support.tolist(), strict=True)),
    ]
    drawn = report.class_metrics(evaluation.image_classes, evaluation.called, len(names))
    for at, (section, name, of, n) in enumerate(rows):
        draft.add(
            Metric(
                section=section,
                name=name,
                of=of,
                unit="image",
                n=n,
                rule=how,
                measure=Part(drawn, at),
            )
        )
