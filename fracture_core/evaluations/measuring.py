"""Operating points and what scores are worth, measured on one evaluation and applied to another."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version

import numpy as np

from fracture_core.errors import ConfigError
from fracture_core.evaluations.evaluation import Evaluation
from fracture_core.metrics import greedy
from fracture_core.metrics.detection_table import Bools, Float64s
from fracture_core.metrics.intervals import Proportion
from fracture_core.models.points import Counted, Evidence, Knots, Measurements, Point, Reached
from fracture_core.operating_points import (
    MAX_ANY_HIT_F1,
    RULES,
    Curve,
    Measured,
    OperatingPoint,
    Rule,
    choose,
    classifier_curve,
    detector_curve,
    measure,
    with_any_hit,
)
from fracture_core.types import Int64s

EVIDENCE_BINS = 10
MOST_KNOTS = 300
_OF_HITS, _OF_WRONG, _OF_ALARMS = 150, 80, 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """The scores of an evaluation's findings, or of a classifier's images, and which are right.

    `scores` are (N,) float64. `right` (N,) marks findings matched with a ground truth, or images
    with something to find.
    """

    curve: Curve
    scores: Float64s
    right: Bools


def measure_points(
    evaluation: Evaluation,
    rules: Sequence[Rule] = RULES,
    *,
    nms_iou: float = 0.5,
    match_iou: float = 0.5,
) -> Measurements:
    """Choose a confidence by each rule, on the images whose ground truth is known.

    Raises ConfigError for a classifier none of whose classes means that nothing is there.
    """
    about = evaluation.about
    scored = score_all(evaluation, nms_iou, match_iou, any_hit=MAX_ANY_HIT_F1 in rules)
    points = [choose(scored.curve, rule) for rule in rules]
    chosen = [point.confidence for point in points if point.confidence is not None]
    return Measurements(
        model_id=about.model_id,
        weights_sha256=about.weights_sha256,
        data=about.data_name,
        data_stamp=about.data_stamp,
        split=about.split,
        unit=scored.curve.unit,
        nms_iou=nms_iou,
        match_iou=match_iou,
        one_class=about.one_class,
        created_utc=datetime.now(UTC).isoformat(timespec="seconds"),
        code_version=version("fracture-workbench"),
        points=tuple(_point(point) for point in points),
        knots=_knots(scored.curve, chosen),
        evidence=_evidence(scored.scores, scored.right),
    )


def apply_points(measured: Measurements, evaluation: Evaluation) -> Measurements:
    """Return the same points, each with what it reaches on another evaluation of the same model.

    Raises ConfigError for another model, other classes, or the images that the points were chosen
    on.
    """
    about = evaluation.about
    _refuse_others(measured, evaluation)
    curve = score_all(evaluation, measured.nms_iou, measured.match_iou).curve
    where = f"{about.data_name}, split {about.split}"
    points = [
        point
        if point.confidence is None
        else point.model_copy(
            update={"applied": _reached(measure(curve, point.confidence)), "applied_to": where}
        )
        for point in measured.points
    ]
    return measured.model_copy(update={"points": tuple(points)})


def score_all(
    evaluation: Evaluation, nms_iou: float, match_iou: float, *, any_hit: bool = False
) -> Scored:
    """Score the images whose ground truth is known; raises ConfigError as `measure_points`.

    With `any_hit` the curve of a detector has what the rule of the highest any-hit F1 chooses from.
    """
    matched = evaluation.matched()
    about = evaluation.about
    if about.task == "classify":
        if not about.tells_findings:
            raise ConfigError(
                about.title,
                expected="a class that means that nothing is there",
                found=f"only {', '.join(about.classes)[:200]}",
                advice="Operating points are of models that tell findings from none.",
            )
        scores = matched.scores(nms_iou)
        curve = classifier_curve(scores, matched.positive)
        return Scored(curve=curve, scores=scores, right=matched.positive)
    found = matched.found(nms_iou)
    curve = detector_curve(found, matched.ground_truths, match_iou=match_iou)
    if any_hit:
        curve = with_any_hit(curve, found, matched.ground_truths, match_iou=match_iou)
    return Scored(
        curve=curve,
        scores=found.scores.astype(np.float64),
        right=greedy.match_all(found, matched.ground_truths, match_iou),
    )


def _refuse_others(measured: Measurements, evaluation: Evaluation) -> None:
    about = evaluation.about
    ours, theirs = about.weights_sha256, measured.weights_sha256
    if ours != theirs or (not ours and about.model_id != measured.model_id):
        found = f"one of {about.title} with other weights"
        raise ConfigError(
            "operating points", expected=f"an evaluation of {measured.model_id}", found=found
        )
    findings = [name for name in about.classes if name != about.healthy]
    if about.one_class != measured.one_class and len(findings) > 1:
        words = ("each class by itself", "one class")
        raise ConfigError(
            "operating points",
            expected=f"an evaluation with {words[measured.one_class]}, as they were chosen",
            found=words[about.one_class],
        )
    # Earlier trainings recorded no stamp, only the name of their data.
    stamped = measured.data_stamp or measured.data
    if stamped in (about.data_stamp, about.data_name) and about.split == measured.split:
        raise ConfigError(
            "operating points",
            expected="images that they were not chosen on",
            found=f"the same, {about.data_name}, split {about.split}",
            advice="Choose on validation, apply on test.",
        )


def _point(point: OperatingPoint) -> Point:
    return Point(
        rule=point.rule.name,
        unit=point.unit,
        confidence=point.confidence,
        reason=point.reason,
        at_edge=point.at_edge,
        chosen=None if point.measured is None else _reached(point.measured),
    )


def _reached(found: Measured) -> Reached:
    return Reached(
        sensitivity=_counted(found.sensitivity),
        precision=_counted(found.precision),
        specificity=_counted(found.specificity),
        false_positives=found.false_positives,
        images=found.images,
    )


def _counted(share: Proportion) -> Counted:
    return Counted(count=share.count, total=share.total)


def _evidence(scores: Float64s, right: Bools) -> tuple[Evidence, ...]:
    edges = np.arange(EVIDENCE_BINS + 1) / EVIDENCE_BINS
    places = np.searchsorted(edges, scores, side="right") - 1
    places = np.minimum(places, EVIDENCE_BINS - 1)
    totals = np.bincount(places, minlength=EVIDENCE_BINS)
    hits = np.bincount(places[right], minlength=EVIDENCE_BINS)
    return tuple(
        Evidence(low=edges[k], high=edges[k + 1], right=int(hits[k]), total=int(totals[k]))
        for k in range(EVIDENCE_BINS)
    )


def _knots(curve: Curve, chosen: Sequence[float]) -> Knots:
    at = _places(curve, chosen)
    counts = curve.sweep
    return Knots(
        confidences=tuple(counts.confidences[at].tolist()),
        true_positives=tuple(counts.true_positives[at].tolist()),
        false_positives=tuple(counts.false_positives[at].tolist()),
        false_alarms=tuple(curve.false_alarms[at].tolist()),
        positives=curve.positives,
        negatives=curve.negatives,
        images=curve.images,
    )


def _places(curve: Curve, chosen: Sequence[float]) -> Int64s:
    """At most about `MOST_KNOTS` places, between which each count changes by about as much.

    Hits and alarms change by equal steps, false positives by equal ratios; the chosen confidences
    are among them, or the next lower scores.
    """
    count = len(curve.sweep)
    if count <= MOST_KNOTS:
        return np.arange(count, dtype=np.int64)
    hits, wrong = curve.sweep.true_positives, curve.sweep.false_positives
    near = np.searchsorted(-curve.sweep.confidences, -np.array(chosen, dtype=np.float64))
    shares = np.geomspace(1, max(1, int(wrong[-1])), _OF_WRONG)
    places = (
        np.array([0, count - 1]),
        # A confidence of a grid need not be a score, and may be below all of them.
        np.minimum(near, count - 1),
        _steps(hits, np.linspace(0, hits[-1], _OF_HITS)),
        _steps(wrong, shares),
        _steps(curve.false_alarms, np.linspace(0, curve.false_alarms[-1], _OF_ALARMS)),
    )
    found: Int64s = np.unique(np.concatenate(places))
    return found


def _steps(counts: Int64s, levels: Float64s) -> Int64s:
    """The first place at which rising counts reach each level."""
    return np.searchsorted(counts, levels, side="left").astype(np.int64)
