"""What is wrong with each finding: the error types of TIDE, at one confidence.

D. Bolya et al., TIDE: A General Toolbox for Identifying Object Detection Errors, ECCV 2020, section
2.2. TIDE weighs each type by the average precision it costs; here the shown findings are counted.
"""

from dataclasses import dataclass

import numpy as np

from fracture_core.metrics import greedy
from fracture_core.metrics.detection_table import Bools, DetectionTable, Float64s, Images, pair_up
from fracture_core.metrics.pairs import box_pairs
from fracture_core.types import Int64s

TYPES = ("right", "class", "location", "both", "duplicate", "background")
MISSED = "missed"
RIGHT, CLASS, LOCATION, BOTH, DUPLICATE, BACKGROUND = range(6)


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorTypes:
    """The error type of each of S shown findings, and which of M ground truths are missed.

    `rows` (S,) int64, rising, are the findings' rows in the table of what was found. `kind` (S,)
    int64 are positions in `TYPES`. `gt_row` (S,) int64 is the ground truth that each matches or
    comes nearest to, −1 = none near. `unmatched` (M,) marks ground truths without a right finding,
    `missed` (M,) those of them that no finding of the wrong class or location points at either.
    """

    rows: Int64s
    kind: Int64s
    gt_row: Int64s
    unmatched: Bools
    missed: Bools

    def counts(self) -> dict[str, int]:
        """Return the number of findings of each of `TYPES`, and that of missed ground truths."""
        numbers = np.bincount(self.kind, minlength=len(TYPES)).tolist()
        return dict(zip(TYPES, numbers, strict=True)) | {MISSED: int(self.missed.sum())}


def error_types(
    found: Images,
    ground_truths: Images,
    confidence: float,
    *,
    match_iou: float = 0.5,
    near_iou: float = 0.1,
) -> ErrorTypes:
    """Sort every finding scored at least `confidence` into types by its IoU with ground truths.

    A finding that matches, greedily within its class, is right. Of the others, in this order:
    *location*, from `near_iou` to below `match_iou` with a ground truth of its class, where it
    reaches `match_iou` with none; *class*, at least `match_iou` with a ground truth of another
    class; *duplicate*, at least `match_iou` with a ground truth of its class, which a better
    finding took; *both*, from `near_iou` with a ground truth of another class; else *background*.
    Raises ValueError where the two sides are not of the same number of images.
    """
    found, ground_truths = pair_up(found, ground_truths)
    rows = np.flatnonzero(found.scores.astype(np.float64) >= confidence)
    shown = found.rows(found.scores.astype(np.float64) >= confidence)
    taken = greedy.assign_all(shown, ground_truths, match_iou)
    own_iou, own, other_iou, other = _nearest(shown, ground_truths, near_iou)
    kind, near = _kinds(taken, own_iou, other_iou, match_iou)
    gt_row = np.choose(near, [taken, own, other])
    unmatched = np.ones(len(ground_truths), dtype=np.bool_)
    unmatched[taken[taken >= 0]] = False
    missed = unmatched.copy()
    missed[gt_row[(kind == CLASS) | (kind == LOCATION)]] = False
    return ErrorTypes(rows=rows, kind=kind, gt_row=gt_row, unmatched=unmatched, missed=missed)


def _kinds(
    taken: Int64s, own_iou: Float64s, other_iou: Float64s, match_iou: float
) -> tuple[Int64s, Int64s]:
    """(S,) the type of each finding, and which ground truth it is about: 0 the matched one, 1 the
    nearest of its own class, 2 the nearest of another.
    """
    cases = [
        taken >= 0,
        (own_iou > 0) & (own_iou < match_iou),
        other_iou >= match_iou,
        own_iou > 0,
        other_iou > 0,
    ]
    kind = np.select(cases, [RIGHT, LOCATION, CLASS, DUPLICATE, BOTH], BACKGROUND)
    return kind.astype(np.int64), np.select(cases, [0, 1, 2, 1, 2], 0).astype(np.int64)


def _nearest(
    shown: DetectionTable, ground_truths: DetectionTable, near_iou: float
) -> tuple[Float64s, Int64s, Float64s, Int64s]:
    """(S,) the highest IoU with a ground truth of the own class, 0 = none near, and that ground
    truth, −1 = none; then the same of other classes.
    """
    pairs = box_pairs(shown, ground_truths, near_iou, class_aware=False)
    same = shown.labels[pairs.found] == ground_truths.labels[pairs.ground_truth]
    # In rising order the highest IoU, of equal ones with the first ground truth, is written last.
    order = np.lexsort((-pairs.ground_truth, pairs.iou))
    nearest: list[tuple[Float64s, Int64s]] = []
    for marks in (same, ~same):
        chosen = order[marks[order]]
        best, which = np.zeros(len(shown)), np.full(len(shown), -1, dtype=np.int64)
        best[pairs.found[chosen]], which[pairs.found[chosen]] = (
            pairs.iou[chosen],
            pairs.ground_truth[chosen],
        )
        nearest.append((best, which))
    return (*nearest[0], *nearest[1])
