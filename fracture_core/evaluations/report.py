"""Every figure of an evaluation, each with its unit, its number, its interval and its rule."""

from dataclasses import dataclass
from math import isnan, nan

from fracture_core.evaluations.evaluation import About
from fracture_core.evaluations.scoping import banner_of
from fracture_core.types import Unit

Key = tuple[str, str, Unit, str]
RANKING = "Ranking"
"""The section of areas under curves."""
UNDEFINED = "undefined"
"""What stands in place of a number that there is nothing to measure on."""
FEWEST = 10
"""Cases of a subgroup, below which nothing is held against it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured number; nan, undefined, where there is nothing to measure it on.

    `section` groups figures · `of` a class, or the rule of an operating point, "" = all · `unit` is
    what was counted, `n` how many of it · `low` and `high` 95 %, nan = no interval · `rule` says
    how it was measured.
    """

    section: str
    name: str
    of: str = ""
    unit: Unit
    n: int
    value: float
    low: float = nan
    high: float = nan
    rule: str = ""

    @property
    def is_defined(self) -> bool:
        return not isnan(self.value)

    @property
    def text(self) -> str:
        """The number with its interval: "0.81 (0.75–0.86)", "0.812" without one, or "undefined"."""
        return measured_text(self.value, self.low, self.high)


def measured_text(value: float, low: float = nan, high: float = nan, places: int = 2) -> str:
    """A number with its interval, or alone and then to three places."""
    if isnan(value):
        return UNDEFINED
    return (
        f"{value:.3f}" if isnan(low) else f"{value:.{places}f} {interval_text(low, high, places)}"
    )


def interval_text(low: float, high: float, places: int = 2) -> str:
    """Both ends in brackets, "" where there is no interval."""
    return "" if isnan(low) else f"({low:.{places}f}–{high:.{places}f})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Counts; of a confusion matrix rows are true and columns predicted."""

    title: str
    unit: Unit
    rule: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PointOfReport:
    """An operating point: `confidence` None = its rule is not met, and `reason` says why."""

    rule: str
    confidence: float | None
    reason: str
    chosen_on: str


def key_of(figure: Figure) -> Key:
    """What tells a figure from the others of its group."""
    return figure.section, figure.name, figure.unit, figure.of


@dataclass(frozen=True, slots=True, kw_only=True)
class Subgroup:
    """One group, or all: how many `images`, `studies`, `positives` (images with anything to find)
    and `lesions` are in it, and its `figures`, named as in the report. Of a group of lesions,
    images are those with such a lesion.
    """

    name: str
    images: int
    studies: int
    positives: int
    lesions: int
    figures: tuple[Figure, ...]

    def figure(self, key: Key) -> Figure | None:
        """By section, name, unit and what it is of."""
        return next((each for each in self.figures if key_of(each) == key), None)

    def is_few(self, figure: Figure) -> bool:
        """Whether it counts fewer than `FEWEST` cases: of an area under a curve, of each kind."""
        if figure.section == RANKING:
            return min(self.positives, self.images - self.positives) < FEWEST
        return figure.n < FEWEST


@dataclass(frozen=True, slots=True, kw_only=True)
class Breakdown:
    """By one attribute: `whole` are all images, or all lesions, and `groups` its parts."""

    attribute: str
    whole: Subgroup
    groups: tuple[Subgroup, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """`pictures` whose truth is known, of `asked` · `positives` and `negatives` of them with and
    without anything to find · `notes` say in a sentence what is missing and why ·
    `breakdowns` every figure by subgroup, and `weakest` what is shown of them, in sentences.
    """

    about: About
    nms_iou: float
    match_iou: float
    study_rule: str
    asked: int
    pictures: int
    studies: int
    lesions: int
    positives: int
    seconds_an_image: float
    points: tuple[PointOfReport, ...]
    figures: tuple[Figure, ...]
    tables: tuple[Table, ...]
    notes: tuple[str, ...]
    breakdowns: tuple[Breakdown, ...] = ()
    weakest: tuple[str, ...] = ()

    @property
    def banner(self) -> str:
        """Where the model was not made for these images, or nothing tells; else ""."""
        return banner_of(self.about.scope)

    @property
    def sections(self) -> tuple[str, ...]:
        """In order, each once."""
        return tuple(dict.fromkeys(figure.section for figure in self.figures))

    def of_section(self, section: str) -> tuple[Figure, ...]:
        """In order."""
        return tuple(figure for figure in self.figures if figure.section == section)

    def figure(self, section: str, name: str, unit: Unit, of: str = "") -> Figure:
        """KeyError where there is none."""
        for each in self.figures:
            if (each.section, each.name, each.unit, each.of) == (section, name, unit, of):
                return each
        raise KeyError((section, name, unit, of))
