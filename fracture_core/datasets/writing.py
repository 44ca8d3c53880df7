"""What is to be converted: where each image comes from and what is known of it.

Names of images in a target: safe as file names, unique, and telling the group where it can.

A source is not trusted: an HDF5 file may call a study "../..".

What every writer of a data set is: images one by one in any process, then the rest once.

What a format cannot hold is told before anything is written, and left out only when asked to.

Pixels as PNG files.
"""

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from fracture_core.datasets.findings import Finding
from fracture_core.datasets.issues import counted
from fracture_core.datasets.layout import FOLDERS_WITHOUT_MEANING, IMAGE_SUFFIXES, group_of
from fracture_core.errors import DatasetError
from fracture_core.types import Detections, Pixels, Sample

Findings = tuple[Finding, ...]


class Opener(Protocol):
    """Reads one image; can be sent to another process."""

    @property
    def path(self) -> Path: ...

    def sample(self) -> Sample:
        """Raises ImageError or DatasetError where the image cannot be read."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Item:
    """One image on its way.

    `findings` None = unknown, normalised where `is_normalised`, else in pixels of the source ·
    `image_size` (height, width) of the image in that unit, None where only the file tells ·
    `image_class` and `attributes` as `Sample` has them · `name` in the target, without a suffix.
    """

    opener: Opener
    sample_id: str
    group_id: str
    split: str
    findings: Findings | None
    is_normalised: bool
    image_size: tuple[int, int] | None = None
    image_class: int | None = None
    name: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """An image that could not be converted, and why."""

    sample_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Source:
    """`found` and `notes` are sentences for the reader; `left_out` is missing from the start."""

    path: Path
    found: str
    classes: tuple[str, ...]
    items: Sequence[Item]
    notes: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()


def in_pixels(finding: Finding, height: int, width: int) -> Finding:
    """A finding normalised → in pixels of an image of this size."""
    return scaled(finding, width, height)


def scaled(finding: Finding, x: float, y: float) -> Finding:
    """Box and polygons multiplied; a run-length code cannot be and is left as it is."""
    factor = np.array([x, y], dtype=np.float64)
    outline = finding.outline
    if isinstance(outline, tuple):
        outline = tuple(ring * factor for ring in outline)
    return replace(finding, xyxy=finding.xyxy * np.tile(factor, 2), outline=outline)


def findings_of(ground_truth: Detections) -> Findings:
    """A ground truth of the core as findings in pixels."""
    codes = ground_truth.masks or (None,) * len(ground_truth)
    return tuple(
        Finding(label=int(label), xyxy=xyxy.astype(np.float64), place="", outline=code)
        for label, xyxy, code in zip(ground_truth.labels, ground_truth.xyxy, codes, strict=True)
    )


_STRANGE = re.compile(r"[^\w .+@=,()&'-]")
_MAX_BYTES = 150


def stem_of(sample_id: str) -> str:
    """The path without suffix and without folders that only name a split or "images"."""
    *folders, last = sample_id.split("/")
    stem, dot, suffix = last.rpartition(".")
    last = stem if stem and f"{dot}{suffix}".lower() in IMAGE_SUFFIXES else last
    kept = [part for part in folders if part.lower() not in FOLDERS_WITHOUT_MEANING]
    return "/".join([*kept, last])


def safe_path(text: str) -> str:
    """A text as a relative path; each part that cannot be a file name gets another, unique one."""
    return "/".join(_safe_part(part) for part in text.split("/"))


def _safe_part(part: str) -> str:
    clean = _STRANGE.sub("_", part).strip(" .")
    if part and clean == part and len(part.encode()) <= _MAX_BYTES:
        return part
    return f"{clean.encode()[:60].decode(errors='ignore')}-{digest(part)}".lstrip("-")


def name_by_group(item: Item) -> Item:
    """The item under a name that tells its group, for layouts that have no other word for it.

    A name that tells it already stays; others become `<group>.rf.<rest>`, see `group_of`.
    """
    stem = stem_of(item.sample_id)
    if safe_path(stem) == stem and _group_told_by(stem) == item.group_id:
        return replace(item, name=stem)
    group = safe_path(item.group_id)
    group = group if _group_told_by(f"{group}.rf.0") == group else digest(item.group_id)
    rest = told_remainder(stem, item.group_id)
    tail = rest if rest.isascii() and rest.isalnum() else digest(item.sample_id)
    return replace(item, group_id=group, name=f"{group}.rf.{tail}")


def another_name_by_group(item: Item) -> Item:
    """A named item under another name of its group, which no other image of the source gets."""
    return replace(item, name=f"{item.group_id}.rf.{another_digest(item)}")


def another_digest(item: Item) -> str:
    """What tells this image from all others of its source."""
    return digest(f"{item.split}/{item.sample_id}")


def _group_told_by(stem: str) -> str:
    return group_of(f"{stem}.png")


def told_remainder(stem: str, group: str) -> str:
    """What follows the group in a name, "" where the name is not led by it."""
    rest = stem.removeprefix(group)
    if rest == stem:
        return ""
    return re.sub(r"^(/|-|\.rf\.)", "", rest)


def digest(text: str) -> str:
    """16 hexadecimal digits that stand for any text."""
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8).hexdigest()


_MAX_NAME = 236
Row = dict[str, Any]
Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Destinations:
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

    A format says what it cannot hold in `limits` and leaves it out in `within`, names images in
    `named`, writes each by `write` and everything else by `finish`. The rest has a usual answer.
    """

    file_suffixes: ClassVar[frozenset[str]] = frozenset()
    """What ends the name of a data set that is one file, for formats that have such."""

    usual_side_px: ClassVar[int | None] = None
    """The longer side where none is asked for; None keeps every image's own."""

    keeps_groups: ClassVar[bool] = False
    """Whether a group is told by the images' order, so that no other can be given to them."""

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

    def bytes_needed(self, images: int) -> int:
        """Free disk that must be there beforehand; 0 where a full disk does no harm."""
        return 0

    def pixels(self, sample: Sample) -> Array:
        """(H, W) what is to be resized and written."""
        return sample.pixels

    @abstractmethod
    def write(
        self, item: Item, pixels: Array, findings: Findings | None, places: Destinations
    ) -> Row:
        """Write one image; returns a row that JSON can hold, for `finish`."""

    @abstractmethod
    def finish(self, rows: Iterable[Row], classes: Sequence[str], places: Destinations) -> None:
        """Write the rest, with all rows in the order of the items."""


def note(sentence: str) -> Limit:
    """What is lost by the nature of a format."""
    return Limit(drop="", sentence=sentence)


def limit(drop: str, what: str) -> Limit:
    """What is lost only where `--drop` allows it."""
    return Limit(drop=drop, sentence=f"{what}; allow it with --drop {drop}.")


def lost_image_classes(items: Sequence[Item]) -> list[Limit]:
    """Classes of images of unknown ground truth, which stand in no file of boxes."""
    count = sum(item.findings is None and item.image_class is not None for item in items)
    sentence = f"The class of {counted(count, 'image')} of unknown ground truth is not kept."
    return [note(sentence)] if count else []


def require_splits(items: Sequence[Item], to: str) -> None:
    """Raises DatasetError where an image has no split."""
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


def spare_file(item: Item, places: Destinations) -> Path:
    """Where the pixels of one image wait for the finish."""
    name = hashlib.blake2b(item.sample_id.encode(), digest_size=16).hexdigest()
    return places.spare / f"{name}.npy"


def write_png(pixels: Pixels, path: Path) -> None:
    """(H, W) uint8 or uint16, each at its own depth."""
    # Radiographs gain little from more effort, and 16 bits nothing.
    level = 3 if pixels.dtype.itemsize == 1 else 1
    Image.fromarray(pixels).save(path, compress_level=level)
