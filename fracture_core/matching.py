"""Which detection of an image finds which ground truth: greedy by score, one to one."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from fracture_core import boxes
from fracture_core.types import Detections, Match

Rule = Literal["iou", "centre"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchConfig:
    """How predictions are matched with the ground truth, at whatever confidence they are shown.

    `nms_iou` is the NMS IoU, for models that need suppression · `match_iou` and `class_aware` as in
    `match` · `study_rule`, one of `metrics.studies.STUDY_RULES`, makes the score of a study from
    those of its images.
    """

    nms_iou: float = 0.5
    match_iou: float = 0.5
    class_aware: bool = True
    study_rule: str = "max"


def match(
    shown: Detections,
    ground_truth: Detections,
    match_iou: float = 0.5,
    *,
    rule: Rule = "iou",
    class_aware: bool = True,
) -> Match:
    """Match each detection, the best scored first, with the free GT box that it overlaps most.

    The rule "iou" asks for IoU ≥ `match_iou` (COCO); "centre" asks that the centre of the detection
    lies inside the GT box, edges included, as FROC studies do. A pair that does not overlap never
    matches. With `class_aware` only equal classes match.

    Example:
        >>> gt = Detections.ground_truth([[0, 0, 4, 4]], labels=[0])
        >>> xyxy = [[0, 0, 4, 4], [0, 0, 4, 3], [8, 8, 9, 9]]
        >>> found = Detections.of(xyxy, scores=[0.9, 0.6, 0.3], labels=[0, 0, 0])
        >>> match(found, gt).kinds
        ('true positive', 'duplicate', 'false positive')
    """
    overlap = boxes.iou(shown.xyxy, ground_truth.xyxy)
    comparable = np.ones(overlap.shape, dtype=np.bool_)
    if class_aware:
        comparable = shown.labels[:, None] == ground_truth.labels[None, :]
    satisfied = (
        overlap >= match_iou
        if rule == "iou"
        else boxes.centre_inside(shown.xyxy, ground_truth.xyxy)
    )
    satisfied &= comparable
    # An IoU of 0 is no match even where the threshold is 0.
    satisfied &= overlap > 0
    gt_of = _greedy(overlap, satisfied)
    return Match(
        gt_of=gt_of,
        iou=_reported_iou(overlap, comparable, gt_of),
        duplicate_of=_duplicates(overlap, satisfied, gt_of),
        missed=np.setdiff1d(np.arange(len(ground_truth)), gt_of),
    )


def _greedy(overlap: boxes.Float64s, satisfied: boxes.Bools) -> boxes.Int64s:
    gt_of = np.full(len(overlap), -1, dtype=np.int64)
    free = np.ones(overlap.shape[1], dtype=np.bool_)
    for i in np.flatnonzero(satisfied.any(axis=1)):
        possible = satisfied[i] & free
        if possible.any():
            gt_of[i] = np.argmax(np.where(possible, overlap[i], -1.0))
            free[gt_of[i]] = False
    return gt_of


def _reported_iou(
    overlap: boxes.Float64s, comparable: boxes.Bools, gt_of: boxes.Int64s
) -> boxes.Float64s:
    best: boxes.Float64s = np.where(comparable, overlap, 0.0).max(axis=1, initial=0.0)
    matched = np.flatnonzero(gt_of >= 0)
    best[matched] = overlap[matched, gt_of[matched]]
    return best


def _duplicates(
    overlap: boxes.Float64s, satisfied: boxes.Bools, gt_of: boxes.Int64s
) -> boxes.Int64s:
    # An unmatched detection that satisfies the rule with a GT box is a duplicate there: had the
    # box been free, the two would have matched.
    twins = np.full(len(overlap), -1, dtype=np.int64)
    for i in np.flatnonzero((gt_of < 0) & satisfied.any(axis=1)):
        twins[i] = np.argmax(np.where(satisfied[i], overlap[i], -1.0))
    return twins
