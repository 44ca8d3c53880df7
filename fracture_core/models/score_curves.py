"""A model's scores on the scale of another's: what share of findings scored like this were right.

A curve is a list of (score, positive predictive value), both rising, read off by straight lines
between its points and from (0, 0) to the first.
"""

import numpy as np

from fracture_core.boxes import Float64s
from fracture_core.models.points import Knots

ScoreCurve = tuple[tuple[float, float], ...]


def ppv_curve(knots: Knots) -> ScoreCurve:
    """Positive predictive value by score, from counts on validation; () where nothing was scored.

    Isotonic regression: neighbouring scores are pooled until the share that is right rises with
    the score (R. E. Barlow et al., Statistical Inference under Order Restrictions, 1972). Each
    pool stands at the middle of its scores, its share with one right and one wrong added, so that
    few findings are no certainty.
    """
    falling = np.array(knots.confidences, dtype=np.float64)
    if not len(falling):
        return ()
    right = np.diff(knots.true_positives, prepend=0)
    wrong = np.diff(knots.false_positives, prepend=0)
    highest = np.append(1.0, falling[:-1])
    pools: list[tuple[float, float, int, int]] = []
    for low, high, hits, misses in zip(
        *(column.tolist() for column in (falling, highest, right, wrong)), strict=True
    ):
        pool = (low, high, hits, misses)
        while pools and _share(pools[-1]) <= _share(pool):
            _, top, more_hits, more_misses = pools.pop()
            pool = (low, top, pool[2] + more_hits, pool[3] + more_misses)
        pools.append(pool)
    return _rising(pools)


def on_curve(scores: Float64s, curve: ScoreCurve) -> Float64s:
    """Scores in [0, 1] read off a curve; without points they stay as they are.

    A thousandth of the score itself keeps the order where the curve is level.
    """
    if not curve:
        return scores
    x, y = np.array([(0.0, 0.0), *curve]).T
    read: Float64s = 0.999 * np.interp(scores, x, y) + 0.001 * scores
    return read


def _share(pool: tuple[float, float, int, int]) -> float:
    _, _, hits, misses = pool
    return hits / (hits + misses) if hits + misses else 0.0


def _rising(pools: list[tuple[float, float, int, int]]) -> ScoreCurve:
    points = np.array(
        [((low + high) / 2, (hits + 1) / (hits + misses + 2)) for low, high, hits, misses in pools]
    )[::-1]
    points[:, 1] = np.maximum.accumulate(points[:, 1])
    return tuple((float(score), float(share)) for score, share in points.round(6))
