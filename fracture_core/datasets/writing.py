"""What is to be written: items of a source, their names in the target, and the base of all writers.

A writer writes images one by one, in any process, and then the rest of the data set once. What a
format cannot hold is told before anything is written, and is left out only on request. Names are
safe as file names, unique, and tell the group where they can: a source is not trusted, as an HDF5
file may call a study "../..".
"""

import hashlib
import re
import shutil
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


# ---- items ---------------------------------------------------------------------------------------


class Opener(Protocol):
    """Something that reads one image and can be sent to another process."""

    @property
    def path(self) -> Path: ...

    def sample(self) -> Sample:
        """Returns the sample; raises ImageError or DatasetError where the image cannot be read."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Item:
    """One image on its way from the source to the target.

    `findings` None = unknown; they are in shares of the sides where `is_normalised`, else in pixels
    of the source · `image_size` is (height, width) of the image in that unit, None where only the
    file tells · `image_class` and `attributes` are as `Sample` has them · `name` is that in the
    target, without a suffix · `copied` is the suffix where the file of the source is to be copied
    as it is, "" where its pixels are written anew.
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
    copied: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """An image that could not be converted, and why."""

    sample_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Source:
    """Everything that is to be converted. `found` and `notes` are sentences for the reader ·
    `left_out` lists images that were missing from the start.
    """

    path: Path
    found: str
    classes: tuple[str, ...]
    items: Sequence[Item]
    notes: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()


def in_pixels(finding: Finding, height: int, width: int) -> Finding:
    """Returns a normalised finding in pixels of an image of this size."""
    return scaled(finding, width, height)


def scaled(finding: Finding, x: float, y: float) -> Finding:
    """Returns a finding with its box and polygons multiplied by `x` and `y`; a run-length code
    stays.

    Example:
        >>> box = Finding(label=0, xyxy=np.array([1.0, 2.0, 3.0, 4.0]), place="")
        >>> scaled(box, 10, 100).xyxy.tolist()
        [10.0, 200.0, 30.0, 400.0]
    """
    factor = np.array([x, y], dtype=np.float64)
    outline = finding.outline
    if isinstance(outline, tuple):
        outline = tuple(ring * factor for ring in outline)
    return replace(finding, xyxy=finding.xyxy * np.tile(factor, 2), outline=outline)


def findings_of(ground_truth: Detections) -> Findings:
    """Returns a ground truth of the core as findings in pixels."""
    codes = ground_truth.masks or (None,) * len(ground_truth)
    return tuple(
        Finding(label=int(label), xyxy=xyxy.astype(np.float64), place="", outline=code)
        for label, xyxy, code in zip(ground_truth.labels, ground_truth.xyxy, codes, strict=True)
    )


# ---- names ---------------------------------------------------------------------------------------


_STRANGE = re.compile(r"[^\w .+@=,()&'-]")
_MAX_BYTES = 150


def stem_of(sample_id: str) -> str:
    """Returns a sample id without its suffix and without folders that only name a split or
    "images".

    Example:
        >>> stem_of("train/images/a/wrist.png")
        'a/wrist'
    """
    *folders, last = sample_id.split("/")
    stem, dot, suffix = last.rpartition(".")
    last = stem if stem and f"{dot}{suffix}".lower() in IMAGE_SUFFIXES else last
    kept = [part for part in folders if part.lower() not in FOLDERS_WITHOUT_MEANING]
    return "/".join([*kept, last])


def safe_path(text: str) -> str:
    """Returns a text as a relative path; a part that cannot be a file name gets another, unique
    name.
    """
    return "/".join(_safe_part(part) for part in text.split("/"))


def _safe_part(part: str) -> str:
    clean = _STRANGE.sub("_", part).strip(" .")
    if part and clean == part and len(part.encode()) <= _MAX_BYTES:
        return part
    return f"{clean.encode()[:60].decode(errors='ignore')}-{digest(part)}".lstrip("-")


def name_by_group(item: Item) -> Item:
    """Returns the item under a name that tells its group, for layouts that have no other word for
    it.

    A name that tells it already stays; others become `<group>.rf.<rest>`, see `layout.group_of`.
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
    """Returns a named item under another name of its group, which no other image of the source
    gets.
    """
    return replace(item, name=f"{item.group_id}.rf.{another_digest(item)}")


def another_digest(item: Item) -> str:
    """Returns a digest that tells this image from all others of its source."""
    return digest(f"{item.split}/{item.sample_id}")


def _group_told_by(stem: str) -> str:
    return group_of(f"{stem}.png")


def told_remainder(stem: str, group: str) -> str:
    """Returns what follows the group in a name, or "" where the name does not begin with the group.

    Example:
        >>> told_remainder("study/12", "study")
        '12'
    """
    rest = stem.removeprefix(group)
    if rest == stem:
        return ""
    return re.sub(r"^(/|-|\.rf\.)", "", rest)


def digest(text: str) -> str:
    """Returns 16 hexadecimal digits that stand for any text."""
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8).hexdigest()


# ---- writers -------------------------------------------------------------------------------------


_MAX_NAME = 236
Row = dict[str, Any]
Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Destinations:
    """Where a writer may write: `result` becomes the destination · `spare` is for what only
    `finish` needs.
    """

    result: Path
    spare: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """Something that a format cannot hold. `drop` is the option that allows its loss, or "" where
    it is lost in any case.
    """

    drop: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer(ABC):
    """Writes one data set, image by image and then the rest.

    A format says what it cannot hold in `limits` and leaves it out in `within`, names images in
    `named`, writes each by `write` and everything else by `finish`. `name` is that of the data
    set's folder or file · `side_px` is the longer side of all images in pixels, or None for each
    image's own.
    """

    file_suffixes: ClassVar[frozenset[str]] = frozenset()
    """The suffixes of a data set that is one file; none where it is a folder."""

    usual_side_px: ClassVar[int | None] = None
    """The longer side in pixels where none is asked for; None keeps every image's own."""

    keeps_files: ClassVar[bool] = False
    """Whether images are files of their own, so that a JPEG can be copied byte by byte."""

    keeps_groups: ClassVar[bool] = False
    """Whether images stay in the stacks of their source, so that groups cannot be changed."""

    name: str
    side_px: int | None = None

    def limits(
        self, items: Sequence[Item], classes: Sequence[str], drop: frozenset[str]
    ) -> list[Limit]:
        """Returns what would be lost, in sentences; raises DatasetError for what cannot be left
        out.
        """
        return lost_image_classes(items)

    def within(
        self, items: Sequence[Item], classes: Sequence[str], drop: frozenset[str]
    ) -> tuple[list[Item], tuple[str, ...]]:
        """Returns the items and classes, less what the format cannot hold and `drop` leaves out."""
        return list(items), tuple(classes)

    def named(self, item: Item) -> Item:
        """Returns the item with its name in the target, and with the group that is told of it
        there.
        """
        return replace(item, name=safe_path(stem_of(item.sample_id)))

    def renamed(self, item: Item) -> Item:
        """Returns a named item with another name, for when its own is taken."""
        return replace(item, name=f"{item.name[:_MAX_NAME]}-{another_digest(item)}")

    def place(self, item: Item) -> str:
        """Returns where the item's name must be unique: items of one place have different names."""
        return item.split

    def bytes_needed(self, images: int) -> int:
        """Returns the free disk space in bytes to check for beforehand; 0 where none is checked
        for.
        """
        return 0

    def pixels(self, sample: Sample) -> Array:
        """Returns the array (H, W) that is to be resized and written."""
        return sample.pixels

    @abstractmethod
    def write(
        self, item: Item, pixels: Array, findings: Findings | None, places: Destinations
    ) -> Row:
        """Writes one image and returns a row that JSON can hold, for `finish`."""

    @abstractmethod
    def finish(self, rows: Iterable[Row], classes: Sequence[str], places: Destinations) -> None:
        """Writes the rest; it gets all rows in the order of the items."""


def note(sentence: str) -> Limit:
    """Returns a limit for what a format loses in any case."""
    return Limit(drop="", sentence=sentence)


def limit(drop: str, what: str) -> Limit:
    """Returns a limit for what is lost only where `--drop` allows it."""
    return Limit(drop=drop, sentence=f"{what}; allow it with --drop {drop}.")


def lost_image_classes(items: Sequence[Item]) -> list[Limit]:
    """Returns a limit for the image classes of images of unknown ground truth, which are lost."""
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
    """Returns the items with boxes alone."""
    return [
        item
        if item.findings is None
        else replace(item, findings=tuple(replace(each, outline=None) for each in item.findings))
        for item in items
    ]


def spare_file(item: Item, places: Destinations) -> Path:
    """Returns the path where the pixels of one image wait for `finish`."""
    name = hashlib.blake2b(item.sample_id.encode(), digest_size=16).hexdigest()
    return places.spare / f"{name}.npy"


def write_image(item: Item, pixels: Pixels, folder: Path) -> str:
    """Writes an item's image into a folder and returns its name there, with its suffix.

    The file of the source is copied byte by byte where the item says so; else the pixels (H, W),
    uint8 or uint16, become a PNG.
    """
    name = f"{item.name}{item.copied or '.png'}"
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if item.copied:
        shutil.copyfile(item.opener.path, path)
    else:
        write_png(pixels, path)
    return name


def write_png(pixels: Pixels, path: Path) -> None:
    """Writes pixels (H, W), uint8 or uint16, as a PNG of the same depth."""
    # More compression takes longer: radiographs gain little from it, and 16 bits nothing.
    level = 3 if pixels.dtype.itemsize == 1 else 1
    Image.fromarray(pixels).save(path, compress_level=level)
