"""Any data set as slices in the RSNA layout: one class, at most ten boxes a slice, no masks.

The layout has no word for an unknown ground truth, unless the slice is known to be fractured: then
it is labelled fracture and has no box.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import ClassVar

import numpy as np

from fracture_core.attributes import common
from fracture_core.class_names import is_negative
from fracture_core.datasets.hdf5 import MOST_BOXES, Slice, normed, write_rsna
from fracture_core.datasets.issues import counted, quoted
from fracture_core.datasets.rsna import CLASSES, SUFFIXES
from fracture_core.datasets.writing import (
    Array,
    Destinations,
    Findings,
    Item,
    Limit,
    Row,
    Writer,
    digest,
    limit,
    note,
    require_splits,
    spare_file,
    stem_of,
    told_remainder,
    without_outlines,
)
from fracture_core.types import Sample

_MAX_TEXT = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Hdf5Writer(Writer):
    """Writes one HDF5 file in the RSNA layout (see `hdf5`), its slices `side_px` square.

    What an image does not fill of its square, at the right or at the bottom, is 0.
    """

    file_suffixes: ClassVar[frozenset[str]] = SUFFIXES
    usual_side_px: ClassVar[int | None] = 256
    # Slices of one study are a stack, which other groups must not break up.
    keeps_groups: ClassVar[bool] = True

    side_px: int

    def limits(
        self, items: Sequence[Item], classes: Sequence[str], drop: frozenset[str]
    ) -> list[Limit]:
        """Returns what is lost: masks, classes, boxes beyond ten, and images of unknown ground
        truth.

        Raises DatasetError where an image has no split.
        """
        require_splits(items, "hdf5")
        known = [item.findings for item in items if item.findings is not None]
        found = []
        if outlined := sum(f.outline is not None for findings in known for f in findings):
            found.append(note(f"{counted(outlined, 'mask')} left out: HDF5 holds boxes only."))
        found += _class_limits(classes)
        if crowded := sum(len(findings) > MOST_BOXES for findings in known):
            what = f"{counted(crowded, 'image')} with more than {MOST_BOXES} boxes"
            found.append(limit("boxes", f"{what}: HDF5 holds {MOST_BOXES}, the largest are kept"))
        healthy = _healthy_labels(classes)
        if untold := sum(_is_untold(item, healthy) for item in items):
            what = f"{counted(untold, 'image')} of unknown ground truth"
            found.append(limit("unknown", f"{what}: HDF5 has no word for it, they are left out"))
        return found

    def within(
        self, items: Sequence[Item], classes: Sequence[str], drop: frozenset[str]
    ) -> tuple[list[Item], tuple[str, ...]]:
        """Returns the items with boxes of the one class alone, and that class.

        Boxes of a healthy class are left out. Where `drop` has "boxes" the ten largest are kept,
        and where it has "unknown" images that the layout has no word for are left out.
        """
        healthy = _healthy_labels(classes)
        changed = [_one_class(item, healthy) for item in without_outlines(items)]
        if "boxes" in drop:
            changed = [_largest(item) for item in changed]
        if "unknown" in drop:
            changed = [item for item in changed if not _is_untold(item, healthy)]
        return changed, CLASSES

    def named(self, item: Item) -> Item:
        """Returns the item with its group as the study, and what its name has beyond that as the
        slice number.
        """
        stem = stem_of(item.sample_id)
        group = _text(item.group_id)
        number = _text(told_remainder(stem, item.group_id) or stem)
        return replace(item, group_id=group, name=number)

    def place(self, item: Item) -> str:
        """Returns the study: slice numbers must differ within it."""
        return item.group_id

    def bytes_needed(self, images: int) -> int:
        """Returns twice the bytes of all pixels, which lie on the disk twice until the file is
        whole.
        """
        return 8 * images * self.side_px**2

    def pixels(self, sample: Sample) -> Array:
        """Returns the image as (H, W) float32 in [0, 1], see `normed`."""
        return normed(sample.pixels)

    def write(
        self, item: Item, pixels: Array, findings: Findings | None, places: Destinations
    ) -> Row:
        """Writes the square of pixels to a spare file, and returns what the columns need for
        `finish`.
        """
        height, width = pixels.shape
        square = np.zeros((self.side_px, self.side_px), dtype=np.float32)
        square[:height, :width] = np.clip(pixels, 0, 1)
        xyxy = np.array([each.xyxy for each in findings or ()]).reshape(-1, 4)
        row: Row = {
            "study": item.group_id,
            "number": item.name,
            "split": item.split,
            "attributes": dict(item.attributes),
        }
        spare = spare_file(item, places)
        np.save(spare, square)
        # An unknown ground truth is only left here where the slice is known to be fractured.
        return {**row, "fractured": findings != (), "xyxy": xyxy.tolist(), "file": spare.name}

    def finish(self, rows: Iterable[Row], classes: Sequence[str], places: Destinations) -> None:
        """Writes the HDF5 file from the spare files, slice by slice."""
        listed = list(rows)
        told = common(row["attributes"] for row in listed)
        is_named = PurePath(self.name).suffix.lower() in self.file_suffixes
        path = places.result / (self.name if is_named else f"{self.name}.h5")
        write_rsna(_slices(listed, places), path, attributes=told)


def _slices(rows: Iterable[Row], places: Destinations) -> Iterator[Slice]:
    for row in rows:
        yield Slice(
            image=np.load(places.spare / row["file"], allow_pickle=False),
            xyxy=np.array(row["xyxy"], dtype=np.float64).reshape(-1, 4),
            fractured=row["fractured"],
            split=row["split"],
            study=row["study"],
            number=row["number"],
        )


def _class_limits(classes: Sequence[str]) -> list[Limit]:
    if len(classes) > 1 or any(map(is_negative, classes)):
        names = ", ".join(map(quoted, classes[:12]))
        healthy = [name for name in classes if is_negative(name)]
        also = f"; boxes of {', '.join(map(quoted, healthy))} mark none" if healthy else ""
        sentence = f"{counted(len(classes), 'class', 'classes')} ({names}) become 'fracture'{also}"
        return [limit("classes", sentence)]
    if tuple(classes) != CLASSES:
        return [note(f"Class {quoted(classes[0])} is called 'fracture' in HDF5.")]
    return []


def _healthy_labels(classes: Sequence[str]) -> frozenset[int]:
    return frozenset(label for label, name in enumerate(classes) if is_negative(name))


def _is_untold(item: Item, healthy: frozenset[int]) -> bool:
    """Tells whether an item is unknown and not even known to be fractured, which HDF5 could say."""
    return item.findings is None and (item.image_class is None or item.image_class in healthy)


def _one_class(item: Item, healthy: frozenset[int]) -> Item:
    if item.findings is None:
        return item
    kept = (each for each in item.findings if each.label not in healthy)
    return replace(item, findings=tuple(replace(each, label=0) for each in kept))


def _largest(item: Item) -> Item:
    if item.findings is None:
        return item
    sizes = [float(np.prod(each.xyxy[2:] - each.xyxy[:2])) for each in item.findings]
    order = sorted(range(len(sizes)), key=lambda place: (-sizes[place], place))[:MOST_BOXES]
    return replace(item, findings=tuple(item.findings[place] for place in sorted(order)))


def _text(text: str) -> str:
    return text if text.isprintable() and 0 < len(text) <= _MAX_TEXT else digest(text)
