"""The part of a report that counts images and studies, and the classes of classifiers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from fracture_core.evaluations import report
from fracture_core.evaluations.measuring import Scored
from fracture_core.evaluations.report import RANKING, Draft, Measure, Metric, Part, Table
from fracture_core.evaluations.report_boxes import CALIBRATION, POINTS, as_rows, report_critical
from fracture_core.metrics.classification import confusion_matrix
from fracture_core.metrics.detection_table import Bools, DetectionTable, Float64s
from fracture_core.metrics.intervals import Proportion
from fracture_core.metrics.label_report import LabelReport
from fracture_core.metrics.studies import study_positive, study_scores
from fracture_core.metrics.weighted import Auc, ImageCounts
from fracture_core.types import Unit

ACCURACY, CLASSES = "Accuracy", "Classes"
IMAGE_CLASSES, NO_FINDING = "Class report of images", "no finding"
MACRO, WEIGHTED = "macro average", "weighted average"
_BEST = "the class with the highest score"
LABEL_METRICS = ("precision", "recall", "F1")
# Where `LabelReport` has the macro average of recall, which is also called balanced accuracy.
_MACRO_RECALL = LABEL_METRICS.index("recall")


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


def report_accuracy(draft: Draft) -> LabelReport:
    """Add a classifier's accuracy and balanced accuracy; return what the rest is counted from."""
    evaluation, images = draft.evaluation, len(draft.evaluation)
    ground_truth, called = evaluation.image_classes, evaluation.called
    each = np.arange(len(evaluation.about.classes))
    labels = LabelReport(ground_truth=ground_truth[:, None] == each, called=called[:, None] == each)
    right = Proportion(count=int((ground_truth == called).sum()), total=images)
    rows = (("accuracy", right), ("balanced accuracy", Part(labels, _MACRO_RECALL)))
    for name, measure in rows:
        draft.add(
            Metric(section=ACCURACY, name=name, unit="image", n=images, rule=_BEST, measure=measure)
        )
    return labels


def report_classes(draft: Draft) -> None:
    """Add a classifier's usual report, its confusion matrix, critical errors and calibration."""
    evaluation = draft.evaluation
    about, ground_truth, called = evaluation.about, evaluation.image_classes, evaluation.called
    report_labels(draft, report_accuracy(draft), about.classes, CLASSES, _BEST)
    draft.tables.append(
        Table(
            title="Confusion",
            unit="image",
            rule=_BEST,
            rows=about.classes,
            columns=about.classes,
            counts=as_rows(confusion_matrix(ground_truth, called, len(about.classes))),
        )
    )
    report_critical(draft, ground_truth, called, about.classes, _BEST)
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


def report_image_labels(draft: Draft) -> None:
    """Add a detector's class report of images, at the first operating point.

    An image holds each class of its ground truths, and is called each class of which it shows a
    finding; one without any is `NO_FINDING`. With one class it is the report of two, such as
    healthy and fracture.
    """
    rule, confidence = draft.main_point
    about, images = draft.evaluation.about, len(draft.evaluation)
    shown = draft.found.rows(draft.found.scores.astype(np.float64) >= confidence)
    labels = LabelReport(
        ground_truth=_labels_of(draft.evaluation.ground_truths, len(about.classes), images),
        called=_labels_of(shown, len(about.classes), images),
    )
    how = f"any box, whatever it overlaps, at {rule}, confidence ≥ {confidence:.3f}"
    report_labels(draft, labels, (*about.classes, NO_FINDING), IMAGE_CLASSES, how)


def _labels_of(boxes: DetectionTable, class_count: int, images: int) -> Bools:
    """(I, K + 1) which classes are in each image, and last whether none is."""
    marks = np.zeros((images, class_count + 1), dtype=np.bool_)
    marks[boxes.image, boxes.labels] = True
    marks[:, -1] = ~marks.any(axis=1)
    return marks


def report_labels(
    draft: Draft, labels: LabelReport, names: Sequence[str], section: str, how: str
) -> None:
    """Add precision, recall and F1 of each label, then their macro and weighted averages."""
    rows: list[tuple[str, str, int, Measure]] = []
    counts = np.stack([labels.hits, labels.calls, labels.support], axis=1).tolist()
    first = 2 * len(LABEL_METRICS)
    for at, (of, (hits, calls, support)) in enumerate(zip(names, counts, strict=True), first):
        rows += [
            ("precision", of, calls, Proportion(count=hits, total=calls)),
            ("recall", of, support, Proportion(count=hits, total=support)),
            ("F1", of, support, Part(labels, at)),
        ]
    averages = [(name, of) for of in (MACRO, WEIGHTED) for name in LABEL_METRICS]
    images = len(draft.evaluation)
    rows += [(name, of, images, Part(labels, at)) for at, (name, of) in enumerate(averages)]
    for name, of, n, measure in rows:
        draft.add(
            Metric(section=section, name=name, of=of, unit="image", n=n, rule=how, measure=measure)
        )
