"""How a consensus is made of models of the library, and kept there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Self

from pydantic import ValidationError

from fracture_core.errors import ConfigError, WeightsError
from fracture_core.models.cards import ModelCard, read_card_file
from fracture_core.models.consensus_cards import (
    FAMILY,
    ConsensusArchitecture,
    Member,
    ScoreCurve,
    members_among,
    ppv_curve,
    shared_classes,
    why_no_member,
)
from fracture_core.models.library import keep_card, list_cards, points_of
from fracture_core.scope import shared_scope

SCORES = ("measured", "raw", "ppv")
_FLIPPED = "+flipped"
_MOST_CARD_BYTES = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Voice:
    """A model that is to take part: whether it reads the mirrored image, and what it counts."""

    model_id: str
    flipped: bool = False
    weight: float = 1.0

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads ID, ID+flipped, ID=2 or ID+flipped=0.5; raises ConfigError.

        Example:
            >>> Voice.parse("demo-detr+flipped=0.5")
            Voice(model_id='demo-detr', flipped=True, weight=0.5)
        """
        name, equals, number = text.partition("=")
        try:
            weight = float(number) if equals else 1.0
        except ValueError as error:
            expected = "a weight such as 2 behind the equals sign"
            raise ConfigError(text, expected=expected, found=repr(number)) from error
        flipped = name.endswith(_FLIPPED)
        return cls(model_id=name.removesuffix(_FLIPPED), flipped=flipped, weight=weight)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How members are joined; the fields are those of `ConsensusArchitecture`.

    `scores` "measured" takes positive predictive values where all members were measured on
    validation, and otherwise the scores as they are; the card's note says which it was. Raises
    ConfigError for other words than those in `SCORES`.
    """

    fusion_iou: float = 0.55
    nms_iou: float = 0.5
    scores: str = "measured"
    gate: float = 0.5

    def __post_init__(self) -> None:
        if self.scores not in SCORES:
            raise ConfigError("scores", expected=" or ".join(SCORES), found=repr(self.scores))


def add_consensus(
    voices: Sequence[Voice],
    rule: Rule = Rule(),
    *,
    model_id: str | None = None,
    title: str | None = None,
) -> ModelCard:
    """Keeps a consensus of models in the library and returns its card.

    Two voices with one `model_id`, one of them flipped, make a model read each image twice. Raises
    ConfigError and WeightsError.
    """
    card = consensus_card(voices, rule, model_id=FAMILY, title=title)
    return keep_card(card, model_id=model_id)


def consensus_card(
    voices: Sequence[Voice],
    rule: Rule = Rule(),
    *,
    model_id: str,
    title: str | None = None,
) -> ModelCard:
    """Returns the card of a consensus without keeping it; raises as `add_consensus` does."""
    known = {card.model_id: card for card in list_cards()}
    if len(voices) < 2:
        raise ConfigError(
            "consensus",
            expected="two members or more",
            found=f"{len(voices)}",
            advice="One model alone is read twice as its id and its id with +flipped.",
        )
    cards = tuple(_usable(voice, known) for voice in voices)
    architecture = _architecture(voices, cards, rule)
    return described(architecture, known, model_id=model_id, title=title or "")


def described(
    architecture: ConsensusArchitecture,
    known: Mapping[str, ModelCard],
    *,
    model_id: str,
    title: str = "",
) -> ModelCard:
    """Returns the card of a consensus of `known` models.

    Raises WeightsError as `check_members` does.
    """
    cards = members_among(architecture, known, of=model_id)
    finders = [card for card in cards if card.task != "classify"]
    names, _ = shared_classes(cards)
    return ModelCard(
        model_id=model_id,
        title=title or _title(cards),
        family=FAMILY,
        # A fused box takes over a member's mask, so that all of them must make masks.
        task="segment" if all(card.task == "segment" for card in finders) else "detect",
        classes=names,
        input_size=max(card.input_size for card in cards),
        needs_nms=False,
        architecture=architecture.model_dump(mode="json"),
        weights_sha256=architecture.sha256,
        training_data="; ".join(dict.fromkeys(card.training_data for card in cards)),
        training_licence="; ".join(dict.fromkeys(card.training_licence for card in cards)),
        scope=shared_scope([card.scope for card in cards]),
        note=_note(architecture, cards),
        code_version=version("fracture-workbench"),
    )


def _usable(voice: Voice, known: Mapping[str, ModelCard]) -> ModelCard:
    card = known.get(voice.model_id)
    if card is None:
        expected = f"a model of the library ({', '.join(known)})"
        raise ConfigError(voice.model_id, expected=expected[:300], found="none of this id")
    if reason := why_no_member(card):
        advice = "Name its members instead." if card.family == FAMILY else ""
        expected = "a model that can be a member"
        raise ConfigError(card.title, expected=expected, found=reason, advice=advice)
    return card


def _architecture(
    voices: Sequence[Voice], cards: Sequence[ModelCard], rule: Rule
) -> ConsensusArchitecture:
    curves = {} if rule.scores == "raw" else _curves(cards, needed=rule.scores == "ppv")
    try:
        members = tuple(
            Member(
                model_id=voice.model_id,
                weights_sha256=card.weights_sha256,
                flipped=voice.flipped,
                weight=voice.weight,
                ppv=curves.get(voice.model_id, ()),
            )
            for voice, card in zip(voices, cards, strict=True)
        )
        return ConsensusArchitecture(
            members=members,
            fusion_iou=rule.fusion_iou,
            nms_iou=rule.nms_iou,
            scores="ppv" if curves else "raw",
            gate=rule.gate,
        )
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"]) or "consensus"
        found = repr(first["input"])[:100] if first["loc"] else f"{len(voices)} members"
        raise ConfigError(name, expected=first["msg"], found=found) from error


def _curves(cards: Sequence[ModelCard], *, needed: bool) -> dict[str, ScoreCurve]:
    """Returns the PPV curve of each model; {} where one was not measured and none is needed."""
    curves: dict[str, ScoreCurve] = {}
    for card in cards:
        measured = points_of(card)
        curve = ppv_curve(measured.knots) if measured else ()
        if curve:
            curves[card.model_id] = curve
        elif needed:
            raise ConfigError(
                card.title,
                expected="a model whose scores were measured",
                found="no operating points",
                advice="Evaluate it on validation and keep its points, or take scores as they are.",
            )
        else:
            return {}
    return curves


def _title(cards: Sequence[ModelCard]) -> str:
    models = {card.model_id for card in cards}
    return f"Consensus of {len(models)} models" if len(models) > 1 else f"{cards[0].title}, flips"


def _note(architecture: ConsensusArchitecture, cards: Sequence[ModelCard]) -> str:
    voices = dict.fromkeys(
        f"{card.title}{', mirrored' * member.flipped}"
        for member, card in zip(architecture.members, cards, strict=True)
    )
    scores = {
        "raw": "the members' scores as they are",
        "ppv": "the members' scores turned into positive predictive values",
    }[architecture.scores]
    how = f"Weighted box fusion of {'; '.join(voices)}: IoU {architecture.fusion_iou:g}, {scores}."
    # A warning on a member's own card holds for the consensus too.
    return " ".join(dict.fromkeys([how, *(card.note for card in cards if card.note)]))


def read_consensus(file: Path) -> ConsensusArchitecture:
    """Returns the architecture in a consensus's card from elsewhere; raises WeightsError."""
    expected = "the card.json of a consensus"
    if file.stat().st_size > _MOST_CARD_BYTES:
        raise WeightsError(file, expected=expected, found=f"{file.stat().st_size:,} bytes")
    card = read_card_file(file)
    if card.family != FAMILY:
        raise WeightsError(file, expected=expected, found=f"a card of the family {card.family}")
    return ConsensusArchitecture.of(card)
