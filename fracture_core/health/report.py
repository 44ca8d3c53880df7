"""Every image of a data set opened once: what the checks need of it, and what cannot be read.

What a health check found: faults with their images, as a table and as JSON.

What every check is given: the data set as it was read, its images, and the limits.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum

import cv2
import numpy as np
import numpy.typing as npt

from fracture_core.csv_text import csv_text
from fracture_core.datasets.issues import Issue
from fracture_core.datasets.records import RecordedDataset
from fracture_core.errors import BadInput

Grey = npt.NDArray[np.uint8]
Progress = Callable[[float, str], None]

THUMB_PX, PRINT_PX = 128, 256
_JPEG = (cv2.IMWRITE_JPEG_QUALITY, 95)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Thumbnail:
    """`height`, `width` in pixels · `digest` of the pixels as shown: equal for equal images ·
    `thumb` (h, w) uint8, its longer side 128 · `packed` a JPEG with the longer side 256.
    """

    height: int
    width: int
    digest: bytes
    thumb: Grey
    packed: bytes

    @property
    def detailed(self) -> Grey:
        """(h, w) uint8, its longer side 256: twice as many pixels a side as the thumb."""
        grey = cv2.imdecode(np.frombuffer(self.packed, np.uint8), cv2.IMREAD_GRAYSCALE)
        return np.asarray(grey, dtype=np.uint8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Thumbnails:
    """`seen` by sample id in the order of the data set, `unreadable` the others with the reason."""

    seen: dict[str, Thumbnail]
    unreadable: dict[str, str]


def look_through(dataset: RecordedDataset, progress: Progress) -> Thumbnails:
    """Read every image in full; a file that is cut short counts as unreadable."""
    seen: dict[str, Thumbnail] = {}
    unreadable: dict[str, str] = {}
    for done, (sample_id, record) in enumerate(dataset.records.items()):
        progress(done / len(dataset.records), f"Image {done + 1:,} of {len(dataset.records):,}")
        try:
            seen[sample_id] = look_at(record.sample().shown())
        except BadInput as error:
            unreadable[sample_id] = str(error)
    return Thumbnails(seen=seen, unreadable=unreadable)


def look_at(shown: Grey) -> Thumbnail:
    """(H, W) uint8 as shown → what the checks need."""
    height, width = shown.shape
    digest = hashlib.blake2b(f"{height}×{width}".encode(), digest_size=16)
    digest.update(np.ascontiguousarray(shown).tobytes())
    detailed = _resized(shown, PRINT_PX)
    _, packed = cv2.imencode(".jpg", detailed, _JPEG)
    return Thumbnail(
        height=height,
        width=width,
        digest=digest.digest(),
        thumb=_resized(detailed, THUMB_PX),
        packed=packed.tobytes(),
    )


def _resized(grey: Grey, side_px: int) -> Grey:
    height, width = grey.shape
    scale = side_px / max(height, width)
    size = (max(16, round(width * scale)), max(16, round(height * scale)))
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


COLUMNS = ("check", "severity", "title", "split", "sample", "other_split", "other", "detail")


class Severity(StrEnum):
    """How much a fault matters, the worst first."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a fault is: an image, a pair of them (`other`), or "" for the data set as a whole."""

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
    """`images` read, the unreadable included · `splits` images in each · `input_size` in pixels
    that objects were measured at · `faults` the worst first · `seconds` the check took.
    """

    name: str
    path: str
    format: str
    images: int
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
        """Images that some check found to belong together."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """`input_size` the longer side of a model's input in pixels · `least_px` of an object's shorter
    side in it · `least_objects` of a class.
    """

    input_size: int = 640
    least_px: float = 4.0
    least_objects: int = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckContext:
    """`thumbnails` has every image of `dataset`, seen or unreadable."""

    dataset: RecordedDataset
    thumbnails: Thumbnails
    limits: Limits

    def split_of(self, sample_id: str) -> str:
        """The split of an image, "" where it has none."""
        record = self.dataset.records.get(sample_id)
        return "" if record is None else record.split

    def place(self, sample_id: str, detail: str = "", other: str = "") -> Place:
        """An image, or a pair of them, with their splits."""
        return Place(
            sample_id=sample_id,
            split=self.split_of(sample_id),
            detail=detail,
            other=other,
            other_split=self.split_of(other),
        )

    def places(self, issues: Iterable[Issue]) -> tuple[Place, ...]:
        """Where readers met what they found at issue."""
        return tuple(self.place(issue.sample_id, issue.place) for issue in issues)

    def issues(self, *kinds: str) -> list[Issue]:
        """The reader's issues of these kinds."""
        return [issue for issue in self.dataset.issues if issue.kind in kinds]
