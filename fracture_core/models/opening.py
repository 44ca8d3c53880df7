"""Where confidence starts with a model, before the reader chooses one."""

from dataclasses import dataclass

from fracture_core.models.cards import ModelCard
from fracture_core.models.points import Measurements
from fracture_core.operating_points import HIGH_SENSITIVITY, MAX_F1

UNMEASURED_CONFIDENCE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """`rule` names the operating point whose `confidence` it is, "" = none; `reason` says why it is
    not the point that was wanted, "" = it is.
    """

    confidence: float
    rule: str = ""
    reason: str = ""


def opening_of(card: ModelCard, measured: Measurements | None) -> Opening:
    """The operating point that the card names, else the one of high sensitivity.

    Where that one was not met the highest F1 takes its place, and 0.5 where nothing was measured;
    both with the reason.
    """
    if measured is None:
        return Opening(confidence=UNMEASURED_CONFIDENCE, reason="not measured")
    wanted = card.opening_point or HIGH_SENSITIVITY.name
    reason = ""
    for rule in dict.fromkeys((wanted, HIGH_SENSITIVITY.name, MAX_F1.name)):
        point = measured.point(rule)
        if point is not None and point.confidence is not None:
            return Opening(confidence=point.confidence, rule=rule, reason=reason)
        reason = reason or _why_not(measured, rule)
    return Opening(confidence=UNMEASURED_CONFIDENCE, reason=reason)


def _why_not(measured: Measurements, rule: str) -> str:
    unmet = next((point for point in measured.points if point.rule == rule), None)
    return f"{rule} was not met: {unmet.reason}" if unmet else f"{rule} was not measured"
