"""The part of a report that counts pictures and studies, and the classes of classifiers."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fracture_core.evaluations import resampling
from fracture_core.evaluations.measuring import Scored
from fracture_core.evaluations.report import RANKING, Table
from fracture_core.evaluations.report_draft import Draft
from fracture_core.evaluations.reporting_boxes import (
    CALIBRATION,
    POINTS,
    as_rows,
    report_critical,
)
from fracture_core.metrics.calibration import reliability
from fracture_core.metrics.classification import Report, report
from fracture_core.metrics.columns import Bools, Float64s
from fracture_core.metrics.intervals import Proportion
from fracture_core.metrics.rates import precision_recall, roc
from fracture_core.metrics.studies import study_positive, study_scores
from fracture_core.metrics.weighted import Auc, ImageCounts
from fracture_core.types import Unit

ACCURACY, CLASSES = "Accuracy", "Classes"
MACRO, WEIGHTED = "macro average", "weighted average"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wholes:
    """Pictures or studies, (W,) each."""

    unit: Unit
    scores: Float64s
    positive: Bools
    rule: str


def report_pictures(draft: Draft, scored: Scored | None) -> None:
    """Sensitivity to NPV at the operating points, the areas under ROC and PR."""
    if scored is not None:
        report_calls(draft)
        report_areas(draft)


def report_calls(draft: Draft) -> None:
    """Whether pictures and studies are called right at the operating points."""
    for whole in _wholes(draft):
        for rule, confidence in draft.met_points:
            _report_point(draft, whole, rule, confidence)


def report_areas(draft: Draft) -> None:
    """The areas under ROC and PR, of pictures and studies."""
    for whole in _wholes(draft):
        count = len(whole.scores)
        areas: tuple[tuple[str, float, Callable[[Float64s], float]], ...] = (
            (
                "ROC AUC",
                roc(whole.scores, whole.positive).auc,
                Auc.of(whole.scores, whole.positive),
            ),
            (
                "PR AUC",
                precision_recall(whole.scores, whole.positive).average_precision,
                resampling.pr_auc(whole.scores, whole.positive),
            ),
        )
        for name, area, drawn in areas:
            groups = draft.evaluation.group_ids
            statistic = resampling.of_studies(drawn, groups) if whole.unit == "study" else drawn
            draft.number(RANKING, name, whole.unit, count, area, whole.rule, "", statistic)


def _wholes(draft: Draft) -> list[_Wholes]:
    evaluation, rule = draft.evaluation, draft.config.study_rule
    classifies = evaluation.about.task == "classify"
    scores = evaluation.scores(draft.config.nms_iou)
    images = _Wholes(
        unit="image",
        scores=scores,
        positive=evaluation.positive,
        rule="the picture's own score" if classifies else "the score of its best candidate",
    )
    groups = evaluation.group_ids
    if len(set(groups)) == len(groups):
        note = "Each study is one picture: its figures are those per image."
        if note not in draft.notes:
            draft.notes.append(note)
        return [images]
    by_study = study_scores(scores, groups, rule)
    studies = _Wholes(
        unit="study",
        scores=by_study.scores,
        positive=study_positive(evaluation.positive, groups),
        rule=f"{rule} of the scores of its pictures",
    )
    return [images, studies]


def _report_point(draft: Draft, whole: _Wholes, rule: str, confidence: float) -> None:
    called, positive = whole.scores >= confidence, whole.positive
    how = f"scored ≥ {confidence:.3f}, {whole.rule}"
    for name, part, of in (
        ("sensitivity", called & positive, positive),
        ("specificity", ~called & ~positive, ~positive),
        ("PPV", called & positive, called),
        ("NPV", ~called & ~positive, ~called),
    ):
        share = Proportion(count=int(part.sum()), total=int(of.sum()))
        draft.share(POINTS, name, whole.unit, share, how, rule)
    counts = ImageCounts.of_images(whole.scores, positive, confidence)
    f1, groups = counts.f1(np.ones(len(positive))), draft.evaluation.group_ids
    drawn = resampling.of_studies(counts.f1, groups) if whole.unit == "study" else counts.f1
    draft.number(POINTS, "F1", whole.unit, int(positive.sum()), f1, how, rule, drawn)


def report_classes(draft: Draft) -> None:
    """The usual report of a classifier, its confusion and calibration."""
    evaluation = draft.evaluation
    about, truth, called = evaluation.about, evaluation.image_classes, evaluation.called
    found = report(truth, called, len(about.classes))
    how, images = "the class with the highest score", len(evaluation)
    right = Proportion(count=int((truth == called).sum()), total=images)
    draft.share(ACCURACY, "accuracy", "image", right, how)
    _report_averages(draft, found, how)
    calls = found.confusion.sum(axis=0)
    for label, name in enumerate(about.classes):
        hits, support = int(found.confusion[label, label]), int(found.support[label])
        precision = Proportion(count=hits, total=int(calls[label]))
        draft.share(CLASSES, "precision", "image", precision, how, name)
        recall = Proportion(count=hits, total=support)
        draft.share(CLASSES, "recall", "image", recall, how, name)
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
    report_critical(draft, truth, called, about.classes, how)
    _report_calibration(draft, truth == called)


def _report_calibration(draft: Draft, right: Bools) -> None:
    scores, images = draft.evaluation.class_scores, len(draft.evaluation)
    best = np.max(scores, axis=1, initial=0) if scores is not None else np.empty(0)
    best = np.asarray(best, dtype=np.float64)
    drawn = resampling.calibration_error(best, right, np.arange(images), images)
    ece, how = reliability(best, right).ece, "10 bins of the highest class score"
    draft.number(CALIBRATION, "ECE", "image", images, ece, how, "", drawn)


def _report_averages(draft: Draft, found: Report, how: str) -> None:
    """Everything that is no share of pictures, in the order of `resampling.class_figures`."""
    evaluation = draft.evaluation
    names, images = evaluation.about.classes, len(evaluation)
    values = [(ACCURACY, "balanced accuracy", "", images, found.balanced_accuracy)]
    for of, each in ((MACRO, found.macro), (WEIGHTED, found.weighted)):
        values += [
            (CLASSES, "precision", of, images, each.precision),
            (CLASSES, "recall", of, images, each.recall),
            (CLASSES, "F1", of, images, each.f1),
        ]
    supports = found.support.tolist()
    values += [
        (CLASSES, "F1", *facts) for facts in zip(names, supports, found.f1.tolist(), strict=True)
    ]
    first = len(draft.figures)
    drawn = resampling.class_figures(evaluation.image_classes, evaluation.called, len(names))
    draft.resample(range(first, first + len(values)), drawn)
    for section, name, of, n, value in values:
        draft.number(section, name, "image", n, value, how, of)
