"""What was measured of a model on validation: its operating points and what its scores are worth.

    points.json     beside the model's card, or under `settings().home / "points"` for a model of
                    the package, whose own folder is not written to

The file under the home folder wins. Measurements of other weights than the card's do not count.
"""

from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fracture_core.errors import ConfigError, first_fault
from fracture_core.files import make_folder, write_text
from fracture_core.metrics.intervals import Proportion
from fracture_core.models.cards import ModelCard
from fracture_core.settings import settings

POINTS_FILE = "points.json"
VERSION = 1


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Counted(_Strict):
    """`count` out of `total`."""

    count: int = Field(ge=0)
    total: int = Field(ge=0)

    def proportion(self) -> Proportion:
        """With its share and interval."""
        return Proportion(count=self.count, total=self.total)


class Reached(_Strict):
    """Measured at one confidence: sensitivity and precision by `unit`, specificity by image."""

    sensitivity: Counted
    precision: Counted
    specificity: Counted
    false_positives: int = Field(ge=0)
    images: int = Field(ge=0)


class Point(_Strict):
    """An operating point: `rule` as `operating_points.Rule.name` writes it, `confidence` None where
    it could not be met and `reason` says why · `chosen` what it reached where it was chosen ·
    `applied` what it reached on the split `applied_to`, if it was applied to another.
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
    `false_alarms` counts pictures without a truth that show anything.
    """

    confidences: tuple[float, ...]
    true_positives: tuple[int, ...]
    false_positives: tuple[int, ...]
    false_alarms: tuple[int, ...]
    positives: int
    negatives: int
    images: int


class Evidence(_Strict):
    """Of `total` findings scored from `low` to below `high` (1 included) `right` were right."""

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
        """The point of a rule by its name, None where there is none or it was not met."""
        found = (each for each in self.points if each.rule == rule and each.confidence is not None)
        return next(found, None)


def card_points(points: Iterable[Point]) -> dict[str, float]:
    """Name of the rule → confidence, as a model card holds them; rules not met are left out."""
    return {point.rule: point.confidence for point in points if point.confidence is not None}


def tiers(measured: Measurements) -> tuple[float | None, float | None]:
    """The confidences above which a finding is drawn dashed, and solid; None = not measured.

    Dashed above the point of the highest sensitivity asked for; solid above that of the highest
    specificity or, where there is none, of the fewest false positives.
    """
    sensitive = _confidences(measured, "sensitivity ≥")
    specific = _confidences(measured, "specificity ≥")
    sparing = _confidences(measured, "FP per image ≤")
    solid = specific[-1:] or sparing[:1]
    return (sensitive[-1] if sensitive else None), (solid[0] if solid else None)


def _confidences(measured: Measurements, aim: str) -> list[float]:
    """Of the points with this aim that were met, by rising bound."""
    found = [
        (float(point.rule.removeprefix(aim)), point.confidence)
        for point in measured.points
        if point.rule.startswith(aim) and point.confidence is not None
    ]
    return [confidence for _, confidence in sorted(found)]


def read_points(card: ModelCard, folder: Path) -> Measurements | None:
    """What was measured of the model whose card lies in `folder`; None = nothing of these weights.

    Raises ConfigError for a file that makes no sense.
    """
    return _read_of(_own_place(card.model_id), card) or read_beside(card, folder)


def read_beside(card: ModelCard, folder: Path) -> Measurements | None:
    """As `read_points`, of the model's folder alone."""
    return _read_of(folder / POINTS_FILE, card)


def forget_points(model_id: str) -> None:
    """Remove what is kept of a model under the home folder."""
    _own_place(model_id).unlink(missing_ok=True)


def write_points(measured: Measurements, card: ModelCard, folder: Path | None = None) -> Path:
    """Keep measurements in the model's `folder`, or under the home folder; by rename; raises
    StorageError."""
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
