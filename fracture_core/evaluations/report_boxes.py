"""The part of a report that counts lesions, for models that predict boxes."""

from collections.abc import Sequence
from dataclasses import fields
from math import nan

import numpy as np

from fracture_core.evaluations import report
from fracture_core.evaluations.measuring import Scored
from fracture_core.evaluations.report import Draft, Measure, Metric, Part, Table
from fracture_core.metrics import any_hit, coco
from fracture_core.metrics.average_precision import AveragePrecision
from fracture_core.metrics.calibration import detection_ece
from fracture_core.metrics.cells import Cells, assign_cells
from fracture_core.metrics.critical import critical_errors
from fracture_core.metrics.detection_table import Float64s
from fracture_core.metrics.error_types import TYPES, error_types
from fracture_core.metrics.froc import RATES
from fracture_core.metrics.intervals import Proportion
from fracture_core.metrics.miss_rate import LogAverageMissRate
from fracture_core.metrics.weighted import FrocSensitivity, ImageCounts
from fracture_core.operating_points import measure
from fracture_core.types import Int64s, Unit

BOXES, MASKS = "COCO, boxes", "COCO, masks"
POINTS, FROC, MISS_RATE = "Operating points", "FROC", "Miss rate"
CALIBRATION, CRITICAL = "Calibration", "Critical errors"
AVERAGES = ("AP", "AP50", "AP75")
"""The metrics of COCO that have intervals here."""
MISSED, FALSE_POSITIVE = "missed", "false positive"
_COCO_RULE = "all candidates, IoU .50:.95, at most 100 a class and image"
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
    """Add COCO's metrics, operating points per lesion, FROC, calibration and errors."""
    found, ground_truths = draft.found, draft.evaluation.ground_truths
    count = len(draft.evaluation.about.classes)
    report_average(draft)
    _report_coco(draft, BOXES, coco.evaluate_boxes(found, ground_truths, count), leave_out=AVERAGES)
    if draft.evaluation.has_masks:
        _report_coco(draft, MASKS, coco.evaluate_masks(found, ground_truths, count))
    elif draft.evaluation.about.task == "segment":
        draft.notes.append("No metrics of masks: the ground truth has none.")
    if scored is None:
        return
    for rule, confidence in draft.met_points:
        report_point(draft, scored, rule, confidence)
    report_froc(draft)
    _report_calibration(draft, scored)
    _report_errors(draft)


def report_average(draft: Draft) -> None:
    """Add AP, AP50 and AP75 of boxes with intervals, and none of COCO's other metrics."""
    found, ground_truths = draft.found, draft.evaluation.ground_truths
    by_iou = AveragePrecision.of(found, ground_truths)

    def averages(weights: Float64s) -> Float64s:
        values = by_iou(weights)
        return np.array([values.mean(), values[0], values[5]])

    for at, name in enumerate(AVERAGES):
        draft.add(
            Metric(
                section=BOXES,
                name=name,
                unit="lesion",
                n=len(ground_truths),
                rule=_COCO_RULE,
                measure=Part(averages, at),
            )
        )


def _report_coco(
    draft: Draft, section: str, metrics: coco.CocoMetrics, leave_out: Sequence[str] = ()
) -> None:
    about, ground_truths = draft.evaluation.about, draft.evaluation.ground_truths
    support = np.bincount(ground_truths.labels, minlength=len(about.classes))
    rows = [
        (COCO_NAMES[each.name], "", len(ground_truths), getattr(metrics, each.name))
        for each in fields(metrics)
        if each.name in COCO_NAMES and COCO_NAMES[each.name] not in leave_out
    ]
    per_class = (("AP", metrics.per_class_ap), ("AP50", metrics.per_class_ap50))
    for label in np.flatnonzero(support) if len(about.classes) > 1 else ():
        for name, values in per_class:
            rows.append((name, about.classes[label], int(support[label]), float(values[label])))
    for name, of, n, value in rows:
        draft.add(
            Metric(
                section=section,
                name=name,
                of=of,
                unit="lesion",
                n=n,
                rule=_COCO_RULE,
                measure=_defined(value),
            )
        )


def _defined(value: float) -> float:
    """nan for the −1 that COCO writes where there is no ground truth."""
    return nan if value == coco.UNDEFINED else value


def report_point(draft: Draft, scored: Scored, rule: str, confidence: float) -> None:
    """Add the metrics of one operating point: per lesion, and of images that any box decides."""
    at, found, ground_truths = (
        measure(scored.curve, confidence),
        draft.found,
        draft.evaluation.ground_truths,
    )
    iou = draft.config.match_iou
    counts = ImageCounts.of_findings(found, ground_truths, confidence, match_iou=iou)
    any_ = any_hit.count(found, ground_truths, confidence, iou)
    hits, wrong, missed = any_.true_positives, any_.false_positives, any_.false_negatives
    drawn = report.any_hits(found, ground_truths, confidence, iou)
    dual = any_hit.dual_metrics(found, ground_truths, confidence, iou)
    right = Proportion(count=int(np.trace(dual.images.confusion)), total=at.images)
    matched, beyond = draft.box_rule, f"any box with IoU > {iou:g}"
    rows: tuple[tuple[str, Unit, int | None, Measure, str], ...] = (
        ("sensitivity", "lesion", None, at.sensitivity, matched),
        ("precision", "lesion", None, at.precision, matched),
        ("F1", "lesion", len(ground_truths), counts.f1, matched),
        ("FP per image", "image", at.images, counts.fp_per_image, matched),
        ("any-hit precision", "image", None, Proportion(count=hits, total=hits + wrong), beyond),
        ("any-hit recall", "image", None, Proportion(count=hits, total=hits + missed), beyond),
        ("any-hit F1", "image", hits + missed, drawn.f1, beyond),
        ("accuracy", "image", None, right, "any box"),
        ("found boxes", "lesion", None, dual.boxes, beyond),
    )
    for name, unit, n, measured, how in rows:
        draft.add(
            Metric(
                section=POINTS,
                name=name,
                of=rule,
                unit=unit,
                n=n,
                rule=f"confidence ≥ {confidence:.3f}, {how}",
                measure=measured,
            )
        )


def report_froc(draft: Draft) -> None:
    """Add the sensitivity at each of `RATES` false positives per image, their mean, and LAMR."""
    found, ground_truths, iou = draft.found, draft.evaluation.ground_truths, draft.config.match_iou
    add_froc(draft, FrocSensitivity.of(found, ground_truths, match_iou=iou), len(ground_truths))
    draft.add(
        Metric(
            section=MISS_RATE,
            name="LAMR",
            unit="lesion",
            n=len(ground_truths),
            rule=f"mean of logarithms at 0.01 to 1 FP per image, {draft.box_rule}",
            measure=LogAverageMissRate.of(found, ground_truths, match_iou=iou),
        )
    )


def add_froc(draft: Draft, sensitivity: FrocSensitivity, lesions: int) -> None:
    """Add the sensitivities at `RATES` and their mean; `lesions` is how many they are of."""

    def and_mean(weights: Float64s) -> Float64s:
        values = sensitivity(weights)
        return np.append(values, values.mean())

    for at, of in enumerate([*map(rate_name, RATES), "mean of these"]):
        draft.add(
            Metric(
                section=FROC,
                name="sensitivity",
                of=of,
                unit="lesion",
                n=lesions,
                rule=f"all candidates, {draft.box_rule}",
                measure=Part(and_mean, at),
            )
        )


def rate_name(rate: float) -> str:
    """Return a rate of false positives in words.

    Example:
        >>> rate_name(1 / 8)
        'at 1/8 FP per image'
    """
    return f"at {f'{rate:g}' if rate >= 1 else f'1/{1 / rate:g}'} FP per image"


def _report_calibration(draft: Draft, scored: Scored) -> None:
    found, sizes = draft.found, draft.evaluation.sizes_px
    drawn = report.calibration_error(scored.scores, scored.right, found.image, found.image_count)
    where = "score, centre and size in 5 parts each" if sizes is not None else "5 bins of the score"
    rows: tuple[tuple[str, Measure, str], ...] = (
        ("ECE", drawn, "10 bins of the score"),
        ("D-ECE", detection_ece(found, scored.right, sizes), where),
    )
    for name, measured, how in rows:
        draft.add(
            Metric(
                section=CALIBRATION,
                name=name,
                unit="lesion",
                n=len(scored.scores),
                rule=f"{how}, {draft.box_rule}",
                measure=measured,
            )
        )


def _report_errors(draft: Draft) -> None:
    rule, confidence = draft.main_point
    found, ground_truths = draft.found, draft.evaluation.ground_truths
    how = f"at {rule}, confidence ≥ {confidence:.3f}, match IoU {draft.config.match_iou:g}"
    counts = error_types(
        found, ground_truths, confidence, match_iou=draft.config.match_iou
    ).counts()
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
    cells = assign_cells(found, ground_truths, draft.config.match_iou)
    draft.tables.append(
        Table(
            title="Confusion",
            unit="lesion",
            rule=f"{how}, whatever the class",
            rows=(*classes, FALSE_POSITIVE),
            columns=(*classes, MISSED),
            counts=as_rows(cells.matrix(confidence, len(classes))),
        )
    )
    names = (*classes, MISSED)
    report_critical(
        draft, ground_truths.labels, _read_as(cells, confidence, len(classes)), names, how
    )


def _read_as(cells: Cells, confidence: float, missed: int) -> Int64s:
    """(M,) the class each ground truth is found as."""
    shown = (cells.gt_row >= 0) & (cells.scores >= confidence)
    read = np.full(len(cells.gt_labels), missed, dtype=np.int64)
    read[cells.gt_row[shown]] = cells.labels[shown]
    return read


def report_critical(
    draft: Draft, ground_truth: Int64s, read: Int64s, names: Sequence[str], how: str
) -> None:
    """Add the critical errors asked for, as shares of the true class.

    `read` holds the position in `names` of what each case was found as. Raises ConfigError for a
    pair that names no class.
    """
    unit: Unit = "image" if draft.evaluation.about.task == "classify" else "lesion"
    for error in critical_errors(ground_truth, read, names, draft.critical_pairs):
        name = f"{error.pair[0]} read as {error.pair[1]}"
        draft.add(Metric(section=CRITICAL, name=name, unit=unit, rule=how, measure=error.share))


def as_rows(counts: Int64s) -> tuple[tuple[int, ...], ...]:
    """Return a matrix of counts as a `Table` holds them."""
    return tuple(tuple(row) for row in counts.tolist())
