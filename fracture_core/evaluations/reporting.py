"""A report made of an evaluation: which metrics there are, and by which rule.

Where several classes of the data set count as one, the report also has the sensitivity of each of
these kinds.
"""

from collections.abc import Sequence
from math import nan

import numpy as np

from fracture_core import importing
from fracture_core.errors import ConfigError
from fracture_core.evaluations.evaluation import Evaluation
from fracture_core.evaluations.measuring import Scored, score_all
from fracture_core.evaluations.report import Draft, Metric, Pair, PointOfReport, Report
from fracture_core.matching import MatchConfig
from fracture_core.metrics import greedy
from fracture_core.metrics.detection_table import Bools
from fracture_core.metrics.intervals import Proportion
from fracture_core.metrics.studies import STUDY_RULES
from fracture_core.models.points import Measurements
from fracture_core.operating_points import RULES, choose
from fracture_core.types import Unit

KINDS = "By kind of the ground truth"


def report_kinds(draft: Draft) -> None:
    """Add the sensitivity of each kind at every operating point.

    It is of lesions, or of the images of a classifier that hold one of that kind.
    """
    evaluation, kinds = draft.evaluation, draft.evaluation.gt_kinds
    if kinds is None or not len(kinds):
        return
    by_image = evaluation.about.task == "classify"
    rules = draft.met_points or [draft.main_point]
    for rule, confidence in rules:
        found = _images_called(draft, confidence) if by_image else _matched(draft, confidence)
        how = f"confidence ≥ {confidence:.3f}, {draft.box_rule}"
        if by_image:
            how = f"image score ≥ {confidence:.3f}, images that hold one"
        for label, name in enumerate(evaluation.about.kinds):
            marks = found[kinds == label]
            if by_image:
                images = evaluation.ground_truths.image[kinds == label]
                marks = marks[np.unique(images, return_index=True)[1]]
            share = Proportion(count=int(marks.sum()), total=len(marks))
            if share.total:
                unit: Unit = "image" if by_image else "lesion"
                draft.add(
                    Metric(
                        section=KINDS,
                        name=f"sensitivity at {rule}",
                        of=name,
                        unit=unit,
                        rule=how,
                        measure=share,
                    )
                )


def _matched(draft: Draft, confidence: float) -> Bools:
    """(T,) whether each ground truth is matched by a box shown at the confidence."""
    taken = greedy.assign_all(draft.found, draft.evaluation.ground_truths, draft.config.match_iou)
    shown = taken[(taken >= 0) & (draft.found.scores >= confidence)]
    marks = np.zeros(len(draft.evaluation.ground_truths), dtype=np.bool_)
    marks[shown] = True
    return marks


def _images_called(draft: Draft, confidence: float) -> Bools:
    """(T,) whether the image of each ground truth is called by its score."""
    called: Bools = draft.evaluation.image_scores >= confidence
    return called[draft.evaluation.ground_truths.image]


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
    """Return all metrics of the images whose ground truth is known.

    Operating points are those of `measured`, which must be of this model, else they are chosen
    here, which flatters them. AP, FROC and the areas under curves use all candidates. Raises
    ConfigError for an unknown study rule or a critical pair that names no class.
    """
    # Imported on first use: the first page starts without them.
    with importing.LOCK:
        from fracture_core.evaluations.report_boxes import report_boxes
        from fracture_core.evaluations.report_images import (
            report_classes,
            report_image_labels,
            report_images,
        )
        from fracture_core.evaluations.timing import report_time

    if study_rule not in STUDY_RULES:
        expected = f"one of {', '.join(STUDY_RULES)}"
        raise ConfigError("study rule", expected=expected, found=repr(study_rule))
    matched = evaluation.matched()
    draft = Draft(
        evaluation=matched,
        config=MatchConfig(nms_iou=nms_iou, match_iou=match_iou, study_rule=study_rule),
        critical_pairs=tuple(critical_pairs),
        found=matched.found(nms_iou),
        intervals=intervals,
    )
    scored = _scored(draft)
    draft.points = _points(draft, scored, measured)
    if evaluation.about.task == "classify":
        report_classes(draft)
    else:
        report_boxes(draft, scored)
        report_image_labels(draft)
    report_images(draft, scored)
    report_kinds(draft)
    report_time(draft, evaluation)
    draft.draw_intervals()
    return _finished(evaluation, draft)


def _scored(draft: Draft) -> Scored | None:
    """None, with a note, for a classifier none of whose classes means that nothing is there."""
    try:
        return score_all(draft.evaluation, draft.config.nms_iou, draft.config.match_iou)
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
        "The operating points were chosen on these very images, which flatters them; "
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
    matched, config = draft.evaluation, draft.config
    for point in draft.points:
        if point.reason:
            draft.notes.append(f"No operating point for {point.rule}: {point.reason}.")
    if len(matched) < len(evaluation):
        left_out = len(evaluation) - len(matched)
        draft.notes.append(f"{left_out:,} images of unknown ground truth are left out.")
    return Report(
        about=evaluation.about,
        nms_iou=config.nms_iou,
        match_iou=config.match_iou,
        study_rule=config.study_rule,
        asked=len(evaluation),
        images=len(matched),
        studies=len(set(matched.group_ids)),
        lesions=len(matched.ground_truths),
        positives=int(matched.positive.sum()),
        seconds_an_image=float(np.mean(evaluation.seconds)) if len(evaluation) else nan,
        points=draft.points,
        metrics=tuple(draft.metrics),
        tables=tuple(draft.tables),
        notes=tuple(draft.notes),
    )
