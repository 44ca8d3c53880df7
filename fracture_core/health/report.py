"""What a health check found: faults with their pictures, as a table and as JSON."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum

from fracture_core.csv_text import csv_text

COLUMNS = ("check", "severity", "title", "split", "sample", "other_split", "other", "detail")


class Severity(StrEnum):
    """How much a fault matters, the worst first."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a fault is: a picture, a pair of them (`other`), or "" for the data set as a whole."""

    sample_id: str = ""
    split: str = ""
    detail: str = ""
    other: str = ""
    other_split: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """`check` names the kind for programs, `title` for people · `meaning` says what it does to a
    training or a figure, `advice` what to do, one sentence each · `places` every one, in order.
    """

    check: str
    severity: Severity
    title: str
    meaning: str
    advice: str
    places: tuple[Place, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthReport:
    """`pictures` read, the unreadable included · `splits` pictures in each · `input_size` in pixels
    that objects were measured at · `faults` the worst first · `seconds` the check took.
    """

    name: str
    path: str
    format: str
    pictures: int
    splits: dict[str, int]
    input_size: int
    faults: tuple[Fault, ...]
    seconds: float

    def count(self, severity: Severity) -> int:
        """How many kinds of fault are this severe."""
        return sum(fault.severity is severity for fault in self.faults)

    def fault(self, check: str) -> Fault | None:
        """The fault of a kind; None where there is none."""
        return next((fault for fault in self.faults if fault.check == check), None)

    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Pictures that some check found to belong together."""
        return tuple(
            (place.sample_id, place.other)
            for fault in self.faults
            for place in fault.places
            if place.other
        )

    def as_json(self) -> str:
        """All of it as one JSON document."""
        return json.dumps(asdict(self), ensure_ascii=False, indent=1)

    def as_csv(self) -> str:
        """A line for each place of each fault."""
        return csv_text(COLUMNS, self._rows())

    def _rows(self) -> Iterator[tuple[str, ...]]:
        for fault in self.faults:
            for place in fault.places:
                head = (fault.check, fault.severity.value, fault.title)
                where = (place.split, place.sample_id, place.other_split, place.other)
                yield (*head, *where, place.detail)


def worst_first(faults: list[Fault]) -> tuple[Fault, ...]:
    """Faults in the order of their severity, else as they were found."""
    order = list(Severity)
    return tuple(sorted(faults, key=lambda fault: order.index(fault.severity)))
