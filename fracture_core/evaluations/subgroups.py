"""Every metric by subgroup: of images by what is known of them, of lesions by their size.

Subgroups of images are matched as if each were a data set of its own, at confidences chosen on all
of them; their counts add up to the whole's. A false positive has no size of a lesion, so subgroups
of lesions have a sensitivity alone, against the false positives of all images.

A subgroup is called weaker than the whole only where its whole interval lies below the whole's.
With many subgroups some lie low by chance; those with fewer than `FEWEST` cases are not compared.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fracture_core.evaluations.attributes import Attribute, grouping, lesion_sizes
from fracture_core.evaluations.evaluation import Evaluation
from fracture_core.evaluations.measuring import score_all
from fracture_core.evaluations.report import (
    FEWEST,
    RANKING,
    Breakdown,
    Draft,
    Key,
    Metric,
    MetricValue,
    PointOfReport,
    Report,
    Subgroup,
)
from fracture_core.evaluations.report_boxes import (
    BOXES,
    POINTS,
    add_froc,
    report_average,
    report_froc,
    report_point,
)
from fracture_core.evaluations.report_images import report_areas, report_calls, report_classes
from fracture_core.matching import MatchConfig
from fracture_core.metrics import greedy
from fracture_core.metrics.detection_table import Bools, DetectionTable
from fracture_core.metrics.froc import RATES
from fracture_core.metrics.intervals import Proportion
from fracture_core.metrics.weighted import FrocSensitivity
from fracture_core.types import Int64s

ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measuring:
    """How subgroups are measured.

    `points` are the operating points; `of_all` asks for the metrics of all candidates too,
    `intervals` for intervals.
    """

    config: MatchConfig
    points: tuple[PointOfReport, ...]
    of_all: bool = True
    intervals: bool = True


def offered(evaluation: Evaluation) -> tuple[tuple[Attribute, ...], tuple[str, ...]]:
    """Return the attributes for subgroups, and a sentence about each that has too many values.

    `evaluation` holds only images whose ground truth is known, as `matched()` gives.
    """
    known, sentences = grouping(evaluation.attributes)
    if evaluation.about.task == "classify":
        return known, sentences
    sizes = tuple(
        each
        for each in lesion_sizes(
            evaluation.ground_truths, evaluation.sizes_px, evaluation.spacing_mm
        )
        if len(each.groups) > 1
    )
    return (*known, *sizes), sentences


def break_down(evaluation: Evaluation, attribute: Attribute, how: Measuring) -> Breakdown:
    """Return every metric of the whole and of each subgroup by an attribute that is `offered`."""
    make = _of_lesions if attribute.of == "lesion" else _of_images
    everything = np.ones(len(attribute), dtype=np.bool_)
    return Breakdown(
        attribute=attribute.name,
        whole=make(evaluation, ALL, everything, how),
        groups=tuple(
            make(evaluation, group, attribute.of_group(group), how) for group in attribute.groups
        ),
    )


def with_subgroups(report: Report, evaluation: Evaluation, *, intervals: bool = True) -> Report:
    """Return a report with every metric by each attribute as well, at its own operating points.

    An attribute takes about as long as the report did.
    """
    matched = evaluation.matched()
    how = Measuring(
        config=report.config,
        points=report.points,
        intervals=intervals,
    )
    attributes, sentences = offered(matched)
    breakdowns = tuple(break_down(matched, each, how) for each in attributes)
    return replace(
        report,
        breakdowns=breakdowns,
        weakest=weakest(breakdowns, headlines_of(report)) if breakdowns else (),
        notes=(*report.notes, *sentences),
    )


def joined(first: Breakdown, second: Breakdown) -> Breakdown:
    """Return a breakdown with the metrics of two, which are of the same subgroups."""

    def both(one: Subgroup, other: Subgroup) -> Subgroup:
        return replace(one, metrics=one.metrics + other.metrics)

    pairs = zip(first.groups, second.groups, strict=True)
    return replace(
        first,
        whole=both(first.whole, second.whole),
        groups=tuple(both(one, other) for one, other in pairs),
    )


# ---- the weakest --------------------------------------------------------------------------------


def headlines(task: str, rule: str) -> tuple[Key, ...]:
    """Return the metrics by which subgroups are compared; `rule` is of the operating point."""
    specificity: Key = (POINTS, "specificity", "image", rule)
    area: Key = (RANKING, "ROC AUC", "image", "")
    if task == "classify":
        return (POINTS, "sensitivity", "image", rule), specificity, area
    return (POINTS, "sensitivity", "lesion", rule), specificity, (BOXES, "AP50", "lesion", ""), area


def headlines_of(report: Report) -> tuple[Key, ...]:
    """Return those metrics at the report's first operating point whose rule is met."""
    rule = next((each.rule for each in report.points if each.confidence is not None), "")
    return headlines(report.about.task, rule)


def weakest(breakdowns: Sequence[Breakdown], keys: Sequence[Key]) -> tuple[str, ...]:
    """Return sentences that say which subgroups are weaker than the whole.

    There is one for each metric: which subgroup is shown to be weaker, or that none is. The last
    says how many subgroups were compared and how many were too small.
    """
    sentences, most, left_out = [], 0, 0
    for key in keys:
        compared = list(_compared(breakdowns, key))
        left_out = max(left_out, sum(few for *_, few in compared))
        enough = [(name, whole, part) for name, whole, part, few in compared if not few]
        if enough:
            most = max(most, len(enough))
            sentences.append(_sentence(enough))
    if not most:
        return (f"No subgroup has {FEWEST} cases to compare.",)
    small = f"; {left_out:,} with fewer than {FEWEST} cases are left out" if left_out else ""
    chance = "; of so many, one can lie low by chance" if most > FEWEST else ""
    return (*sentences, f"Up to {most:,} subgroups were compared{small}{chance}.")


def _compared(
    breakdowns: Sequence[Breakdown], key: Key
) -> Iterator[tuple[str, MetricValue, MetricValue, bool]]:
    """The name of each subgroup, the whole's metric and its own, and whether it is too small."""
    for each in breakdowns:
        whole = each.whole.metric(key)
        for group in each.groups:
            part = group.metric(key)
            if whole is not None and part is not None and whole.is_defined and part.is_defined:
                yield f"{each.attribute}: {group.name}", whole, part, group.is_few(part)


def _sentence(compared: Sequence[tuple[str, MetricValue, MetricValue]]) -> str:
    whole = compared[0][1]
    below = [each for each in compared if each[2].high < each[1].low]
    name, overall, part = min(below or compared, key=lambda each: each[2].value)
    of = f" at {whole.of}" if whole.of else ""
    title = f"{whole.name[0].upper()}{whole.name[1:]} per {whole.unit}{of}"
    if below:
        return f"{title}: weakest in {name}, {part.text}, n = {part.n:,}; {overall.text} of all."
    return (
        f"{title}: no subgroup is shown to be weaker than all, {overall.text}; the lowest is "
        f"{name}, {part.text}, n = {part.n:,}."
    )


# ---- images -------------------------------------------------------------------------------------


def _of_images(evaluation: Evaluation, name: str, kept: Bools, how: Measuring) -> Subgroup:
    part = evaluation.images(kept)
    draft = Draft(
        evaluation=part,
        config=how.config,
        found=evaluation.found(how.config.nms_iou).images(kept),
        intervals=how.intervals,
        points=how.points,
    )
    about = part.about
    finds_boxes = about.task != "classify"
    if finds_boxes:
        scored = score_all(part, how.config.nms_iou, how.config.match_iou)
        for rule, confidence in draft.met_points:
            report_point(draft, scored, rule, confidence)
    if about.tells_findings:
        report_calls(draft)
    if how.of_all:
        _report_all(draft, finds_boxes=finds_boxes)
    draft.draw_intervals()
    return Subgroup(
        name=name,
        images=len(part),
        studies=len(set(part.group_ids)),
        positives=int(part.positive.sum()),
        lesions=len(part.ground_truths),
        metrics=tuple(draft.metrics),
    )


def _report_all(draft: Draft, *, finds_boxes: bool) -> None:
    """Add what does not depend on a confidence."""
    if finds_boxes:
        report_average(draft)
        report_froc(draft)
    else:
        report_classes(draft)
    if draft.evaluation.about.tells_findings:
        report_areas(draft)


# ---- lesions ------------------------------------------------------------------------------------


def _of_lesions(evaluation: Evaluation, name: str, kept: Bools, how: Measuring) -> Subgroup:
    """The subgroup of the marked (M,) ground truths of all images."""
    found, ground_truths = evaluation.found(how.config.nms_iou), evaluation.ground_truths
    gt_row = greedy.assign_all(found, ground_truths, how.config.match_iou)
    draft = Draft(evaluation=evaluation, config=how.config, found=found, intervals=how.intervals)
    hits = np.flatnonzero((gt_row >= 0) & kept[gt_row])
    scores, total = found.scores[hits].astype(np.float64), int(kept.sum())
    for point in how.points:
        if point.confidence is not None:
            share = Proportion(count=int((scores >= point.confidence).sum()), total=total)
            rule = f"confidence ≥ {point.confidence:.3f}, {draft.box_rule}"
            draft.add(
                Metric(
                    section=POINTS,
                    name="sensitivity",
                    of=point.rule,
                    unit="lesion",
                    rule=rule,
                    measure=share,
                )
            )
    if how.of_all:
        _report_froc_of(draft, found, gt_row, ground_truths.image[kept], hits)
    draft.draw_intervals()
    images = np.unique(ground_truths.image[kept])
    return Subgroup(
        name=name,
        images=len(images),
        studies=len({evaluation.group_ids[image] for image in images}),
        positives=len(images),
        lesions=total,
        metrics=tuple(draft.metrics),
    )


def _report_froc_of(
    draft: Draft, found: DetectionTable, gt_row: Int64s, image: Int64s, hits: Int64s
) -> None:
    """Add the FROC of some lesions, which lie in (m,) images, against all false positives."""
    hits = hits[np.argsort(-found.scores[hits], kind="stable")]
    wrong = np.flatnonzero(gt_row < 0)
    wrong = wrong[np.argsort(-found.scores[wrong], kind="stable")]
    before = np.searchsorted(-found.scores[wrong], -found.scores[hits], side="right")
    statistic = FrocSensitivity(
        hit_image=found.image[hits],
        wrong_image=found.image[wrong],
        before=before.astype(np.int64),
        ground_truths=np.bincount(image, minlength=found.image_count).astype(np.float64),
        rates=RATES,
    )
    add_froc(draft, statistic, len(image))
