"""Images on which two models disagree: only one finds a lesion, or only one has a false positive.

The amount tells how much they disagree: how far the one is above its confidence, as a share of what
is possible, plus how far the other is below its own, as a share of it. It is 0 where both are at
their confidence and 2 where the one is certain and the other has nothing. Scores of two models
cannot be compared, their distances from their own confidences can. The amounts of an image's places
are summed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from fracture_core.evaluations.matched_models import MatchedModel
from fracture_core.metrics.detection_table import Bools, Float64s
from fracture_core.metrics.pairs import box_pairs
from fracture_core.types import Int64s, Unit

DisputeKind = Literal[
    "only A hits", "only B hits", "only A has a false positive", "only B has a false positive"
]
DISPUTES: tuple[DisputeKind, ...] = (
    "only A hits",
    "only B hits",
    "only A has a false positive",
    "only B has a false positive",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Disputes:
    """The D images on which models A and B disagree in one way.

    `images` (D,) int64 are positions, the most disputed first, and `amounts` (D,) say by how much.
    `rows` holds for each image the rows of the disputed boxes: of the ground truths where one model
    hits, else of what that model found; empty where whole images are compared.
    """

    kind: DisputeKind
    images: Int64s
    amounts: Float64s
    rows: tuple[tuple[int, ...], ...]

    def __len__(self) -> int:
        return len(self.images)

    def only(self, kept: Bools) -> "Disputes":
        """Return the disputes on the marked (I,) images."""
        places = np.flatnonzero(kept[self.images])
        return replace(
            self,
            images=self.images[places],
            amounts=self.amounts[places],
            rows=tuple(self.rows[place] for place in places),
        )


def disputes(
    first: MatchedModel, second: MatchedModel, confidences: tuple[float, float], unit: Unit
) -> dict[DisputeKind, Disputes]:
    """Return the disputes of each kind in `DISPUTES`, of lesions or of whole images.

    `confidences` are those of the first model, A, and the second, B.
    """
    cases_of = _of_lesions if unit == "lesion" else _of_images
    return {
        "only A hits": cases_of(first, second, confidences, hits=True, kind="only A hits"),
        "only B hits": cases_of(second, first, confidences[::-1], hits=True, kind="only B hits"),
        "only A has a false positive": cases_of(
            first, second, confidences, hits=False, kind="only A has a false positive"
        ),
        "only B has a false positive": cases_of(
            second, first, confidences[::-1], hits=False, kind="only B has a false positive"
        ),
    }


def _of_lesions(
    one: MatchedModel,
    other: MatchedModel,
    confidences: Sequence[float],
    *,
    hits: bool,
    kind: DisputeKind,
) -> Disputes:
    ours, theirs = confidences
    if not hits:
        return _false_positives_alone(one, other, ours, theirs, kind)
    disputed = (one.hit_scores >= ours) & (other.hit_scores < theirs)
    amounts = _above(one.hit_scores, ours) + _below(other.hit_scores, theirs)
    rows = np.flatnonzero(disputed)
    return _gathered(kind, one.evaluation.ground_truths.image[rows], amounts[rows], rows)


def _false_positives_alone(
    one: MatchedModel, other: MatchedModel, ours: float, theirs: float, kind: DisputeKind
) -> Disputes:
    """False positives of one model that no box shown by the other overlaps like a match."""
    shown = one.found.scores.astype(np.float64) >= ours
    rows = np.flatnonzero(shown & ~one.right)
    beside = other.found.rows(other.found.scores.astype(np.float64) >= theirs)
    alone = np.ones(len(rows), dtype=np.bool_)
    false_positives = one.found.rows(shown & ~one.right)
    pairs = box_pairs(false_positives, beside, one.config.match_iou, class_aware=False)
    alone[pairs.found] = False
    rows = rows[alone]
    amounts = _above(one.found.scores[rows].astype(np.float64), ours)
    return _gathered(kind, one.found.image[rows], amounts, rows)


def _of_images(
    one: MatchedModel,
    other: MatchedModel,
    confidences: Sequence[float],
    *,
    hits: bool,
    kind: DisputeKind,
) -> Disputes:
    """Images that one model alone calls: with something to find if `hits`, else without."""
    ours, theirs = confidences
    called: Bools = (one.image_scores >= ours) & (other.image_scores < theirs)
    disputed = called & (one.evaluation.positive == hits)
    amounts = _above(one.image_scores, ours) + _below(other.image_scores, theirs)
    images = np.flatnonzero(disputed)
    order = np.argsort(-amounts[images], kind="stable")
    return Disputes(
        kind=kind,
        images=images[order],
        amounts=amounts[images][order],
        rows=((),) * len(images),
    )


def _above(scores: Float64s, confidence: float) -> Float64s:
    """(N,) for scores that are shown: 0 at the confidence, 1 at a score of 1."""
    room = max(1 - confidence, np.finfo(np.float64).tiny)
    above: Float64s = np.clip((scores - confidence) / room, 0, 1)
    return above


def _below(scores: Float64s, confidence: float) -> Float64s:
    """(N,) for scores that are not shown: 0 at the confidence, 1 where there is no candidate."""
    depth = max(confidence, np.finfo(np.float64).tiny)
    below: Float64s = np.clip((confidence - np.maximum(scores, 0)) / depth, 0, 1)
    return below


def _gathered(kind: DisputeKind, image: Int64s, amounts: Float64s, rows: Int64s) -> Disputes:
    """Sum the amounts by image; `image` (N,) rises, as the rows do."""
    images, first = np.unique(image, return_index=True)
    sums = np.add.reduceat(amounts, first) if len(first) else np.empty(0)
    ends = np.append(first[1:], len(image))
    order = np.argsort(-sums, kind="stable")
    return Disputes(
        kind=kind,
        images=images[order],
        amounts=sums[order],
        rows=tuple(tuple(rows[first[i] : ends[i]].tolist()) for i in order),
    )
