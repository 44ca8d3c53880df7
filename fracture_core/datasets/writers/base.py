"""What every writer of a data set is: pictures one by one in any process, then the rest once.

What a format cannot hold is told before anything is written, and left out only when asked to.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy.typing as npt

from fracture_core.datasets.tally import counted
from fracture_core.datasets.writers.items import Findings, Item
from fracture_core.datasets.writers.names import another_digest, safe_path, stem_of
from fracture_core.errors import DatasetError
from fracture_core.types import Sample

_MAX_NAME = 236
Row = dict[str, Any]
Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """`result` becomes the destination; `spare` is for what only the finish needs."""

    result: Path
    spare: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """`drop` is the option that allows it, "" where the target's nature says it all."""

    drop: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer(ABC):
    """Writes one data set; `name` is that of its folder or file, `side_px` the longer side or None.

    A format says what it cannot hold in `limits` and leaves it out in `within`, names pictures in
    `named`, writes each by `write` and everything else by `finish`. The rest has a usual answer.
    """

    file_suffixes: ClassVar[frozenset[str]] = frozenset()
    """What ends the name of a data set that is one file, for formats that have such."""

    usual_side_px: ClassVar[int | None] = None
    """The longer side where none is asked for; None keeps every picture's own."""

    keeps_groups: ClassVar[bool] = False
    """Whether a group is told by the pictures' order, so that no other can be given to them."""

    name: str
    side_px: int | None = None

    def limits(
        self, items: Sequence[Item], classes: Sequence[str], drop: frozenset[str]
    ) -> list[Limit]:
        """What would be lost, in sentences; raises DatasetError where nothing can be left out."""
        return lost_image_classes(items)

    def within(
        self, items: Sequence[Item], classes: Sequence[str], drop: frozenset[str]
    ) -> tuple[list[Item], tuple[str, ...]]:
        """The items and classes without what the format cannot hold and `drop` leaves out."""
        return list(items), tuple(classes)

    def named(self, item: Item) -> Item:
        """The item with its name in the target, and with the group that is told of it there."""
        return replace(item, name=safe_path(stem_of(item.sample_id)))

    def renamed(self, item: Item) -> Item:
        """A named item with another name, as its own is taken."""
        return replace(item, name=f"{item.name[:_MAX_NAME]}-{another_digest(item)}")

    def place(self, item: Item) -> str:
        """Where names must differ: two items of one place have different ones."""
        return item.split

    def bytes_needed(self, pictures: int) -> int:
        """Free disk that must be there beforehand; 0 where a full disk does no harm."""
        return 0

    def pixels(self, sample: Sample) -> Array:
        """(H, W) what is to be resized and written."""
        return sample.pixels

    @abstractmethod
    def write(self, item: Item, pixels: Array, findings: Findings | None, places: Places) -> Row:
        """Write one picture; returns a row that JSON can hold, for `finish`."""

    @abstractmethod
    def finish(self, rows: Iterable[Row], classes: Sequence[str], places: Places) -> None:
        """Write the rest, with all rows in the order of the items."""


def note(sentence: str) -> Limit:
    """What is lost by the nature of a format."""
    return Limit(drop="", sentence=sentence)


def limit(drop: str, what: str) -> Limit:
    """What is lost only where `--drop` allows it."""
    return Limit(drop=drop, sentence=f"{what}; allow it with --drop {drop}.")


def lost_image_classes(items: Sequence[Item]) -> list[Limit]:
    """Classes of pictures of unknown truth, which stand in no file of boxes."""
    count = sum(item.findings is None and item.image_class is not None for item in items)
    sentence = f"The class of {counted(count, 'image')} of unknown ground truth is not kept."
    return [note(sentence)] if count else []


def require_splits(items: Sequence[Item], to: str) -> None:
    """Raises DatasetError where a picture has no split."""
    count = sum(item.split == "" for item in items)
    if count:
        raise DatasetError(
            "source",
            expected=f"a split of every image, which {to} needs",
            found=f"{count:,} without one",
            advice="Cut it by groups with --splits 70,15,15.",
        )


def without_outlines(items: Iterable[Item]) -> list[Item]:
    """The items with boxes alone."""
    return [
        item
        if item.findings is None
        else replace(item, findings=tuple(replace(each, outline=None) for each in item.findings))
        for item in items
    ]


def spare_file(item: Item, places: Places) -> Path:
    """Where the pixels of one picture wait for the finish."""
    name = hashlib.blake2b(item.sample_id.encode(), digest_size=16).hexdigest()
    return places.spare / f"{name}.npy"
