"""The part of a report that counts lesions: of models that answer with boxes."""

from collections.abc import Sequence
from dataclasses import fields
from math import nan

import numpy as np

from fracture_core.evaluations import resampling
from fracture_core.evaluations.measuring import Scored
from fracture_core.evaluations.report import Table
from fracture_core.evaluations.report_draft import Draft
from fracture_core.evaluations.resampling import Statistic
from fracture_core.metrics import any_hit, coco
from fracture_core.metrics.average_precision import AveragePrecision
from fracture_core.metrics.calibration import detection_ece, reliability
from fracture_core.metrics.cells import Cells, assign_cells
from fracture_core.metrics.columns import Columns, Float64s
from fracture_core.metrics.critical import critical_errors
from fracture_core.metrics.error_types import TYPES, error_types
from fracture_core.metrics.froc import RATES, froc
from fracture_core.metrics.intervals import Proportion
from fracture_core.metrics.weighted import FrocSensitivity, ImageCounts
from fracture_core.operating_points import measure
from fracture_core.types import Int64s, Unit

BOXES, MASKS = "COCO, boxes", "COCO, masks"
POINTS, FROC, CALIBRATION, CRITICAL = "Operating points", "FROC", "Calibration", "Critical errors"
MISSED, SPURIOUS = "missed", "spurious"
_COCO_RULE = "all candidates, IoU .50:.95, at most 100 a class and picture"
COCO_NAMES = {
    "ap": "AP",
    "ap50": "AP50",
    "ap75": "AP75",
    "ap_small": "AP small",
    "ap_medium": "AP medium",
    "ap_large": "AP large",
    "ar1": "AR1",
    "ar10": "AR10",
    "ar100": "AR100",
    "ar_small": "AR small",
    "ar_medium": "AR medium",
    "ar_large": "AR large",
}


def report_boxes(draft: Draft, scored: Scored | None) -> None:
    """COCO's figures, operating points per lesion, FROC, calibration, errors."""
    found, truths = draft.found, draft.evaluation.truths
    count = len(draft.evaluation.about.classes)
    if len(truths):
        draft.resample(_places_of_average(draft), _average_precision(found, truths))
    _report_coco(draft, BOXES, coco.evaluate_boxes(found, truths, count))
    masked = all(len(each.masks) == len(each) for each in (found, truths))
    if draft.evaluation.about.task == "segment":
        if masked:
            _report_coco(draft, MASKS, coco.evaluate_masks(found, truths, count))
        else:
            draft.notes.append("No figures of masks: the truth has none.")
    if scored is None:
        return
    for rule, confidence in draft.met_points:
        report_point(draft, scored, rule, confidence)
    report_froc(draft)
    _report_calibration(draft, scored)
    _report_errors(draft)


def _places_of_average(draft: Draft) -> range:
    """Where AP, AP50 and AP75 will stand."""
    return range(len(draft.figures), len(draft.figures) + 3)


def _average_precision(found: Columns, truths: Columns) -> Statistic:
    by_iou = AveragePrecision.of(found, truths)

    def figures(weights: Float64s) -> Float64s:
        values = by_iou(weights)
        return np.array([values.mean(), values[0], values[5]])

    return figures


def _report_coco(draft: Draft, section: str, figures: coco.CocoFigures) -> None:
    about, truths = draft.evaluation.about, draft.evaluation.truths
    support = np.bincount(truths.labels, minlength=len(about.classes))
    for each in fields(figures):
        if each.name in COCO_NAMES:
            value = _defined(getattr(figures, each.name))
            name = COCO_NAMES[each.name]
            draft.number(section, name, "lesion", len(truths), value, _COCO_RULE)
    per_class = (("AP", figures.per_class_ap), ("AP50", figures.per_class_ap50))
    for label in np.flatnonzero(support) if len(about.classes) > 1 else ():
        for name, values in per_class:
            n, of = int(support[label]), about.classes[label]
            value = _defined(values[label])
            draft.number(section, name, "lesion", n, value, _COCO_RULE, of)


def report_average(draft: Draft) -> None:
    """AP, AP50 and AP75 of boxes with intervals, and none of COCO's other figures."""
    found, truths = draft.found, draft.evaluation.truths
    statistic = _average_precision(found, truths)
    if len(truths):
        draft.resample(_places_of_average(draft), statistic)
    values = np.atleast_1d(statistic(np.ones(found.image_count)))
    for name, value in zip(("AP", "AP50", "AP75"), values.tolist(), strict=True):
        draft.number(BOXES, name, "lesion", len(truths), value, _COCO_RULE)


def _defined(value: float) -> float:
    """COCO writes −1 where there is no truth."""
    return nan if value == coco.UNDEFINED else value


def report_point(draft: Draft, scored: Scored, rule: str, confidence: float) -> None:
    """Lesions, and what a picture is called by any box."""
    at, found, truths = measure(scored.curve, confidence), draft.found, draft.evaluation.truths
    how = f"confidence ≥ {confidence:.3f}, {draft.box_rule}"
    draft.share(POINTS, "sensitivity", "lesion", at.sensitivity, how, rule)
    draft.share(POINTS, "precision", "lesion", at.precision, how, rule)
    counts = ImageCounts.of_findings(found, truths, confidence, match_iou=draft.config.match_iou)
    f1 = counts.f1(np.ones(at.images))
    draft.number(POINTS, "F1", "lesion", len(truths), f1, how, rule, counts.f1)
    rate, drawn = at.fp_per_image, counts.fp_per_image
    draft.number(POINTS, "FP per image", "image", at.images, rate, how, rule, drawn)
    beyond = f"confidence ≥ {confidence:.3f}, any box with IoU > {draft.config.match_iou:g}"
    any_ = any_hit.count(found, truths, confidence, draft.config.match_iou)
    hits, wrong, missed = any_.true_positives, any_.false_positives, any_.false_negatives
    for name, total in (("any-hit precision", hits + wrong), ("any-hit recall", hits + missed)):
        share = Proportion(count=hits, total=total)
        draft.share(POINTS, name, "image", share, beyond, rule)
    drawn = resampling.any_hits(found, truths, confidence, draft.config.match_iou).f1
    draft.number(POINTS, "any-hit F1", "image", hits + missed, any_.f1, beyond, rule, drawn)
    dual = any_hit.dual_metrics(found, truths, confidence, draft.config.match_iou)
    right = int(np.trace(dual.images.confusion))
    called = Proportion(count=right, total=at.images)
    draft.share(
        POINTS, "accuracy", "image", called, f"confidence ≥ {confidence:.3f}, any box", rule
    )
    draft.share(POINTS, "found boxes", "lesion", dual.boxes, beyond, rule)


def report_froc(draft: Draft) -> None:
    """Sensitivity at each of `RATES` false positives per image, and the mean of these."""
    curve = froc(draft.found, draft.evaluation.truths, match_iou=draft.config.match_iou)
    how = f"all candidates, {draft.box_rule}"
    values = [*curve.sensitivity_at().tolist(), curve.mean_sensitivity]
    names = [*(rate_name(rate) for rate in RATES), "mean of these"]
    weighted = FrocSensitivity.of(
        draft.found, draft.evaluation.truths, match_iou=draft.config.match_iou
    )
    first = len(draft.figures)
    draft.resample(range(first, first + len(names)), lambda weights: and_mean(weighted(weights)))
    for of, value in zip(names, values, strict=True):
        draft.number(FROC, "sensitivity", "lesion", curve.lesions, value, how, of)


def and_mean(values: Float64s) -> Float64s:
    """The values, then their mean."""
    return np.append(values, values.mean())


def rate_name(rate: float) -> str:
    """Such as "at 1/8 FP per image"."""
    return f"at {f'{rate:g}' if rate >= 1 else f'1/{1 / rate:g}'} FP per image"


def _report_calibration(draft: Draft, scored: Scored) -> None:
    how = f"10 bins of the score, {draft.box_rule}"
    bins = reliability(scored.scores, scored.right)
    count = draft.found.image_count
    drawn = resampling.calibration_error(scored.scores, scored.right, draft.found.image, count)
    draft.number(CALIBRATION, "ECE", "lesion", len(scored.scores), bins.ece, how, "", drawn)
    sizes = draft.evaluation.sizes_px
    where = "score, centre and size in 5 parts each" if sizes is not None else "5 bins of the score"
    value = detection_ece(draft.found, scored.right, sizes)
    how = f"{where}, {draft.box_rule}"
    draft.number(CALIBRATION, "D-ECE", "lesion", len(scored.scores), value, how)


def _report_errors(draft: Draft) -> None:
    rule, confidence = draft.main_point
    found, truths = draft.found, draft.evaluation.truths
    how = f"at {rule}, confidence ≥ {confidence:.3f}, match IoU {draft.config.match_iou:g}"
    counts = error_types(found, truths, confidence, match_iou=draft.config.match_iou).counts()
    kinds = (*TYPES, MISSED)
    draft.tables.append(
        Table(
            title="Error types",
            unit="lesion",
            rule=how,
            rows=("count",),
            columns=kinds,
            counts=(tuple(counts[kind] for kind in kinds),),
        )
    )
    classes = draft.evaluation.about.classes
    cells = assign_cells(found, truths, draft.config.match_iou)
    draft.tables.append(
        Table(
            title="Confusion",
            unit="lesion",
            rule=f"{how}, whatever the class",
            rows=(*classes, SPURIOUS),
            columns=(*classes, MISSED),
            counts=as_rows(cells.matrix(confidence, len(classes))),
        )
    )
    names = (*classes, MISSED)
    report_critical(draft, truths.labels, _read_as(cells, confidence, len(classes)), names, how)


def _read_as(cells: Cells, confidence: float, missed: int) -> Int64s:
    """(M,) the class each truth is found as."""
    shown = (cells.truth_row >= 0) & (cells.scores >= confidence)
    read = np.full(len(cells.truth_labels), missed, dtype=np.int64)
    read[cells.truth_row[shown]] = cells.labels[shown]
    return read


def report_critical(
    draft: Draft, truth: Int64s, read: Int64s, names: Sequence[str], how: str
) -> None:
    """Those of the pairs asked for, as shares of the true class."""
    unit: Unit = "image" if draft.evaluation.about.task == "classify" else "lesion"
    for error in critical_errors(truth, read, names, draft.critical_pairs):
        name = f"{error.pair[0]} read as {error.pair[1]}"
        draft.share(CRITICAL, name, unit, error.share, how)


def as_rows(counts: Int64s) -> tuple[tuple[int, ...], ...]:
    """As a table holds them."""
    return tuple(tuple(row) for row in counts.tolist())
