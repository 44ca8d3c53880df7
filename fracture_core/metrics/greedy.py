"""Precision and recall of single boxes: greedy by score, one box to one truth, all pictures.

**Why one matching serves every confidence.** A box chooses its truth after all better scored boxes
of its picture and before all others, so what it takes depends on the better scored alone. Leaving
out everything under a confidence leaves out only later choices: the boxes that remain, a prefix of
the order, keep their truths. Counts at any confidence are therefore cumulative sums over one
matching of all boxes. Non-maximum suppression is stable in the same way, so boxes that need it are
suppressed once, before.
"""

import numpy as np
import numpy.typing as npt

from fracture_core.metrics.assignment import Assigner
from fracture_core.metrics.columns import Bools, Columns, Pictures, pair_up
from fracture_core.metrics.pairs import box_pairs
from fracture_core.metrics.sweeps import Counts, Sweep, count_above, distinct_falling
from fracture_core.types import Int64s


def assign_all(
    found: Pictures, truths: Pictures, match_iou: float = 0.5, *, class_aware: bool = True
) -> Int64s:
    """(N,) the row of the truth that each found box takes, −1 = none, as by `matching.match`."""
    found, truths = pair_up(found, truths)
    rows, truth_rows = _matches(found, truths, match_iou, class_aware)
    taken = np.full(len(found), -1, dtype=np.int64)
    taken[rows] = truth_rows
    return taken


def match_all(
    found: Pictures, truths: Pictures, match_iou: float = 0.5, *, class_aware: bool = True
) -> Bools:
    """(N,) whether each found box, picture by picture, is matched, as by `matching.match`."""
    found, truths = pair_up(found, truths)
    matched = np.zeros(len(found), dtype=np.bool_)
    matched[_matches(found, truths, match_iou, class_aware)[0]] = True
    return matched


def sweep(
    found: Pictures,
    truths: Pictures,
    confidences: npt.ArrayLike | None = None,
    *,
    match_iou: float = 0.5,
    class_aware: bool = True,
) -> Sweep:
    """Counts of boxes over all pictures, at every distinct score, the highest first, by default."""
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
    found: Pictures,
    truths: Pictures,
    confidence: float,
    *,
    match_iou: float = 0.5,
    class_aware: bool = True,
) -> Counts:
    """Counts of boxes over all pictures at one confidence."""
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
