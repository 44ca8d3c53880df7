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
"""Clusters that the arrays grow by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """Boxes of all models, in any order: `xyxy` (N, 4), `scores` (N,) in (0, 1], `labels` (N,) and
    `models` (N,), which model each is of.
    """

    xyxy: Float64s
    scores: Float64s
    labels: Int64s
    models: Int64s

    def __len__(self) -> int:
        return len(self.scores)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fused:
    """Fused boxes, the best first: `xyxy` (K, 4), `scores` (K,) in [0, 1], `labels` (K,).

    `strongest` (K,) is the position among the candidates of the box that weighs most in each.
    """

    xyxy: Float64s
    scores: Float64s
    labels: Int64s
    strongest: Int64s


def fuse(found: Candidates, weights: Float64s, fusion_iou: float) -> Fused:
    """Fuse the candidates; `weights` (M, C): what a model counts for a class, 0 = not known to it.

    The score of a fused box is the sum of weight × best score over the models that see it, divided
    by the weights of all models that know the class. The order of the candidates does not matter.

        fuse(found, np.ones((3, 1)), 0.55).xyxy
    """
    strengths = weights[found.models, found.labels] * found.scores
    left, top, right, bottom = found.xyxy.T
    # The last key sorts first; boxes decide between equals, so that the models' order does not.
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
    """(K,) of clusters of the classes `labels` (K,)."""
    seen = np.zeros((len(labels), len(weights)))
    np.maximum.at(seen, (cluster, found.models), strengths)
    scores: Float64s = np.minimum(seen.sum(axis=1) / weights.sum(axis=0)[labels], 1)
    return scores


def _means(xyxy: Float64s, strengths: Float64s, cluster: Int64s, strongest: Int64s) -> Float64s:
    """(K, 4) mean boxes; as distances from the strongest, so that equal boxes stay as they are."""
    count = len(strongest)
    away = (xyxy - xyxy[strongest][cluster]) * strengths[:, None]
    sums = np.stack([np.bincount(cluster, side, count) for side in away.T], axis=1)
    totals = np.bincount(cluster, strengths, count)
    means: Float64s = xyxy[strongest] + sums / totals[:, None]
    return means


def _assign(xyxy: Float64s, strengths: Float64s, fusion_iou: float) -> Int64s:
    """The cluster, from 0, of each box of one class in falling order of strength.

    One box after the other, since each moves the fused box of its cluster; a box is held against
    all clusters at once.
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
    """Up to `most` fused boxes that move; their arrays are allocated once, with some room."""

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
        """Views of what is in use, and of room behind it: what is empty overlaps nothing."""
        stop = self.count + _ROOM
        arrays = (self._low, self._high, self._area, *self._spare)
        self._seen = tuple(array[..., :stop] for array in arrays)
