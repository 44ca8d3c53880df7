"""What a consensus is made of, as its card says it: other models of the library, by id and hash.

    "architecture": {
      "members": [{"model_id": "demo-yolo-detect", "weights_sha256": "2f1c…", "flipped": false,
                   "weight": 1.0, "ppv": [[0.2, 0.1], [0.8, 0.9]]}, …],
      "fusion_iou": 0.55, "nms_iou": 0.5, "scores": "ppv", "gate": 0.5
    }

`ppv` brings the scores of different models to one scale, the share of findings scored like this
that were right (positive predictive value, PPV). It is a curve of (score, PPV) points, both rising,
with straight lines between them and from (0, 0) to the first.

No weights lie beside such a card. Its `weights_sha256` is the hash of its architecture, so that
evaluations and operating points belong to these members, joined in this way. Nothing here imports
torch: a consensus is listed without opening a member.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fracture_core.boxes import Float64s
from fracture_core.class_names import bring_together
from fracture_core.errors import WeightsError, first_fault
from fracture_core.models.cards import ModelCard
from fracture_core.models.points import Knots

# ---- score curves --------------------------------------------------------------------------------

ScoreCurve = tuple[tuple[float, float], ...]


def ppv_curve(knots: Knots) -> ScoreCurve:
    """Returns the positive predictive value by score from counts on validation; () without any.

    Isotonic regression: neighbouring scores are pooled until the share that is right rises with the
    score (R. E. Barlow et al., Statistical Inference under Order Restrictions, 1972). Each pool
    stands at the middle of its scores. One right and one wrong finding are added to each, so that
    few findings give no certainty.

    Example:
        >>> one = {"false_alarms": (0,), "positives": 1, "negatives": 0, "images": 1}
        >>> ppv_curve(Knots(confidences=(0.9,), true_positives=(1,), false_positives=(0,), **one))
        ((0.95, 0.666667),)
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
    """Returns scores in [0, 1] as read off a curve; without points they stay as they are.

    A thousandth of the score itself is mixed in, which keeps the order where the curve is level.

    Example:
        >>> on_curve(np.array([0.0, 1.0]), ((1.0, 0.5),)).round(4).tolist()
        [0.0, 0.5005]
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


# ---- the card ------------------------------------------------------------------------------------

FAMILY = "consensus"
MOST_MODELS = 6
_Share = Annotated[float, Field(ge=0, le=1)]
_AS_MADE = "Make the consensus anew."


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Member(_Strict):
    """A model of the library, with the weights that it had when the consensus was made.

    A member that is `flipped` reads the mirrored image. `weight` is what it counts in the fusion;
    `ppv` is the curve of its scores as `ppv_curve` gives it, () = none.
    """

    model_id: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.\-]{0,99}$")
    weights_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    flipped: bool = False
    weight: float = Field(default=1.0, gt=0, le=100)
    ppv: tuple[tuple[_Share, _Share], ...] = Field(default=(), max_length=400)

    @model_validator(mode="after")
    def _rises(self) -> Self:
        for column in zip(*self.ppv, strict=True):
            if list(column) != sorted(column):
                raise ValueError("ppv: expected rising scores and rising shares")
        return self


class ConsensusArchitecture(_Strict):
    """The members of a consensus, and how they are joined.

    Each member's candidates go through NMS at `nms_iou` where the model needs that, and all are
    fused at `fusion_iou`. `scores` tells whether they are fused as the members give them ("raw") or
    as positive predictive values ("ppv"). `gate` is the power of the classifying members' mean
    score of the image by which the scores of boxes are multiplied; 0 leaves boxes alone.
    """

    members: tuple[Member, ...] = Field(min_length=2, max_length=2 * MOST_MODELS)
    fusion_iou: float = Field(default=0.55, ge=0.1, le=0.95)
    nms_iou: float = Field(default=0.5, ge=0.1, le=1)
    scores: Literal["raw", "ppv"] = "raw"
    gate: float = Field(default=0.5, ge=0, le=4)

    @classmethod
    def of(cls, card: ModelCard) -> Self:
        """Returns the architecture on a card; raises WeightsError where it is malformed."""
        try:
            # As JSON: it is strict about numbers and takes lists for tuples.
            return cls.model_validate_json(json.dumps(card.architecture))
        except ValidationError as error:
            found = first_fault(error, "architecture")
            expected = "a card that names the members of a consensus"
            raise WeightsError(card.model_id, expected=expected, found=found) from error

    @property
    def sha256(self) -> str:
        """The hash of everything on the card that predictions depend on, 64 hexadecimal digits."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def model_ids(self) -> tuple[str, ...]:
        """The id of each model once, in the order of the members."""
        return tuple(dict.fromkeys(member.model_id for member in self.members))

    @model_validator(mode="after")
    def _fits(self) -> Self:
        votes = {(member.model_id, member.flipped) for member in self.members}
        if len(votes) < len(self.members):
            raise ValueError("members: expected each model once, and once flipped")
        if len({member.model_id for member in self.members}) > MOST_MODELS:
            raise ValueError(f"members: expected at most {MOST_MODELS} models")
        if any(bool(member.ppv) != (self.scores == "ppv") for member in self.members):
            raise ValueError('members: expected ppv of each where scores is "ppv", else of none')
        return self


def check_members(card: ModelCard, known: Mapping[str, ModelCard]) -> tuple[ModelCard, ...]:
    """Returns the cards of a consensus's members, each as it was when the consensus was made.

    `known` are the usable models of the library, by id. Raises WeightsError where a member is gone,
    has other weights or cannot be a member, where none finds boxes, and where the consensus's own
    card was changed by hand.
    """
    architecture = ConsensusArchitecture.of(card)
    if architecture.sha256 != card.weights_sha256:
        expected = f"members with the sha256 {card.weights_sha256[:12]}… that its card names"
        found = f"{architecture.sha256[:12]}…"
        raise WeightsError(card.model_id, expected=expected, found=found, advice=_AS_MADE)
    return members_among(architecture, known, of=card.model_id)


def members_among(
    architecture: ConsensusArchitecture, known: Mapping[str, ModelCard], *, of: str
) -> tuple[ModelCard, ...]:
    """Does what `check_members` does, for an architecture that need not be on a card yet.

    `of` names it in an error.
    """
    cards = tuple(_member_among(member, known, of) for member in architecture.members)
    if all(card.task == "classify" for card in cards):
        expected = "a member that finds boxes"
        raise WeightsError(of, expected=expected, found="models that only classify")
    return cards


def why_no_member(card: ModelCard) -> str:
    """Says why a model cannot be a member of a consensus; "" means that it can."""
    if card.family == FAMILY:
        return "a consensus, which cannot be a member"
    if not card.weights_sha256:
        return "a model without weights"
    if card.task == "classify" and not card.architecture.get("healthy"):
        named = ", ".join(card.classes)[:200]
        return f"a classifier none of whose classes means that nothing is there ({named})"
    return ""


def _member_among(member: Member, known: Mapping[str, ModelCard], of: str) -> ModelCard:
    expected = f"its member {member.model_id} with sha256 {member.weights_sha256[:12]}…"
    card = known.get(member.model_id)
    found, advice = "no such model", "Add that model again under this id."
    if card is not None:
        found, advice = why_no_member(card), _AS_MADE
        if not found and card.weights_sha256 == member.weights_sha256:
            return card
        found = found or f"other weights, {card.weights_sha256[:12]}…"
    raise WeightsError(of, expected=expected, found=found, advice=advice)


def shared_classes(
    cards: Sequence[ModelCard],
) -> tuple[tuple[str, ...], tuple[tuple[int, ...], ...]]:
    """Returns the classes of all models that find boxes, joined by name, and where each went.

    The second value holds for each card the places of its classes among the joined ones. It is
    empty for a model that classifies, whose classes do not take part.
    """
    met = bring_together(*(() if card.task == "classify" else card.classes for card in cards))
    return met.names, met.moved


def consensuses_with(model_id: str, cards: Sequence[ModelCard]) -> tuple[ModelCard, ...]:
    """Returns the consensuses among the cards that a model is a member of."""
    return tuple(
        card
        for card in cards
        if card.family == FAMILY and model_id in ConsensusArchitecture.of(card).model_ids
    )
