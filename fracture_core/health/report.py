"""What a health check works on and what it returns: thumbnails, faults, limits and the report.

Every image of a data set is opened once. A thumbnail keeps what the checks need of it; an image
that cannot be opened is kept with the reason. A report is also a table (CSV) and a JSON document.
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

# ---- thumbnails ----------------------------------------------------------------------------------


Grey = npt.NDArray[np.uint8]
Progress = Callable[[float, str], None]

THUMB_PX, PRINT_PX = 128, 256
_JPEG = (cv2.IMWRITE_JPEG_QUALITY, 95)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Thumbnail:
    """What the checks keep of an image.

    `height`, `width` are those of the image in pixels · `digest` is of the pixels as shown: equal
    for equal images · `thumb` is (h, w) uint8, its longer side 128 px · `packed` is a JPEG with a
    longer side of 256 px · `commonest_share` is the share of the pixels that have the
    commonest grey.
    """

    height: int
    width: int
    digest: bytes
    thumb: Grey
    packed: bytes
    commonest_share: float

    @property
    def detailed(self) -> Grey:
        """Returns the image as (h, w) uint8, its longer side 256 px: twice that of `thumb`."""
        grey = cv2.imdecode(np.frombuffer(self.packed, np.uint8), cv2.IMREAD_GRAYSCALE)
        return np.asarray(grey, dtype=np.uint8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Thumbnails:
    """All images of a data set by sample id: `seen` holds their thumbnails, in its order, and
    `unreadable` the reasons of the others.
    """

    seen: dict[str, Thumbnail]
    unreadable: dict[str, str]


def look_through(dataset: RecordedDataset, progress: Progress) -> Thumbnails:
    """Reads every image in full and returns the thumbnails; a truncated file is unreadable."""
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
    """Returns the thumbnail of an image as shown, (H, W) uint8."""
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
        commonest_share=float(np.bincount(shown.ravel()).max() / shown.size),
    )


def _resized(grey: Grey, side_px: int) -> Grey:
    height, width = grey.shape
    scale = side_px / max(height, width)
    size = (max(16, round(width * scale)), max(16, round(height * scale)))
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


# ---- faults --------------------------------------------------------------------------------------


COLUMNS = ("check", "severity", "title", "split", "sample", "other_split", "other", "detail")


class Severity(StrEnum):
    """How much a fault matters, the worst first."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a fault is: in an image, in a pair of them (`other`), or in the whole data set ("")."""

    sample_id: str = ""
    split: str = ""
    detail: str = ""
    other: str = ""
    other_split: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One kind of fault and every place where it was found.

    `check` names the kind for programs, `title` for people · `meaning` says what it does to a
    training or a metric, `advice` what to do · `places` are in the order they were found.
    """

    check: str
    severity: Severity
    title: str
    meaning: str
    advice: str
    places: tuple[Place, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthReport:
    """The result of a health check.

    `images` counts the unreadable ones as well · `splits` gives the number of images in each ·
    `input_size` is the longer side, in pixels, that objects were measured at · `faults` are the
    worst first · `seconds` is how long the check took.
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
        """Returns how many kinds of fault are this severe."""
        return sum(fault.severity is severity for fault in self.faults)

    def fault(self, check: str) -> Fault | None:
        """Returns the fault of a kind, or None where it was not found."""
        return next((fault for fault in self.faults if fault.check == check), None)

    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Returns the pairs of images that some check found to belong together."""
        return tuple(
            (place.sample_id, place.other)
            for fault in self.faults
            for place in fault.places
            if place.other
        )

    def as_json(self) -> str:
        """Returns the whole report as one JSON document."""
        return json.dumps(asdict(self), ensure_ascii=False, indent=1)

    def as_csv(self) -> str:
        """Returns a table with a line for each place of each fault."""
        return csv_text(COLUMNS, self._rows())

    def _rows(self) -> Iterator[tuple[str, ...]]:
        for fault in self.faults:
            for place in fault.places:
                head = (fault.check, fault.severity.value, fault.title)
                where = (place.split, place.sample_id, place.other_split, place.other)
                yield (*head, *where, place.detail)


def worst_first(faults: list[Fault]) -> tuple[Fault, ...]:
    """Returns faults in the order of their severity, those of equal severity as they were."""
    order = list(Severity)
    return tuple(sorted(faults, key=lambda fault: order.index(fault.severity)))


# ---- what a check is given -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What counts as too small or too few.

    `input_size` is the longer side of a model's input in pixels · `least_px` is the least length of
    an object's shorter side at that size · `least_objects` is the least number of objects of a
    class.
    """

    input_size: int = 640
    least_px: float = 4.0
    least_objects: int = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckContext:
    """What every check is given: a data set, the thumbnails of all its images, and the limits."""

    dataset: RecordedDataset
    thumbnails: Thumbnails
    limits: Limits

    def split_of(self, sample_id: str) -> str:
        """Returns the split of an image, "" where it has none."""
        record = self.dataset.records.get(sample_id)
        return "" if record is None else record.split

    def place(self, sample_id: str, detail: str = "", other: str = "") -> Place:
        """Returns a place for an image, or for a pair of them, with their splits."""
        return Place(
            sample_id=sample_id,
            split=self.split_of(sample_id),
            detail=detail,
            other=other,
            other_split=self.split_of(other),
        )

    def places(self, issues: Iterable[Issue]) -> tuple[Place, ...]:
        """Returns a place for each issue that a reader logged."""
        return tuple(self.place(issue.sample_id, issue.place) for issue in issues)

    def issues(self, *kinds: str) -> list[Issue]:
        """Returns the reader's issues of these kinds."""
        return [issue for issue in self.dataset.issues if issue.kind in kinds]
