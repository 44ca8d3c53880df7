"""Single slices of one DICOM series put together to a stack."""

from collections.abc import Sequence

import numpy as np

from fracture_core.imaging import modality, places, voi
from fracture_core.imaging.picture import Picture
from fracture_core.types import ValueScale, Window

# Several pictures of one series are slices in these, but different views in radiography.
SLICED = ("CT", "MR", "PT")


def merge_slices(pictures: Sequence[Picture]) -> list[Picture]:
    """Slices of one series, size and orientation → one stack, ordered by position; others as is."""
    groups: list[list[Picture]] = []
    for picture in pictures:
        for group in groups:
            if _belong_together(group[0], picture):
                group.append(picture)
                break
        else:
            groups.append([picture])
    return [_stack(group) if len(group) > 1 else group[0] for group in groups]


def _belong_together(one: Picture, other: Picture) -> bool:
    if not (one.series_id and one.series_id == other.series_id):
        return False
    if one.frames != 1 or other.frames != 1 or not (_is_slice(one) and _is_slice(other)):
        return False
    same = (one.height, one.width, one.photometric) == (
        other.height,
        other.width,
        other.photometric,
    )
    return same and places.are_parallel(one.slices[0], other.slices[0])


def _is_slice(picture: Picture) -> bool:
    placed = picture.slices[0].along_normal_mm is not None
    return placed or picture.tags.get("Modality") in SLICED


def _stack(group: Sequence[Picture]) -> Picture:
    slices, twice = _without_copies(group)
    order, notes = places.order([picture.slices[0] for picture in slices])
    parts = [slices[i] for i in order]
    pixels, scale, exact = modality.align(
        [part.pixels for part in parts], [part.scale for part in parts]
    )
    said = [f"{twice} slices came twice and are kept once."] if twice else []
    said += [] if exact else ["Values of the slices were rounded to one scale of 65,536 steps."]
    if len({part.spacing_mm for part in parts}) > 1:
        said.append("Pixel spacing differs between slices: the first slice's is used.")
    windows = _common_windows(parts, scale, said)
    first = parts[0]
    warnings = [*notes, *said, *(told for part in parts for told in part.warnings)]
    return Picture(
        name=first.name,
        pixels=pixels,
        bits=max(part.bits for part in parts),
        photometric=first.photometric,
        windows=windows,
        scale=scale,
        spacing_mm=first.spacing_mm,
        spacing_source=first.spacing_source,
        slices=tuple(part.slices[0] for part in parts),
        tags={k: v for k, v in first.tags.items() if all(p.tags.get(k) == v for p in parts)},
        warnings=tuple(dict.fromkeys(warnings)),
        group_id=first.group_id,
        series_id=first.series_id,
    )


def _without_copies(group: Sequence[Picture]) -> tuple[list[Picture], int]:
    once: dict[tuple[str, str], Picture] = {}
    for picture in group:
        once.setdefault((picture.slices[0].instance_id, picture.sha256), picture)
    return list(once.values()), len(group) - len(once)


def _common_windows(
    parts: Sequence[Picture], scale: ValueScale, said: list[str]
) -> tuple[Window, ...]:
    in_values = [tuple(voi.in_values(w, p.scale) for w in p.windows) for p in parts]
    if all(part.windows[0].name == voi.DATA_RANGE for part in parts):
        shown = [voi.in_pixels(windows[0], scale) for windows in in_values]
        low = min(window.center - window.width / 2 for window in shown)
        high = max(window.center + window.width / 2 for window in shown)
        return (Window(center=(low + high) / 2, width=high - low, name=voi.DATA_RANGE),)
    numbers = [[(w.center, w.width) for w in windows] for windows in in_values]
    if any(len(n) != len(numbers[0]) or not np.allclose(n, numbers[0]) for n in numbers):
        said.append("Windows differ between slices: the first slice's are used.")
    return tuple(voi.in_pixels(window, scale) for window in in_values[0])
