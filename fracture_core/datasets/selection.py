"""Which images of a data set are looked at: by what is known of their ground truth, and by name."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from fracture_core.datasets.records import Record, RecordedDataset

Shown = Literal["All", "With findings", "Without findings", "Unknown"]
SHOWN: tuple[Shown, ...] = get_args(Shown)
BoxSize = Literal["any size", "under 1 %", "1 to 5 %", "over 5 %"]
"""The share of the image's area that a box covers."""
BOX_SIZES: tuple[BoxSize, ...] = get_args(BoxSize)
_LIMITS: dict[BoxSize, tuple[float, float]] = {
    "any size": (0.0, float("inf")),
    "under 1 %": (0.0, 0.01),
    "1 to 5 %": (0.01, 0.05),
    "over 5 %": (0.05, float("inf")),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What an image must be to be shown; as it is made, every image is.

    `classes` and `box_size` ask for one and the same object: of one of the classes, () = any, with
    an area of that size · `name` is a part of the sample id, in capitals or not.
    """

    shown: Shown = "All"
    classes: tuple[str, ...] = ()
    box_size: BoxSize = "any size"
    name: str = ""

    def of(self, dataset: RecordedDataset, ids: Sequence[str]) -> tuple[str, ...]:
        """Returns those of the ids that are selected, in their order; no image is opened."""
        labels = {dataset.classes.index(each) for each in self.classes if each in dataset.classes}
        return tuple(each for each in ids if self._takes(dataset.records[each], labels))

    def _takes(self, record: Record, labels: set[int]) -> bool:
        if self.name.strip().lower() not in record.sample_id.lower():
            return False
        kinds: dict[Shown, bool] = {
            "All": True,
            "With findings": bool(record.findings),
            "Without findings": record.findings == (),
            "Unknown": record.findings is None,
        }
        asks_for_object = bool(self.classes) or self.box_size != "any size"
        return kinds[self.shown] and (not asks_for_object or self._has_object(record, labels))

    def _has_object(self, record: Record, labels: set[int]) -> bool:
        least, most = _LIMITS[self.box_size]
        return any(least <= area < most for area in _areas(record, labels))


def _areas(record: Record, labels: set[int]) -> Iterator[float]:
    """Areas of the objects of the classes, none named = all, in shares of the image's."""
    height, width = record.findings_size
    for finding in record.findings or ():
        if not labels or finding.label in labels:
            x, y = finding.xyxy[2:] - finding.xyxy[:2]
            yield float(x * y) / (height * width)
