"""Where slices lie in the patient, and in which order that puts them (PS3.3 C.7.6.2.1.1)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_NEAR = 1e-3
_SAME_DIRECTION = 1e-2


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """Where one frame of a DICOM image lies; None = not told.

    `instance_id` is the remapped SOP Instance UID · `position_mm` is ImagePositionPatient, x y z ·
    `orientation` is ImageOrientationPatient, the direction of a row, then of a column.
    """

    instance_id: str = ""
    number: int | None = None
    position_mm: tuple[float, ...] | None = None
    orientation: tuple[float, ...] | None = None

    @property
    def along_normal_mm(self) -> float | None:
        """Position along the normal of the slice."""
        if self.position_mm is None or self.orientation is None:
            return None
        normal = np.cross(self.orientation[:3], self.orientation[3:])
        return float(normal @ np.asarray(self.position_mm))


def positions_mm(slices: Sequence[Slice]) -> tuple[float, ...] | None:
    """Each slice's place along the common normal; None if any has none or they are askew."""
    places = [place.along_normal_mm for place in slices]
    known = tuple(place for place in places if place is not None)
    if (
        not known
        or len(known) < len(places)
        or not all(are_parallel(slices[0], other) for other in slices)
    ):
        return None
    return known


def order(slices: Sequence[Slice]) -> tuple[list[int], tuple[str, ...]]:
    """Indices from the first slice to the last, and what a reader must know about the order."""
    if len(slices) < 2:
        return list(range(len(slices))), ()
    places = positions_mm(slices)
    numbers = [place.number for place in slices]
    if places is not None:
        keys = [(round(p / _NEAR), n or 0) for p, n in zip(places, numbers, strict=True)]
        return sorted(range(len(keys)), key=keys.__getitem__), _notes(sorted(places))
    if None not in numbers and len(set(numbers)) == len(numbers):
        said = "Slices are ordered by InstanceNumber: they do not all tell a position."
        return sorted(range(len(numbers)), key=lambda i: numbers[i] or 0), (said,)
    return list(range(len(slices))), (
        "Slices are in the order given: neither position nor number tells another.",
    )


def _notes(places: Sequence[float]) -> tuple[str, ...]:
    gaps = np.diff(places)
    shared = int((gaps < _NEAR).sum())
    if shared:
        return (f"{shared} of the slices lie where another one does: several series in one?",)
    typical = float(np.median(gaps))
    wide = np.flatnonzero(gaps > 1.5 * typical)
    if len(wide):
        at = ", ".join(str(i + 1) for i in wide[:5])
        return (f"Slices may be missing after slice {at}: the gap there exceeds {typical:.2f} mm.",)
    return ()


def are_parallel(one: Slice, other: Slice) -> bool:
    """Whether two slices have the same orientation, or neither tells any."""
    if one.orientation is None or other.orientation is None:
        return one.orientation is other.orientation
    return bool(np.allclose(one.orientation, other.orientation, atol=_SAME_DIRECTION))
