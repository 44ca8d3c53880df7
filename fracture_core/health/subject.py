"""What every check is given: the data set as it was read, its pictures, and the limits."""

from collections.abc import Iterable
from dataclasses import dataclass

from fracture_core.datasets.doubts import Doubt
from fracture_core.datasets.records import RecordedDataset
from fracture_core.health.looking import Looks
from fracture_core.health.report import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """`input_size` the longer side of a model's input in pixels · `least_px` of an object's shorter
    side in it · `least_objects` of a class.
    """

    input_size: int = 640
    least_px: float = 4.0
    least_objects: int = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """`looks` has every picture of `dataset`, seen or unreadable."""

    dataset: RecordedDataset
    looks: Looks
    limits: Limits

    def split_of(self, sample_id: str) -> str:
        """The split of a picture, "" where it has none."""
        record = self.dataset.records.get(sample_id)
        return "" if record is None else record.split

    def place(self, sample_id: str, detail: str = "", other: str = "") -> Place:
        """A picture, or a pair of them, with their splits."""
        return Place(
            sample_id=sample_id,
            split=self.split_of(sample_id),
            detail=detail,
            other=other,
            other_split=self.split_of(other),
        )

    def places(self, doubts: Iterable[Doubt]) -> tuple[Place, ...]:
        """Where readers met what they doubted."""
        return tuple(self.place(doubt.sample_id, doubt.place) for doubt in doubts)

    def doubts(self, *kinds: str) -> list[Doubt]:
        """The reader's doubts of these kinds."""
        return [doubt for doubt in self.dataset.doubts if doubt.kind in kinds]
