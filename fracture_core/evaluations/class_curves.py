"""Precision, recall and F1 over confidence, and precision over recall, a line for each class.

Boxes or masks are matched greedily within their class. The precision–recall curve is COCO's at IoU
.50: its mean is the AP50 that the report has of the class. A line of several classes is the mean of
those with a ground truth, as COCO's AP and Ultralytics' curves are.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from fracture_core.csv_text import csv_text
from fracture_core.evaluations.evaluation import Evaluation
from fracture_core.matching import MatchConfig
from fracture_core.metrics import coco, greedy
from fracture_core.metrics.detection_table import Float64s
from fracture_core.metrics.sweeps import Sweep, count_above
from fracture_core.types import Float32s, Int64s

Overlap = Literal["boxes", "masks"]
CONFIDENCES = np.linspace(0, 1, 201)
ALL_CLASSES = "all, mean of classes"
COLUMNS = ("overlap", "class", "curve", "x", "y")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassCurve:
    """The curves of one class, or of all: `name` is then `ALL_CLASSES`.

    `support` counts the ground truths. `precision`, `recall` and `f1` (201,) float64 are at
    `CONFIDENCES`, nan where nothing is shown to take a share of. `best_precision` (101,) is the
    highest precision at each of COCO's recalls or beyond. `ap50` and `ap` are COCO's.
    """

    name: str
    support: int
    precision: Float64s
    recall: Float64s
    f1: Float64s
    best_precision: Float64s
    ap50: float
    ap: float

    @property
    def best(self) -> tuple[float, float]:
        """The highest F1 and the least confidence that has it."""
        at = int(np.nanargmax(self.f1))
        return float(self.f1[at]), float(CONFIDENCES[at])

    @property
    def title(self) -> str:
        """The name with what is read off the curves, as legends have it."""
        f1, confidence = self.best
        return (
            f"{self.name}: AP50 {self.ap50:.3f}, AP {self.ap:.3f}, F1 {f1:.2f} at {confidence:.2f}"
        )

    def lines(self) -> Iterator[tuple[str, str, Float64s, Float64s]]:
        """Yield (name of x, name of y, x, y) of each curve, without what is undefined."""
        over = (("precision", self.precision), ("recall", self.recall), ("F1", self.f1))
        for name, values in over:
            known = ~np.isnan(values)
            yield "confidence", name, CONFIDENCES[known], values[known]
        yield "recall", "precision", coco.RECALLS, self.best_precision


CurvesByOverlap = dict[Overlap, tuple[ClassCurve, ...]]


def class_curves(evaluation: Evaluation, config: MatchConfig) -> CurvesByOverlap:
    """Return the curves of boxes, and of masks where both sides have them, of each class.

    Before several classes stands their mean. There are none of a classifier, and none where there
    is nothing to find. `evaluation` holds only images whose ground truth is known.
    """
    if evaluation.about.task == "classify" or not len(evaluation.ground_truths):
        return {}
    curves: CurvesByOverlap = {"boxes": _curves_of(evaluation, config, "boxes")}
    if evaluation.has_masks:
        curves["masks"] = _curves_of(evaluation, config, "masks")
    return curves


def _curves_of(
    evaluation: Evaluation, config: MatchConfig, overlap: Overlap
) -> tuple[ClassCurve, ...]:
    found, ground_truths = evaluation.found(config.nms_iou), evaluation.ground_truths
    names = evaluation.about.classes
    if overlap == "boxes":
        right = greedy.match_all(found, ground_truths, config.match_iou)
        average = coco.evaluate_boxes(found, ground_truths, len(names))
    else:
        right = greedy.match_masks(found, ground_truths, config.match_iou)
        average = coco.evaluate_masks(found, ground_truths, len(names))
    support = np.bincount(ground_truths.labels, minlength=len(names))
    curves = []
    for label in np.flatnonzero(support).tolist():
        own = found.labels == label
        at = _sweep(found.scores[own], found.scores[own & right], int(support[label]))
        curves.append(
            ClassCurve(
                name=names[label],
                support=int(support[label]),
                precision=at.precision,
                recall=at.recall,
                f1=at.f1,
                best_precision=np.array(average.precision50[label]),
                ap50=average.per_class_ap50[label],
                ap=average.per_class_ap[label],
            )
        )
    return (_mean(curves), *curves) if len(curves) > 1 else tuple(curves)


def _sweep(scores: Float32s, hits: Float32s, support: int) -> Sweep:
    right: Int64s = count_above(hits, CONFIDENCES)
    return Sweep(
        confidences=CONFIDENCES,
        true_positives=right,
        false_positives=count_above(scores, CONFIDENCES) - right,
        false_negatives=support - right,
    )


def _mean(curves: Sequence[ClassCurve]) -> ClassCurve:
    """Where a class shows nothing it has no precision: the mean is of the others."""
    precision = np.array([each.precision for each in curves])
    shown = (~np.isnan(precision)).sum(axis=0)
    total = np.nansum(precision, axis=0)
    return ClassCurve(
        name=ALL_CLASSES,
        support=sum(each.support for each in curves),
        precision=np.divide(total, shown, out=np.full(len(total), np.nan), where=shown > 0),
        recall=np.mean([each.recall for each in curves], axis=0),
        f1=np.mean([each.f1 for each in curves], axis=0),
        best_precision=np.mean([each.best_precision for each in curves], axis=0),
        ap50=float(np.mean([each.ap50 for each in curves])),
        ap=float(np.mean([each.ap for each in curves])),
    )


def curves_csv(curves: CurvesByOverlap) -> str:
    """Return every point as a line of `COLUMNS`, such as "boxes, wrist, F1 over confidence"."""
    rows = (
        (overlap, curve.name, f"{y_name} over {x_name}", float(x), float(y))
        for overlap, several in curves.items()
        for curve in several
        for x_name, y_name, xs, ys in curve.lines()
        for x, y in zip(xs, ys, strict=True)
    )
    return csv_text(COLUMNS, rows)
