"""Precision over recall of one class, from the few boxes that could match anything."""

from dataclasses import dataclass

import numpy as np

from fracture_core.metrics.columns import Bools, Float64s
from fracture_core.types import Int64s


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """The found boxes of one class, the best scored first, equal scores in the order of pictures.

    `uncounted` (N,) whether a box is left out where it is unmatched, for its size · `place` (S,)
    int64, rising, where the boxes near a truth stand · `hit` (S, T) matched with a truth that
    counts · `excused` (S, T) matched with a truth that is ignored.
    """

    uncounted: Bools
    place: Int64s
    hit: Bools
    excused: Bools


def interpolate(ranking: Ranking, truth_count: int, recalls: Float64s) -> Float64s:
    """(T, R) the highest precision at each recall or beyond, 0 where the recall is not reached.

    `truth_count` > 0 truths count.
    """
    out = ranking.uncounted[ranking.place][:, None]
    skipped = ranking.excused | (out & ~ranking.hit)
    # Left out up to and with each place: all that would be if unmatched, put right for the matched.
    left_out = np.cumsum(ranking.uncounted)[ranking.place][:, None]
    left_out = left_out + np.cumsum(skipped.astype(np.int64) - out, axis=0)
    counted = ranking.place[:, None] + 1 - left_out
    return np.stack(
        [
            _interpolate_one(counted[hit, t], truth_count, recalls)
            for t, hit in enumerate(ranking.hit.T)
        ]
    )


def _interpolate_one(counted: Int64s, truth_count: int, recalls: Float64s) -> Float64s:
    """`counted`, one a hit: how many boxes count up to it. Precision is highest at a hit."""
    hits = np.arange(1, len(counted) + 1)
    # The same tiny addend as COCO's own code, so that results agree to the last bit.
    precision = hits / (counted + np.spacing(1.0))
    best_from = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(hits / truth_count, recalls, side="left")
    values: Float64s = np.append(best_from, 0.0)[at]
    return values
