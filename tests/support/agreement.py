"""Where several models agree: what they show of one image, gathered into places."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fracture_core import boxes
from fracture_core.matching import Rule, match
from fracture_core.types import Detections


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One spot of the image that at least one model points at.

    `members`, one a model: its finding here, −1 = none · `first` is the model whose finding began
    the place, the best scored of all · `ground_truth` is the one that the best scored member
    matched with a ground truth is matched with, −1 = none.
    """

    members: tuple[int, ...]
    first: int
    ground_truth: int

    @property
    def found_by(self) -> tuple[int, ...]:
        """The models with a finding here, in their order."""
        return tuple(model for model, index in enumerate(self.members) if index >= 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """`places` in falling order of their best score · `found_by`, one a ground truth: the models
    that have a finding matched with it; None where the ground truth is unknown.
    """

    places: tuple[Place, ...]
    found_by: tuple[tuple[int, ...], ...] | None


def agree(
    shown: Sequence[Detections],
    ground_truth: Detections | None,
    match_iou: float = 0.5,
    *,
    rule: Rule = "iou",
    class_aware: bool = True,
) -> Agreement:
    """Gather the shown findings of several models, all in the same classes, into places.

    The findings of all models are taken in falling order of score, equal scores in the order of the
    models and then of the findings. Each joins the place whose first finding it overlaps most,
    among those that satisfy the rule of `matching.match` with that first finding in the role of the
    ground truth, and that hold no finding of its model yet; of equal overlaps the earlier place.
    Else it begins a place of its own. Ground truths are matched model by model, as each is matched
    alone.
    """
    gathered = _gather(shown, match_iou, rule, class_aware)
    if ground_truth is None:
        places = tuple(Place(members=m, first=first, ground_truth=-1) for m, first in gathered)
        return Agreement(places=places, found_by=None)
    gt_of = [
        match(one, ground_truth, match_iou, rule=rule, class_aware=class_aware).gt_of
        for one in shown
    ]
    places = tuple(
        Place(members=members, first=first, ground_truth=_truth_at(members, shown, gt_of))
        for members, first in gathered
    )
    found_by = tuple(
        tuple(model for model, found in enumerate(gt_of) if j in found)
        for j in range(len(ground_truth))
    )
    return Agreement(places=places, found_by=found_by)


_Gathered = tuple[tuple[int, ...], int]


def _gather(
    shown: Sequence[Detections], match_iou: float, rule: Rule, class_aware: bool
) -> list[_Gathered]:
    """The members and the first model of each place."""
    xyxy = np.concatenate([one.xyxy for one in shown])
    labels = np.concatenate([one.labels for one in shown])
    models = np.repeat(np.arange(len(shown)), [len(one) for one in shown])
    indices = np.concatenate([np.arange(len(one)) for one in shown])
    scores = np.concatenate([one.scores for one in shown])
    members = np.full((len(xyxy), len(shown)), -1, dtype=np.int64)
    # Which finding began each place.
    heads = np.empty(len(xyxy), dtype=np.int64)
    count = 0
    for i in np.argsort(-scores, kind="stable"):
        known = heads[:count]
        overlap = boxes.iou(xyxy[[i]], xyxy[known])[0]
        possible = (overlap > 0) & (members[:count, models[i]] < 0)
        if class_aware:
            possible &= labels[known] == labels[i]
        if rule == "iou":
            possible &= overlap >= match_iou
        else:
            possible &= boxes.centre_inside(xyxy[[i]], xyxy[known])[0]
        if possible.any():
            place = int(np.argmax(np.where(possible, overlap, -1.0)))
        else:
            place, heads[count], count = count, i, count + 1
        members[place, models[i]] = indices[i]
    rows = zip(members[:count].tolist(), models[heads[:count]].tolist(), strict=True)
    return [(tuple(row), first) for row, first in rows]


def _truth_at(
    members: tuple[int, ...], shown: Sequence[Detections], gt_of: Sequence[boxes.Int64s]
) -> int:
    found = [
        (float(shown[model].scores[index]), -model, int(gt_of[model][index]))
        for model, index in enumerate(members)
        if index >= 0 and gt_of[model][index] >= 0
    ]
    return max(found)[2] if found else -1
