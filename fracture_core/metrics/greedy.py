"""Greedy one-to-one matching by score, in all images and at several thresholds at once.

The same result as `fracture_core.matching.match` image by image, or as COCO's evaluation. In
one image the boxes must choose one after the other, but images do not disturb each other: so
the best box of every image chooses first, all in one step, then every second best, and so on.

Precision and recall of single boxes: greedy by score, one box to one truth, all images.

**Why one matching serves every confidence.** A box chooses its truth after all better scored boxes
of its image and before all others, so what it takes depends on the better scored alone. Leaving
out everything under a confidence leaves out only later choices: the boxes that remain, a prefix of
the order, keep their truths. Counts at any confidence are therefore cumulative sums over one
matching of all boxes. Non-maximum suppression is stable in the same way, so boxes that need it are
suppressed once, before.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from fracture_core.metrics.columns import Bools, Columns, Float64s, Images, pair_up
from fracture_core.metrics.pairs import Pairs, box_pairs, rank_within
from fracture_core.metrics.sweeps import Counts, Sweep, count_above, distinct_falling
from fracture_core.types import Int64s

Tie = Literal["first ground truth", "last ground truth"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """`found` (S,) int64, rising, rows with any truth near · `truth_of` (S, T) int64, the truth
    each is matched with at each threshold, −1 = none. All other rows are unmatched.
    """

    found: Int64s
    truth_of: Int64s


class Assigner:
    """Pairs put in the order of choice once, for several ways to ignore truths.

    Of equal overlaps `tie` says which truth is taken: the first by `matching.match`, the last by
    COCO.
    """

    def __init__(self, pairs: Pairs, tie: Tie) -> None:
        self._found, self._dense = np.unique(pairs.found, return_inverse=True)
        order = _by_preference(pairs, self._dense, tie)
        self._truth, self._iou = pairs.truth[order], pairs.iou[order]
        turn = rank_within(_first_of_each(pairs.group, self._dense, len(self._found)))[self._dense]
        choice = rank_within(self._dense)
        # Pairs of one turn and choice have each box once, and so each truth once.
        step = turn * (choice.max(initial=0) + 1) + choice
        self._visit = np.argsort(step, kind="stable")
        bounds = np.flatnonzero(np.diff(step[self._visit], prepend=-1))
        self._bounds = np.append(bounds, len(step)).tolist()

    def assign(
        self, match_ious: npt.ArrayLike, truth_count: int, ignored: Bools, crowd: Bools
    ) -> Assignment:
        """Match at each of (T,) thresholds, IoU ≥ threshold.

        An `ignored` (M,) truth is taken only where no other is free; a `crowd` (M,) may be matched
        any number of times.
        """
        thresholds: Float64s = np.asarray(match_ious, dtype=np.float64)
        truth_of = np.full((len(self._found), len(thresholds)), -1, dtype=np.int64)
        taken = np.zeros((truth_count, len(thresholds)), dtype=np.bool_)
        order = np.argsort(2 * self._dense + ignored[self._truth], kind="stable")[self._visit]
        truth, enough = self._truth[order], self._iou[order][:, None] >= thresholds
        own = self._dense[self._visit]
        for start, stop in zip(self._bounds[:-1], self._bounds[1:], strict=True):
            i, j = own[start:stop], truth[start:stop]
            held = truth_of[i]
            matched = enough[start:stop] & (held < 0) & ~(taken[j] & ~crowd[j, None])
            truth_of[i] = np.where(matched, j[:, None], held)
            taken[j] |= matched
        return Assignment(found=self._found, truth_of=truth_of)


def _by_preference(pairs: Pairs, dense: Int64s, tie: Tie) -> Int64s:
    """The pairs of each box from the best on; most boxes have but one, which stays where it is."""
    order = np.arange(len(dense))
    several = np.flatnonzero((np.bincount(dense) > 1)[dense])
    truth = pairs.truth[several]
    place = truth if tie == "first ground truth" else -truth
    order[several] = several[np.lexsort((place, -pairs.iou[several], dense[several]))]
    return order


def _first_of_each(values: Int64s, dense: Int64s, count: int) -> Int64s:
    """(count,) one value for each dense number; all values of a number are equal."""
    firsts = np.empty(count, dtype=np.int64)
    firsts[dense] = values
    return firsts


def assign_all(
    found: Images, truths: Images, match_iou: float = 0.5, *, class_aware: bool = True
) -> Int64s:
    """(N,) the row of the truth that each found box takes, −1 = none, as by `matching.match`."""
    found, truths = pair_up(found, truths)
    rows, truth_rows = _matches(found, truths, match_iou, class_aware)
    taken = np.full(len(found), -1, dtype=np.int64)
    taken[rows] = truth_rows
    return taken


def match_all(
    found: Images, truths: Images, match_iou: float = 0.5, *, class_aware: bool = True
) -> Bools:
    """(N,) whether each found box, image by image, is matched, as by `matching.match`."""
    found, truths = pair_up(found, truths)
    matched = np.zeros(len(found), dtype=np.bool_)
    matched[_matches(found, truths, match_iou, class_aware)[0]] = True
    return matched


def sweep(
    found: Images,
    truths: Images,
    confidences: npt.ArrayLike | None = None,
    *,
    match_iou: float = 0.5,
    class_aware: bool = True,
) -> Sweep:
    """Counts of boxes over all images, at every distinct score, the highest first, by default."""
    found, truths = pair_up(found, truths)
    rows, _ = _matches(found, truths, match_iou, class_aware)
    at = distinct_falling(found.scores) if confidences is None else np.asarray(confidences, float)
    hits = count_above(found.scores[rows], at)
    return Sweep(
        confidences=at,
        true_positives=hits,
        false_positives=count_above(found.scores, at) - hits,
        false_negatives=len(truths) - hits,
    )


def count(
    found: Images,
    truths: Images,
    confidence: float,
    *,
    match_iou: float = 0.5,
    class_aware: bool = True,
) -> Counts:
    """Counts of boxes over all images at one confidence."""
    return sweep(found, truths, [confidence], match_iou=match_iou, class_aware=class_aware)[0]


def _matches(
    found: Columns, truths: Columns, match_iou: float, class_aware: bool
) -> tuple[Int64s, Int64s]:
    """(H,) rows of the found boxes that match, rising, and the truth each takes."""
    pairs = box_pairs(found, truths, match_iou, class_aware=class_aware)
    none = np.zeros(len(truths), dtype=np.bool_)
    held = Assigner(pairs, "first ground truth").assign([match_iou], len(truths), none, none)
    hit = np.flatnonzero(held.truth_of[:, 0] >= 0)
    return held.found[hit], held.truth_of[hit, 0]
