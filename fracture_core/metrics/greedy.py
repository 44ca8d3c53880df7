"""Greedy one-to-one matching by score over all images at once, and precision and recall of boxes.

The result is that of `fracture_core.matching.match` image by image, or of COCO's evaluation. Within
one image the boxes must choose one after the other, but images do not affect each other: so the
best box of every image chooses first, all in one step, then every second best, and so on.

**Why one matching serves every confidence.** A box chooses its ground truth after all better scored
boxes of its image and before all others, so what it takes depends on the better scored alone.
Leaving out everything under a confidence leaves out only later choices: the boxes that remain, a
prefix of the order, keep their ground truths. Counts at any confidence are therefore cumulative
sums over one matching of all boxes. Non-maximum suppression is stable in the same way, so boxes
that need it are suppressed once, before.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from fracture_core.metrics.detection_table import Bools, DetectionTable, Float64s, Images, pair_up
from fracture_core.metrics.pairs import Pairs, box_pairs, mask_pairs, rank_within
from fracture_core.metrics.sweeps import Counts, Sweep, count_above, distinct_falling
from fracture_core.types import Int64s

Tie = Literal["first ground truth", "last ground truth"]


# ---- the matching -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """Which ground truth each box is matched with at each of T thresholds.

    `found` (S,) int64, rising, are the rows with any ground truth near; all other rows are
    unmatched. `gt_of` (S, T) int64 is the ground truth that each takes, −1 = none.
    """

    found: Int64s
    gt_of: Int64s


class Assigner:
    """Sorts pairs into the order of choice once, for several ways to ignore ground truths.

    Of equal overlaps `tie` says which ground truth is taken: the first, as in `matching.match`, or
    the last, as in COCO.
    """

    def __init__(self, pairs: Pairs, tie: Tie) -> None:
        self._found, self._dense = np.unique(pairs.found, return_inverse=True)
        order = _by_preference(pairs, self._dense, tie)
        self._ground_truth, self._iou = pairs.ground_truth[order], pairs.iou[order]
        turn = rank_within(_first_of_each(pairs.group, self._dense, len(self._found)))[self._dense]
        choice = rank_within(self._dense)
        # One step holds the pairs of one turn and choice: of each group one box, once. So no ground
        # truth is in a step twice, and the pairs of a step can be decided together.
        step = turn * (choice.max(initial=0) + 1) + choice
        self._visit = np.argsort(step, kind="stable")
        bounds = np.flatnonzero(np.diff(step[self._visit], prepend=-1))
        self._bounds = np.append(bounds, len(step)).tolist()

    def assign(
        self, match_ious: npt.ArrayLike, gt_count: int, ignored: Bools, crowd: Bools
    ) -> Assignment:
        """Match at each of (T,) thresholds, IoU ≥ threshold.

        An `ignored` (M,) ground truth is taken only where no other is free; a `crowd` (M,) may be
        matched any number of times.
        """
        thresholds: Float64s = np.asarray(match_ious, dtype=np.float64)
        gt_of = np.full((len(self._found), len(thresholds)), -1, dtype=np.int64)
        taken = np.zeros((gt_count, len(thresholds)), dtype=np.bool_)
        order = np.argsort(2 * self._dense + ignored[self._ground_truth], kind="stable")[
            self._visit
        ]
        ground_truth, enough = self._ground_truth[order], self._iou[order][:, None] >= thresholds
        own = self._dense[self._visit]
        for start, stop in zip(self._bounds[:-1], self._bounds[1:], strict=True):
            i, j = own[start:stop], ground_truth[start:stop]
            held = gt_of[i]
            matched = enough[start:stop] & (held < 0) & ~(taken[j] & ~crowd[j, None])
            gt_of[i] = np.where(matched, j[:, None], held)
            taken[j] |= matched
        return Assignment(found=self._found, gt_of=gt_of)


def _by_preference(pairs: Pairs, dense: Int64s, tie: Tie) -> Int64s:
    """(P,) the order of the pairs in which those of each box stand from its best on; most boxes
    have but one, which stays where it is.
    """
    order = np.arange(len(dense))
    several = np.flatnonzero((np.bincount(dense) > 1)[dense])
    ground_truth = pairs.ground_truth[several]
    place = ground_truth if tie == "first ground truth" else -ground_truth
    order[several] = several[np.lexsort((place, -pairs.iou[several], dense[several]))]
    return order


def _first_of_each(values: Int64s, dense: Int64s, count: int) -> Int64s:
    """(count,) one value for each dense number; all values of a number are equal."""
    firsts = np.empty(count, dtype=np.int64)
    firsts[dense] = values
    return firsts


# ---- matches and counts -------------------------------------------------------------------------


def assign_all(
    found: Images, ground_truths: Images, match_iou: float = 0.5, *, class_aware: bool = True
) -> Int64s:
    """(N,) int64: the row of the ground truth each found box takes, −1 = none, as `matching.match`.

    Raises ValueError where the two sides are not of the same number of images.
    """
    found, ground_truths = pair_up(found, ground_truths)
    pairs = box_pairs(found, ground_truths, match_iou, class_aware=class_aware)
    rows, gt_rows = _matches(pairs, len(ground_truths), match_iou)
    taken = np.full(len(found), -1, dtype=np.int64)
    taken[rows] = gt_rows
    return taken


def match_all(
    found: Images, ground_truths: Images, match_iou: float = 0.5, *, class_aware: bool = True
) -> Bools:
    """(N,) whether each found box, image by image, is matched, as by `matching.match`.

    Raises ValueError where the two sides are not of the same number of images.
    """
    return assign_all(found, ground_truths, match_iou, class_aware=class_aware) >= 0


def match_masks(found: DetectionTable, ground_truths: DetectionTable, match_iou: float) -> Bools:
    """(N,) as `match_all` of the same class, but by the overlap of masks.

    Raises ValueError where a box on either side has no mask.
    """
    matched = np.zeros(len(found), dtype=np.bool_)
    pairs = mask_pairs(found, ground_truths, match_iou)
    matched[_matches(pairs, len(ground_truths), match_iou)[0]] = True
    return matched


def sweep(
    found: Images,
    ground_truths: Images,
    confidences: npt.ArrayLike | None = None,
    *,
    match_iou: float = 0.5,
    class_aware: bool = True,
) -> Sweep:
    """Return the counts of boxes at (C,) `confidences`, by default at every distinct score."""
    found, ground_truths = pair_up(found, ground_truths)
    matched = match_all(found, ground_truths, match_iou, class_aware=class_aware)
    at = distinct_falling(found.scores) if confidences is None else np.asarray(confidences, float)
    hits = count_above(found.scores[matched], at)
    return Sweep(
        confidences=at,
        true_positives=hits,
        false_positives=count_above(found.scores, at) - hits,
        false_negatives=len(ground_truths) - hits,
    )


def count(
    found: Images,
    ground_truths: Images,
    confidence: float,
    *,
    match_iou: float = 0.5,
    class_aware: bool = True,
) -> Counts:
    """Return the counts of boxes over all images at one confidence."""
    return sweep(found, ground_truths, [confidence], match_iou=match_iou, class_aware=class_aware)[
        0
    ]


def _matches(pairs: Pairs, gt_count: int, match_iou: float) -> tuple[Int64s, Int64s]:
    """(H,) rows of the found boxes that match, rising, and the ground truth each takes."""
    none = np.zeros(gt_count, dtype=np.bool_)
    held = Assigner(pairs, "first ground truth").assign([match_iou], gt_count, none, none)
    hit = np.flatnonzero(held.gt_of[:, 0] >= 0)
    return held.found[hit], held.gt_of[hit, 0]
