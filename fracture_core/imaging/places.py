"""Where slices lie in the patient, and the order that follows (DICOM PS3.3 C.7.6.2.1.1)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# In mm: slices that are nearer lie in one place.
_NEAR = 1e-3
# How far each component of two directions of unit length may differ.
_SAME_DIRECTION = 1e-2


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """Where one frame of a DICOM image lies; None = not told.

    `instance_id` is the replaced SOP Instance UID · `number` InstanceNumber or the number of the
    frame · `position_mm` ImagePositionPatient, x y z · `orientation` ImageOrientationPatient, the
    direction of a row, then of a column.
    """

    instance_id: str = ""
    number: int | None = None
    position_mm: tuple[float, ...] | None = None
    orientation: tuple[float, ...] | None = None

    @property
    def along_normal_mm(self) -> float | None:
        """The position along the normal of the slice in mm, None = not told."""
        if self.position_mm is None or self.orientation is None:
            return None
        normal = np.cross(self.orientation[:3], self.orientation[3:])
        return float(normal @ np.asarray(self.position_mm))


def positions_mm(slices: Sequence[Slice]) -> tuple[float, ...] | None:
    """Return each slice's position along the common normal in mm.

    None where one of them tells no position or they are not parallel.
    """
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
    """Order slices by position, else by number, else as given.

    Returns their indices, from the first slice to the last, and sentences for the reader.
    """
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
    """Whether two slices have the same orientation, or neither of them tells one."""
    if one.orientation is None or other.orientation is None:
        return one.orientation is other.orientation
    return bool(np.allclose(one.orientation, other.orientation, atol=_SAME_DIRECTION))
