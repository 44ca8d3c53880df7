"""Pascal VOC: `Annotations/….xml`, `JPEGImages/….jpg` and the splits in `ImageSets/Main/….txt`.

Read: classes are the names of all objects in alphabetical order, as the format lists none. An image
without an annotation file has an unknown ground truth, one without an object in its file is empty.
Objects marked difficult, which VOC's own evaluation ignores, stay findings, and a warning counts
them.

Written: boxes alone, images as PNG of 8 bits; a class without an object cannot be kept.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from fracture_core.datasets import issues
from fracture_core.datasets.findings import Finding, keep_usable
from fracture_core.datasets.images import ImageRecord, size_of
from fracture_core.datasets.issues import IssueLog, counted, quoted
from fracture_core.datasets.layout import (
    IMAGE_SUFFIXES,
    SPLIT_NAMES,
    Folders,
    group_of,
)
from fracture_core.datasets.records import RecordedDataset, warn_of_issues
from fracture_core.datasets.voc_xml import MAX_BYTES, VocFile, parse_voc
from fracture_core.datasets.writing import (
    Array,
    Destinations,
    Findings,
    Item,
    Limit,
    Row,
    Writer,
    another_name_by_group,
    lost_image_classes,
    name_by_group,
    note,
    without_outlines,
    write_image,
)
from fracture_core.errors import DatasetError, ImageError
from fracture_core.types import Sample

# ---- reading -------------------------------------------------------------------------------------


ANNOTATIONS, IMAGES, LISTS = "Annotations", "JPEGImages", "ImageSets/Main"
_MAX_LIST_BYTES = 64 * 2**20
_NO_SIZE = "Images of a size that is neither told nor readable, ground truth unknown"


def voc_root(path: Path) -> Path:
    """Returns the folder of the data set, which may be named by its `Annotations` as well."""
    return path.parent if path.name == ANNOTATIONS else path


def voc_annotations(folder: Path) -> Path | None:
    """Returns the folder of the annotation files, or None if there is none with such files."""
    place = folder / ANNOTATIONS
    return place if place.is_dir() and any(place.glob("*.xml")) else None


def looks_like_voc(path: Path) -> bool:
    """Tells whether a folder has annotation files and images in VOC's places."""
    root = voc_root(path)
    return voc_annotations(root) is not None and (root / IMAGES).is_dir()


def open_voc(path: Path) -> RecordedDataset:
    """Opens the folder as a data set; raises DatasetError."""
    folders, issue_log = Folders(root=voc_root(path)), IssueLog()
    images = _images(folders)
    files = _annotations(images, folders, issue_log)
    splits = _splits(images, folders, issue_log)
    objects = (each for file in files.values() if file for each in file.objects)
    classes = tuple(sorted({each.name for each in objects}))
    records: dict[str, ImageRecord] = {}
    for stem, image in images.items():
        known = _known(stem, image, files, classes, folders, issue_log)
        sample_id = folders.relative(image)
        records[sample_id] = ImageRecord(
            sample_id=sample_id,
            group_id=group_of(f"{stem}{image.suffix}"),
            split=splits.get(stem, ""),
            path=image,
            size=known.size,
            findings=known.findings,
            image_class=known.image_class,
        )
    _refuse_nothing(path, records, classes)
    warn_of_issues(records, classes, issue_log)
    return RecordedDataset(
        name=folders.root.name,
        path=path,
        format="voc",
        classes=classes,
        records=records,
        found=_describe(records, classes),
        warnings=issue_log.sentences(),
        issues=issue_log.issues(),
    )


def _refuse_nothing(path: Path, records: Mapping[str, ImageRecord], classes: Sequence[str]) -> None:
    if not records:
        raise DatasetError(path, expected=f"images in {IMAGES}", found="none")
    if not classes:
        raise DatasetError(path, expected=f"an object with a name in {ANNOTATIONS}", found="none")


def _images(folders: Folders) -> dict[str, Path]:
    """Returns images by their path below `JPEGImages` without suffix, by which lists name them."""
    place = folders.root / IMAGES
    found: dict[str, Path] = {}
    for path in folders.walk(place):
        stem = path.relative_to(place).with_suffix("").as_posix()
        if path.suffix.lower() in IMAGE_SUFFIXES and stem.isprintable():
            found.setdefault(stem, path)
    return found


def _splits(images: Mapping[str, Path], folders: Folders, issue_log: IssueLog) -> dict[str, str]:
    """Returns the split of each stem; `trainval` counts as train where no list parts the two."""
    place = folders.root / LISTS
    lists = {name.lower(): place / name for name in sorted(folders.files(place))}
    named = {f"{word}.txt": split for word, split in SPLIT_NAMES.items()}
    found = {name: named[name] for name in lists if name in named}
    if "trainval.txt" in lists and not {"train", "val"} & set(found.values()):
        found["trainval.txt"] = "train"
    splits: dict[str, str] = {}
    for name, split in found.items():
        for stem in _lines(lists[name], folders):
            if stem not in images:
                issue_log.add("Images listed but absent, left out", quoted(stem))
            elif splits.setdefault(stem, split) != split:
                sample_id = folders.relative(images[stem])
                issue_log.add(issues.IN_TWO_SPLITS, sample_id, sample_id)
    return splits


def _lines(path: Path, folders: Folders) -> Iterator[str]:
    name, size = folders.relative(path), folders.files(path.parent)[path.name]
    if size > _MAX_LIST_BYTES:
        raise DatasetError(name, expected=f"at most {_MAX_LIST_BYTES:,} bytes", found=f"{size:,}")
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise DatasetError(name, expected="text in UTF-8", found="other bytes") from error
    return (line.strip() for line in lines if line.strip())


def _annotations(
    images: Mapping[str, Path], folders: Folders, issue_log: IssueLog
) -> dict[str, VocFile | None]:
    """Stem of an image → its annotation file, None where that cannot be read.

    The file is the one of the same name, or else the one that names the image.
    """
    place = folders.root / ANNOTATIONS
    found: dict[str, VocFile | None] = {}
    others: list[tuple[str, VocFile | None]] = []
    for path in folders.walk(place):
        if path.suffix.lower() != ".xml":
            continue
        stem = path.relative_to(place).with_suffix("").as_posix()
        image = images.get(stem)
        file = _read(path, folders.relative(image) if image else "", folders, issue_log)
        if image:
            found[stem] = file
        else:
            others.append((folders.relative(path), file))
    for name, file in others:
        stem = file.file_name.rpartition(".")[0] if file else ""
        if stem in images and stem not in found:
            found[stem] = file
        else:
            issue_log.add("Label files without an image", name)
    return found


def _read(path: Path, sample_id: str, folders: Folders, issue_log: IssueLog) -> VocFile | None:
    name, size = folders.relative(path), folders.files(path.parent)[path.name]
    try:
        if size > MAX_BYTES:
            raise DatasetError(name, expected=f"at most {MAX_BYTES:,} bytes", found=f"{size:,}")
        return parse_voc(path.read_bytes(), name)
    except DatasetError as error:
        issue_log.add(issues.UNREADABLE_LABELS, str(error).rstrip("."), sample_id)
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What the annotation of an image tells; the ground truth is unknown without one."""

    size: tuple[int, int] | None = None
    findings: tuple[Finding, ...] | None = None
    image_class: int | None = None


def _known(
    stem: str,
    image: Path,
    files: Mapping[str, VocFile | None],
    classes: Sequence[str],
    folders: Folders,
    issue_log: IssueLog,
) -> _Known:
    sample_id, file = folders.relative(image), files.get(stem)
    if stem not in files:
        issue_log.add(issues.NO_LABELS, sample_id, sample_id)
    if file is None:
        return _Known()
    size = file.size or _size_of(image, sample_id, issue_log)
    if size is None:
        return _Known()
    findings = [
        Finding(label=classes.index(each.name), xyxy=each.xyxy, place=each.place)
        for each in file.objects
    ]
    for each in file.objects:
        if each.is_difficult:
            issue_log.add("Objects marked difficult, kept as findings", each.place, sample_id)
    return _Known(
        size=size,
        findings=keep_usable(findings, *size, issue_log, sample_id),
        image_class=findings[0].label if findings else None,
    )


def _size_of(path: Path, sample_id: str, issue_log: IssueLog) -> tuple[int, int] | None:
    try:
        return size_of(path, sample_id)
    except ImageError as error:
        issue_log.add(_NO_SIZE, str(error).rstrip("."), sample_id)
        return None


def _describe(records: Mapping[str, ImageRecord], classes: Sequence[str]) -> str:
    findings = sum(len(record.findings or ()) for record in records.values())
    return (
        f"Pascal VOC ({ANNOTATIONS} and {IMAGES}): {counted(len(records), 'image')}, "
        f"{counted(len(classes), 'class', 'classes')}, {counted(findings, 'finding')}."
    )


# ---- writing -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class VocWriter(Writer):
    """Writes `JPEGImages/….png`, `Annotations/….xml` and a list for each split in `ImageSets/Main`.

    JPEG files that need no change are copied. An image of unknown ground truth gets no annotation
    file.
    """

    keeps_files: ClassVar[bool] = True

    def limits(
        self, items: Sequence[Item], classes: Sequence[str], drop: frozenset[str]
    ) -> list[Limit]:
        """Returns what is lost: masks, unused classes and image classes; raises DatasetError for
        class names that XML cannot hold.
        """
        _refuse_strange(classes)
        findings = [each for item in items for each in item.findings or ()]
        found = []
        if outlined := sum(each.outline is not None for each in findings):
            found.append(
                note(f"{counted(outlined, 'mask')} left out: Pascal VOC holds boxes only.")
            )
        used = {each.label for each in findings}
        if unused := [quoted(name) for label, name in enumerate(classes) if label not in used]:
            sentence = f"Classes without a box are not kept: {', '.join(unused[:12])}."
            found.append(note(sentence))
        return found + lost_image_classes(items)

    def within(
        self, items: Sequence[Item], classes: Sequence[str], drop: frozenset[str]
    ) -> tuple[list[Item], tuple[str, ...]]:
        """Returns the items without outlines, and the classes."""
        return without_outlines(items), tuple(classes)

    def named(self, item: Item) -> Item:
        """Returns the item under a name that tells its group, as VOC has no other place for it."""
        return name_by_group(item)

    def renamed(self, item: Item) -> Item:
        """Returns the item under another name of its group."""
        return another_name_by_group(item)

    def place(self, item: Item) -> str:
        """Returns "": the images of all splits lie in one folder, so all names must differ."""
        return ""

    def pixels(self, sample: Sample) -> Array:
        """Returns the image as shown, (H, W) uint8."""
        return sample.shown()

    def write(
        self, item: Item, pixels: Array, findings: Findings | None, places: Destinations
    ) -> Row:
        """Writes the image; its annotation is written by `finish`."""
        file = write_image(item, pixels, places.result / IMAGES)
        height, width = pixels.shape
        size = {"width": str(width), "height": str(height), "depth": "1"}
        objects = None if findings is None else [_object(each) for each in findings]
        row = {"split": item.split, "name": item.name, "file": file, "size": size}
        return {**row, "objects": objects}

    def finish(self, rows: Iterable[Row], classes: Sequence[str], places: Destinations) -> None:
        """Writes the annotation files and the lists of splits."""
        lists: dict[str, list[str]] = {}
        (places.result / ANNOTATIONS).mkdir(exist_ok=True)
        for row in rows:
            if row["split"]:
                lists.setdefault(row["split"], []).append(row["name"])
            if row["objects"] is not None:
                path = places.result / ANNOTATIONS / f"{row['name']}.xml"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(_annotation(row, classes))
        (places.result / LISTS).mkdir(parents=True, exist_ok=True)
        for split, names in lists.items():
            text = "".join(f"{name}\n" for name in names)
            (places.result / LISTS / f"{split}.txt").write_text(text, encoding="utf-8")


def _refuse_strange(classes: Sequence[str]) -> None:
    """Raises DatasetError for names that XML would change: it has no control codes, and loses
    spaces.
    """
    for name in classes:
        if not name.isprintable() or name != name.strip() or not name:
            raise DatasetError(
                "classes", expected="names that Pascal VOC can hold", found=quoted(name)
            )


def _object(finding: Finding) -> Row:
    """Returns a finding as VOC counts: from 1, the last pixels included, so only the first corner
    moves.
    """
    x1, y1, x2, y2 = (float(side) for side in finding.xyxy)
    corners = {"xmin": x1 + 1, "ymin": y1 + 1, "xmax": x2, "ymax": y2}
    return {
        "label": finding.label,
        "box": {key: f"{value:.4f}".rstrip("0").rstrip(".") for key, value in corners.items()},
    }


def _annotation(row: Row, classes: Sequence[str]) -> bytes:
    root = Element("annotation")
    SubElement(root, "filename").text = _file_of(row)
    _add(root, "size", row["size"])
    for each in row["objects"]:
        entry = _add(root, "object", {"name": classes[each["label"]], "difficult": "0"})
        _add(entry, "bndbox", each["box"])
    indent(root)
    content: bytes = tostring(root, encoding="utf-8")
    return content


def _file_of(row: Row) -> str:
    """The image's file; a conversion begun before JPEG files were copied did not note it."""
    return str(row.get("file", f"{row['name']}.png"))


def _add(parent: Element, tag: str, texts: dict[str, str]) -> Element:
    element = SubElement(parent, tag)
    for key, text in texts.items():
        SubElement(element, key).text = text
    return element
