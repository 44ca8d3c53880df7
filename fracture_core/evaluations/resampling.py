"""What `metrics.weighted` does not hold: figures of weighted pictures that a report alone needs."""

from collections.abc import Callable
from math import nan

import numpy as np
import numpy.typing as npt

from fracture_core.metrics.columns import Bools, Columns, Float64s
from fracture_core.metrics.pairs import box_pairs
from fracture_core.metrics.weighted import ImageCounts
from fracture_core.types import Int64s

Statistic = Callable[[Float64s], npt.ArrayLike]
"""(I,) weights of the pictures → one figure or several."""


def pr_auc(scores: npt.ArrayLike, positive: npt.ArrayLike) -> Callable[[Float64s], float]:
    """Of (I,) scores and (I,) bool: with weights of 1 `rates.precision_recall`'s."""
    values, marks = np.asarray(scores, dtype=np.float64), np.asarray(positive, dtype=np.float64)
    order = np.argsort(-values, kind="stable")
    # Equal scores are called together.
    ends = np.flatnonzero(np.diff(values[order], append=-np.inf))

    def figure(weights: Float64s) -> float:
        calls = np.cumsum(weights[order])[ends]
        hits = np.cumsum((weights * marks)[order])[ends]
        if not len(hits) or not hits[-1]:
            return nan
        precision = np.divide(hits, calls, out=np.zeros_like(hits), where=calls > 0)
        return float(np.diff(hits, prepend=0.0) @ precision / hits[-1])

    return figure


def calibration_error(
    scores: Float64s, right: Bools, image: Int64s, image_count: int, bins: int = 10
) -> Callable[[Float64s], float]:
    """The ECE of (N,) scores, each of a picture: with weights of 1 `calibration.reliability`'s."""
    place = np.minimum((np.searchsorted(np.arange(bins + 1) / bins, scores, "right") - 1), bins - 1)
    cell = image * bins + place
    # Hits less what the scores promise, and how many there are, by picture and bin.
    gaps = np.bincount(cell, right - scores, image_count * bins).reshape(image_count, bins)
    totals = np.bincount(cell, minlength=image_count * bins).reshape(image_count, bins).sum(axis=1)

    def figure(weights: Float64s) -> float:
        whole = float(weights @ totals)
        return float(np.abs(weights @ gaps).sum()) / whole if whole else nan

    return figure


def class_figures(truth: Int64s, called: Int64s, count: int) -> Statistic:
    """Of (I,) and (I,) classes, with weights of 1 `classification.report`'s: the balanced accuracy,
    macro and weighted averages of precision, recall and F1, and the F1 of each class.
    """

    def figures(weights: Float64s) -> Float64s:
        flat = np.bincount(truth * count + called, weights, count * count)
        cells: Float64s = flat.astype(np.float64).reshape(count, count)
        hits: Float64s = np.diag(cells).astype(np.float64)
        support, calls = cells.sum(axis=1), cells.sum(axis=0)
        shares = (
            _shares(hits, calls),
            _shares(hits, support),
            _shares(2 * hits, support + calls),
        )
        macro = [_mean(share, np.ones(count)) for share in shares]
        weighted = [_mean(share, support) for share in shares]
        return np.array([macro[1], *macro, *weighted, *shares[2]])

    return figures


def of_studies(
    statistic: Callable[[Float64s], float], groups: tuple[str, ...]
) -> Callable[[Float64s], float]:
    """A figure of studies, in the order of their names, from the weights of their (I,) pictures."""
    _, first = np.unique(np.asarray(groups), return_index=True)
    return lambda weights: statistic(weights[first])


def any_hits(found: Columns, truths: Columns, confidence: float, match_iou: float) -> ImageCounts:
    """Pictures that any shown box hits, as `any_hit.count` counts them."""
    count = found.image_count
    shown = found.scores.astype(np.float64) >= confidence
    pairs = box_pairs(found, truths, match_iou, class_aware=False)
    hitting = pairs.found[(pairs.iou > match_iou) & shown[pairs.found]]
    hits, called, there = np.zeros(count), np.zeros(count), np.zeros(count)
    hits[found.image[hitting]] = 1
    called[found.image[shown]] = 1
    there[truths.image] = 1
    return ImageCounts(hits=hits, spurious=called - hits, truths=there, alarms=called * (1 - there))


def _shares(part: Float64s, whole: Float64s) -> Float64s:
    shares: Float64s = np.divide(part, whole, out=np.full(len(part), nan), where=whole > 0)
    return shares


def _mean(shares: Float64s, weights: Float64s) -> float:
    used = ~np.isnan(shares)
    whole = weights[used].sum()
    return float(shares[used] @ weights[used] / whole) if whole else nan
