"""What was measured of a model on validation: its operating points and what its scores are worth.

    points.json     beside the model's card, or as `points/<model_id>.json` under the home folder
                    for a built-in model, whose own folder is not written to

The file under the home folder wins. Measurements of other weights than the card's do not count.

Which level (sensitivity, false positives an image) a confidence reaches is read off *knots*, a few
hundred confidences at which counts are exact. Between two of them a claim is never too good: hits
are those of the next higher knot, false positives and false alarms those of the next lower one.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fracture_core.errors import ConfigError, first_fault
from fracture_core.files import make_folder, write_text
from fracture_core.metrics.intervals import Proportion
from fracture_core.models.cards import ModelCard
from fracture_core.operating_points import HIGH_SENSITIVITY, MAX_F1
from fracture_core.settings import settings

# ---- measurements --------------------------------------------------------------------------------

POINTS_FILE = "points.json"
VERSION = 1


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Counted(_Strict):
    """A measured share: `count` out of `total`."""

    count: int = Field(ge=0)
    total: int = Field(ge=0)

    def proportion(self) -> Proportion:
        """Returns it with its share and its confidence interval."""
        return Proportion(count=self.count, total=self.total)


class Reached(_Strict):
    """What is reached at one confidence.

    Sensitivity and precision are by the unit of the measurements, specificity by image.
    """

    sensitivity: Counted
    precision: Counted
    specificity: Counted
    false_positives: int = Field(ge=0)
    images: int = Field(ge=0)


class Point(_Strict):
    """An operating point: a rule, and the confidence at which it is met.

    `rule` is written as `operating_points.Rule.name` writes it. `confidence` is None where the rule
    could not be met; `reason` then says why. `chosen` is what was reached on the data on which the
    point was chosen; `applied` is what it reached on the split `applied_to`, if it was applied to
    another one.
    """

    rule: str
    unit: str
    confidence: float | None
    reason: str = ""
    at_edge: bool = False
    chosen: Reached | None = None
    applied: Reached | None = None
    applied_to: str = ""


class Knots(_Strict):
    """What the model reaches at falling confidences, a few hundred of them, exact at each.

    All lists are as long as `confidences`; counts are of what is scored at least that much.
    `false_alarms` counts the `negatives`, images in which nothing is to be found, that show
    anything.
    """

    confidences: tuple[float, ...]
    true_positives: tuple[int, ...]
    false_positives: tuple[int, ...]
    false_alarms: tuple[int, ...]
    positives: int
    negatives: int
    images: int


class Evidence(_Strict):
    """What became of the `total` findings scored from `low` to below `high`: `right` were right.

    The last range includes a score of 1.
    """

    low: float
    high: float
    right: int
    total: int


class Measurements(_Strict):
    """Everything measured of one model on one split."""

    version: int = VERSION
    model_id: str
    weights_sha256: str
    data: str
    data_stamp: str
    split: str
    unit: str
    nms_iou: float
    match_iou: float
    one_class: bool
    created_utc: str
    code_version: str
    points: tuple[Point, ...]
    knots: Knots
    evidence: tuple[Evidence, ...]

    def point(self, rule: str) -> Point | None:
        """Returns the point of a rule by its name, None where it is missing or was not met."""
        found = (each for each in self.points if each.rule == rule and each.confidence is not None)
        return next(found, None)


def card_points(points: Iterable[Point]) -> dict[str, float]:
    """Returns the confidences by rule, as a model card holds them; rules not met are left out."""
    return {point.rule: point.confidence for point in points if point.confidence is not None}


def tiers(measured: Measurements) -> tuple[float | None, float | None]:
    """Returns the confidences above which a finding is drawn dashed, and solid.

    A confidence is None where it was not measured. Findings are dashed above the point of the
    highest sensitivity asked for, and solid above that of the highest specificity or, where there
    is none, of the fewest false positives.
    """
    sensitive = _confidences(measured, "sensitivity ≥")
    specific = _confidences(measured, "specificity ≥")
    sparing = _confidences(measured, "FP per image ≤")
    solid = specific[-1:] or sparing[:1]
    return (sensitive[-1] if sensitive else None), (solid[0] if solid else None)


def _confidences(measured: Measurements, aim: str) -> list[float]:
    """Returns the confidences of the met points with this aim, by rising bound."""
    found = [
        (float(point.rule.removeprefix(aim)), point.confidence)
        for point in measured.points
        if point.rule.startswith(aim) and point.confidence is not None
    ]
    return [confidence for _, confidence in sorted(found)]


# ---- the file ------------------------------------------------------------------------------------


def read_points(card: ModelCard, folder: Path) -> Measurements | None:
    """Returns what was measured of the model whose card lies in `folder`; None = nothing.

    Measurements of other weights than the card's count as none. Raises ConfigError for a file that
    makes no sense.
    """
    return _read_of(_own_place(card.model_id), card) or read_beside(card, folder)


def read_beside(card: ModelCard, folder: Path) -> Measurements | None:
    """Does what `read_points` does, with the file in the model's folder alone."""
    return _read_of(folder / POINTS_FILE, card)


def forget_points(model_id: str) -> None:
    """Removes what is kept of a model under the home folder."""
    _own_place(model_id).unlink(missing_ok=True)


def write_points(measured: Measurements, card: ModelCard, folder: Path | None = None) -> Path:
    """Keeps measurements in the model's `folder`, or under the home folder; returns the file.

    The file is written whole or not at all. Raises StorageError.
    """
    path = folder / POINTS_FILE if folder else _own_place(card.model_id)
    make_folder(path.parent)
    write_text(path, measured.model_dump_json(indent=1) + "\n")
    return path


def _own_place(model_id: str) -> Path:
    return settings().home / "points" / f"{model_id}.json"


def _read_of(path: Path, card: ModelCard) -> Measurements | None:
    if not path.is_file():
        return None
    found = _read(path)
    return found if found.weights_sha256 == card.weights_sha256 else None


def _read(path: Path) -> Measurements:
    try:
        found = Measurements.model_validate_json(path.read_bytes())
    except ValidationError as error:
        advice = "Evaluate the model again, or delete the file."
        raise ConfigError(
            path, expected="measurements", found=first_fault(error), advice=advice
        ) from error
    if found.version != VERSION:
        raise ConfigError(
            path, expected=f"measurements of version {VERSION}", found=str(found.version)
        )
    return found


# ---- levels --------------------------------------------------------------------------------------

LevelUnit = Literal["sensitivity", "fp_per_image"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A confidence, and in `met` whether the level that was asked for is reached there."""

    confidence: float
    met: bool


def sensitivity_at(measured: Measurements, confidence: float) -> Proportion:
    """Returns the sensitivity by `measured.unit`; nothing is found above the highest knot."""
    knots = measured.knots
    shown = bisect_right(knots.confidences, -confidence, key=_falling)
    hits = knots.true_positives[shown - 1] if shown else 0
    return Proportion(count=hits, total=knots.positives)


def confidence_at(measured: Measurements, unit: LevelUnit, level: float) -> Setting | None:
    """Returns the confidence that reaches a level, None where the level is undefined for a model.

    It is the highest with at least this sensitivity, or the lowest with at most this many false
    positives an image; where no knot meets the level it is the nearest one.
    """
    knots = measured.knots
    whole = knots.positives if unit == "sensitivity" else knots.images
    if not knots.confidences or not whole:
        return None
    last = len(knots.confidences) - 1
    if unit == "sensitivity":
        at = bisect_left(knots.true_positives, level, key=lambda count: count / whole)
        return Setting(confidence=knots.confidences[min(at, last)], met=at <= last)
    at = bisect_right(knots.false_positives, level, key=lambda count: count / whole) - 1
    return Setting(confidence=knots.confidences[max(at, 0)], met=at >= 0)


def evidence_for(measured: Measurements, score: float) -> Evidence | None:
    """Returns what became of the findings scored like this one, None where none was measured."""
    bins = measured.evidence
    held = (each for each in bins if each.low <= score < each.high or score == each.high == 1)
    return next(held, None)


def _falling(confidence: float) -> float:
    return -confidence


# ---- the opening point ---------------------------------------------------------------------------

UNMEASURED_CONFIDENCE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """The confidence at which a page opens, before its reader chooses one.

    `rule` names the operating point whose confidence it is, "" = none. `reason` says why it is not
    the point that was wanted, "" = it is.
    """

    confidence: float
    rule: str = ""
    reason: str = ""


def opening_of(card: ModelCard, measured: Measurements | None) -> Opening:
    """Returns the operating point that the card names, else that of high sensitivity.

    Where it was not met the highest F1 takes its place, and 0.5 where nothing was measured; both
    come with the reason.
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
