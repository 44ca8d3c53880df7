"""Weighted box fusion: the boxes of several models become one list.

R. Solovyev, W. Wang, T. Gabruseva: Weighted boxes fusion: Ensembling boxes from different object
detection models, Image and Vision Computing 107 (2021). Boxes are taken in falling order of
weight × score; each joins, within its class, the cluster whose fused box it overlaps most, if by
more than the fusion IoU, or begins one of its own. A fused box is the mean of its cluster's boxes,
each weighted by weight × score. Two things differ from the paper: a model counts once in the score
of a cluster, with its best box, and a model that does not know a class has no say in its score.
"""

from dataclasses import dataclass

import numpy as np

from fracture_core import boxes
from fracture_core.boxes import Float64s, Int64s

_ROOM = 64
"""By how many clusters the part of the arrays that is looked at grows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """The boxes of all models on one image, in any order.

    `xyxy` (N, 4) in pixels · `scores` (N,) in (0, 1] · `labels` (N,) · `models` (N,), the number of
    the model that each box is of.
    """

    xyxy: Float64s
    scores: Float64s
    labels: Int64s
    models: Int64s

    def __len__(self) -> int:
        return len(self.scores)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fused:
    """The fused boxes of an image, the best first.

    `xyxy` (K, 4) in pixels · `scores` (K,) in [0, 1] · `labels` (K,) · `strongest` (K,) the
    position among the candidates of the box that weighs most in each.
    """

    xyxy: Float64s
    scores: Float64s
    labels: Int64s
    strongest: Int64s


def fuse(found: Candidates, weights: Float64s, fusion_iou: float) -> Fused:
    """Fuse the candidates of M models by `weights` (M, C), 0 where a model does not know a class.

    The score of a fused box is the sum of weight × best score over the models that see it, divided
    by the weights of all models that know the class. The order of the candidates does not matter.

    Example:
        >>> found = Candidates(
        ...     xyxy=np.array([[0.0, 0.0, 8.0, 4.0], [0.0, 0.0, 6.0, 4.0]]),
        ...     scores=np.array([0.5, 0.5]),
        ...     labels=np.array([0, 0]),
        ...     models=np.array([0, 1]),
        ... )
        >>> fuse(found, weights=np.ones((2, 1)), fusion_iou=0.55).xyxy.tolist()
        [[0.0, 0.0, 7.0, 4.0]]
    """
    strengths = weights[found.models, found.labels] * found.scores
    left, top, right, bottom = found.xyxy.T
    # `lexsort` sorts by its last key first. Corners decide between equal strengths and scores, so
    # that the order of the models does not.
    order = np.lexsort((bottom, right, top, left, -found.scores, -strengths))
    cluster = np.empty(len(found), dtype=np.int64)
    count = 0
    for label in np.unique(found.labels):
        rows = order[found.labels[order] == label]
        cluster[rows] = count + _assign(found.xyxy[rows], strengths[rows], fusion_iou)
        count = int(cluster[rows].max()) + 1
    _, firsts = np.unique(cluster[order], return_index=True)
    strongest = order[firsts]
    scores = _scores(cluster, found, weights, strengths, found.labels[strongest])
    best = np.lexsort((strongest, *found.xyxy[strongest].T, -scores))
    return Fused(
        xyxy=_means(found.xyxy, strengths, cluster, strongest)[best],
        scores=scores[best],
        labels=found.labels[strongest][best],
        strongest=strongest[best],
    )


def _scores(
    cluster: Int64s, found: Candidates, weights: Float64s, strengths: Float64s, labels: Int64s
) -> Float64s:
    """(K,) scores of the clusters, whose classes are `labels` (K,)."""
    seen = np.zeros((len(labels), len(weights)))
    np.maximum.at(seen, (cluster, found.models), strengths)
    scores: Float64s = np.minimum(seen.sum(axis=1) / weights.sum(axis=0)[labels], 1)
    return scores


def _means(xyxy: Float64s, strengths: Float64s, cluster: Int64s, strongest: Int64s) -> Float64s:
    """(K, 4) mean boxes, summed as distances from the strongest: equal boxes stay exactly equal."""
    count = len(strongest)
    away = (xyxy - xyxy[strongest][cluster]) * strengths[:, None]
    sums = np.stack([np.bincount(cluster, side, count) for side in away.T], axis=1)
    totals = np.bincount(cluster, strengths, count)
    means: Float64s = xyxy[strongest] + sums / totals[:, None]
    return means


def _assign(xyxy: Float64s, strengths: Float64s, fusion_iou: float) -> Int64s:
    """The cluster, from 0, of each box of one class in falling order of strength.

    Boxes come one after the other, since each moves the fused box of its cluster, but each is
    compared with all clusters at once.
    """
    areas = boxes.area(xyxy)
    clusters = _Clusters(len(xyxy))
    chosen: list[int] = []
    for row, column, area, strength in zip(
        xyxy.tolist(), xyxy[:, :, None], areas.tolist(), strengths.tolist(), strict=True
    ):
        shares = clusters.iou(column, area)
        place = int(shares.argmax())
        joined = place if shares[place] > fusion_iou else clusters.count
        clusters.join(joined, row, strength)
        chosen.append(joined)
    return np.array(chosen, dtype=np.int64)


class _Clusters:
    """Up to `most` fused boxes that move as boxes join; their arrays are allocated once."""

    def __init__(self, most: int) -> None:
        room = most + _ROOM
        self.count = 0
        self._low, self._high, self._area = np.zeros((2, room)), np.zeros((2, room)), np.zeros(room)
        self._spare = np.empty((2, room)), np.empty((2, room)), np.empty(room)
        self._sums: list[tuple[float, ...]] = []
        self._look()

    def iou(self, corners: Float64s, area: float) -> Float64s:
        """The IoU of a box, (4, 1), with each fused box and with the empty room behind them."""
        low, high, areas, starts, sides, unions = self._seen
        np.maximum(low, corners[:2], out=starts)
        np.minimum(high, corners[2:], out=sides)
        np.subtract(sides, starts, out=sides)
        np.maximum(sides, 0, out=sides)
        inter: Float64s = np.multiply(sides[0], sides[1], out=starts[0])
        np.add(areas, area, out=unions)
        np.subtract(unions, inter, out=unions)
        return np.divide(inter, unions, out=inter)

    def join(self, place: int, xyxy: list[float], strength: float) -> None:
        """Take a box into a cluster, or begin the one after the last with it."""
        if place == self.count:
            self.count += 1
            self._sums.append((0.0,) * 5)
            if self.count % _ROOM == 0:
                self._look()
        x1, y1, x2, y2 = (strength * side for side in xyxy)
        a, b, c, d, before = self._sums[place]
        total = before + strength
        self._sums[place] = (a + x1, b + y1, c + x2, d + y2, total)
        x1, y1, x2, y2 = (a + x1) / total, (b + y1) / total, (c + x2) / total, (d + y2) / total
        self._low[0, place], self._low[1, place] = x1, y1
        self._high[0, place], self._high[1, place] = x2, y2
        self._area[place] = (x2 - x1) * (y2 - y1)

    def _look(self) -> None:
        """Take views of the clusters in use and of some empty ones, which overlap nothing."""
        stop = self.count + _ROOM
        arrays = (self._low, self._high, self._area, *self._spare)
        self._seen = tuple(array[..., :stop] for array in arrays)
