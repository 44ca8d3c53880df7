"""YOLO data sets: images in `images`, label files of the same name in `labels`, and a `data.yaml`.

Read: a missing label file leaves the ground truth of its image unknown; an empty one says that
nothing is there; one with an invalid line leaves it unknown, with a warning. An image's class, for
classifiers, is the class of its first line. A box of a class such as "Healthy" stays a box.

Written: `{train,valid,test}/{images,labels}` and a `data.yaml`. A line holds either a box or a
polygon, so that where there are masks, one polygon stands for box and mask.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import yaml

from fracture_core import boxes, masks
from fracture_core.datasets import issues
from fracture_core.datasets.coco_json import bounds_of
from fracture_core.datasets.findings import Finding, keep_usable
from fracture_core.datasets.images import ImageRecord
from fracture_core.datasets.issues import IssueLog, counted, quoted
from fracture_core.datasets.layout import IMAGE_SUFFIXES, SPLIT_NAMES, Folders, group_of
from fracture_core.datasets.records import RecordedDataset, warn_of_issues
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
    require_splits,
    without_outlines,
    write_image,
)
from fracture_core.datasets.yolo_labels import (
    DATA_FILES,
    MAX_LABEL_BYTES,
    DataFile,
    parse_label,
    read_data_file,
    ring_of,
)
from fracture_core.errors import DatasetError
from fracture_core.types import Sample

# ---- reading -------------------------------------------------------------------------------------


Places = tuple[tuple[str, Path], ...]


def find_data_file(folder: Path) -> Path | None:
    """Returns the data.yaml of a folder, or None if it has none."""
    return next((folder / name for name in DATA_FILES if (folder / name).is_file()), None)


def looks_like_yolo(path: Path) -> bool:
    """Tells whether a path is a YAML file, or a folder with a data.yaml or with labels in their
    place.
    """
    if not path.is_dir():
        return path.suffix.lower() in {".yaml", ".yml"}
    if find_data_file(path) is not None:
        return True
    return any(_label_folder(place, path).is_dir() for _, place in _usual_places(path))


def open_yolo(path: Path) -> RecordedDataset:
    """Opens a folder or its data.yaml as a data set; raises DatasetError."""
    folders, issue_log = Folders(root=path if path.is_dir() else path.parent), IssueLog()
    data_path = find_data_file(folders.root) if path.is_dir() else folders.root / path.name
    data = read_data_file(data_path, folders, issue_log) if data_path else None
    places = (data.places if data else ()) or _usual_places(folders.root)
    records = _read_records(folders, places, data, issue_log)
    if not records:
        raise DatasetError(
            path, expected="images in 'images', label files in 'labels'", found="no image"
        )
    classes = data.classes if data else _numbered_classes(records)
    if data is None:
        issue_log.add("Folder without data.yaml, classes are numbers", folders.root.name)
    warn_of_issues(records, classes, issue_log)
    return RecordedDataset(
        name=folders.root.name,
        path=path,
        format="yolo",
        classes=classes,
        records=records,
        found=_describe(data, places, folders, records, classes),
        warnings=issue_log.sentences(),
        issues=issue_log.issues(),
    )


def _usual_places(root: Path) -> Places:
    inside_splits = [(split, root / name / "images") for name, split in SPLIT_NAMES.items()]
    inside_images = [(split, root / "images" / name) for name, split in SPLIT_NAMES.items()]
    splits = tuple(place for place in inside_splits + inside_images if place[1].is_dir())
    if splits or not (root / "images").is_dir():
        return splits
    return (("", root / "images"),)


def _label_folder(images: Path, root: Path) -> Path:
    # The last "images" below the root becomes "labels"; without one, labels lie beside images.
    parts = list(images.relative_to(root).parts)
    for i in reversed(range(len(parts))):
        if parts[i] == "images":
            parts[i] = "labels"
            break
    return root.joinpath(*parts)


def _read_records(
    folders: Folders, places: Places, data: DataFile | None, issue_log: IssueLog
) -> dict[str, ImageRecord]:
    records: dict[str, ImageRecord] = {}
    for split, place in places:
        used = set()
        for path in folders.walk(place):
            if path.suffix.lower() not in IMAGE_SUFFIXES:
                continue
            sample_id = folders.relative(path)
            if not sample_id.isprintable():
                issue_log.add("Images with names that cannot be shown, left out", quoted(sample_id))
                continue
            label_path = _label_folder(path.parent, folders.root) / f"{path.stem}.txt"
            if sample_id in records:
                issue_log.add(issues.IN_TWO_SPLITS, sample_id, sample_id)
                continue
            if label_path in used:
                issue_log.add("Label files of two images", folders.relative(label_path))
            used.add(label_path)
            record = _record(path, label_path, split, folders, data, issue_log)
            records[record.sample_id] = record
        _count_orphans(folders, place, used, issue_log)
    return records


def _record(
    path: Path,
    label_path: Path,
    split: str,
    folders: Folders,
    data: DataFile | None,
    issue_log: IssueLog,
) -> ImageRecord:
    sample_id = folders.relative(path)
    listed = _read_label(label_path, folders, data.numbers if data else None, sample_id, issue_log)
    if listed is None and not folders.holds(label_path):
        issue_log.add(issues.NO_LABELS, sample_id, sample_id)
    return ImageRecord(
        sample_id=sample_id,
        group_id=group_of(sample_id),
        split=split,
        path=path,
        findings=None if listed is None else keep_usable(listed, 1, 1, issue_log, sample_id),
        image_class=listed[0].label if listed else None,
    )


def _read_label(
    path: Path,
    folders: Folders,
    numbers: Mapping[int, int] | None,
    sample_id: str,
    issue_log: IssueLog,
) -> tuple[Finding, ...] | None:
    size = folders.files(path.parent).get(path.name)
    if size is None:
        return None
    name = folders.relative(path)
    try:
        if size > MAX_LABEL_BYTES:
            raise DatasetError(
                name, expected=f"at most {MAX_LABEL_BYTES:,} bytes", found=f"{size:,}"
            )
        return parse_label(path.read_bytes(), name, numbers)
    except DatasetError as error:
        issue_log.add(issues.UNREADABLE_LABELS, str(error).rstrip("."), sample_id)
        return None


def _count_orphans(folders: Folders, place: Path, used: set[Path], issue_log: IssueLog) -> None:
    for path in folders.walk(_label_folder(place, folders.root)):
        if path.suffix == ".txt" and path not in used:
            issue_log.add("Label files without an image", folders.relative(path))


def _numbered_classes(records: Mapping[str, ImageRecord]) -> tuple[str, ...]:
    found = (finding.label for record in records.values() for finding in record.findings or ())
    listed = (record.image_class or 0 for record in records.values())
    return tuple(f"class {number}" for number in range(max([*found, *listed]) + 1))


def _describe(
    data: DataFile | None,
    places: Places,
    folders: Folders,
    records: Mapping[str, ImageRecord],
    classes: tuple[str, ...],
) -> str:
    findings = [each for record in records.values() for each in record.findings or ()]
    outlined = sum(finding.outline is not None for finding in findings)
    parts = ", ".join(f"{split or 'no split'} in {folders.relative(at)}" for split, at in places)
    source = f"class names from {data.path.name}" if data else "no data.yaml"
    return (
        f"YOLO label files ({source}): {counted(len(records), 'image')} ({parts}), "
        f"{counted(len(classes), 'class', 'classes')}, "
        f"{counted(len(findings), 'finding')}, {outlined:,} outlined."
    )


# ---- writing -------------------------------------------------------------------------------------


# How far a box may be from the bounds of its mask, in pixels and in shares of a side, as annotation
# tools round. Up to `_SAME` a box counts as unchanged, up to `_NEAR` a note tells of it, and beyond
# the option `--drop` must allow it.
_SAME = (0.01, 1e-5)
_NEAR = (1.0, 0.002)
FOLDERS = {"train": "train", "val": "valid", "test": "test"}
_Points = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class YoloWriter(Writer):
    """Writes a YOLO data set: images of 8 bits as shown, label files and a data.yaml.

    JPEG files that need no change are copied, others are written as PNG.

    An image of unknown ground truth gets no label file, one where nothing is there an empty one.
    """

    keeps_files: ClassVar[bool] = True

    def limits(
        self, items: Sequence[Item], classes: Sequence[str], drop: frozenset[str]
    ) -> list[Limit]:
        """Returns what is lost: masks of several parts, boxes apart from their masks, and image
        classes.

        Raises DatasetError where some images have a split and others have none.
        """
        if any(item.split for item in items):
            require_splits(items, "yolo")
        return [*_split_limits({item.split for item in items}), *self._lost(items, drop)]

    def _lost(self, items: Sequence[Item], drop: frozenset[str]) -> list[Limit]:
        outlined = [(f, item) for item in items for f in item.findings or () if f.outline]
        if "masks" in drop:
            lost = note(f"{counted(len(outlined), 'mask')} left out, as asked for.")
            return [lost, *lost_image_classes(items)]
        return [
            *_polygon_limits([finding for finding, _ in outlined]),
            *_box_limits(outlined),
            *lost_image_classes(items),
        ]

    def within(
        self, items: Sequence[Item], classes: Sequence[str], drop: frozenset[str]
    ) -> tuple[list[Item], tuple[str, ...]]:
        """Returns the items, without outlines where `drop` has "masks", and the classes."""
        kept = without_outlines(items) if "masks" in drop else list(items)
        return kept, tuple(classes)

    def named(self, item: Item) -> Item:
        """Returns the item under a name that tells its group, as YOLO has no other place for it."""
        return name_by_group(item)

    def renamed(self, item: Item) -> Item:
        """Returns the item under another name of its group."""
        return another_name_by_group(item)

    def pixels(self, sample: Sample) -> Array:
        """Returns the image as shown, (H, W) uint8."""
        return sample.shown()

    def write(
        self, item: Item, pixels: Array, findings: Findings | None, places: Destinations
    ) -> Row:
        """Writes the image and, unless its ground truth is unknown, its label file."""
        write_image(item, pixels, places.result / image_folder(item.split))
        label = places.result / label_folder(item.split) / f"{item.name}.txt"
        label.parent.mkdir(parents=True, exist_ok=True)
        if findings is not None:
            label.write_text(label_text(findings, *pixels.shape), encoding="utf-8")
        return {"split": item.split}

    def finish(self, rows: Iterable[Row], classes: Sequence[str], places: Destinations) -> None:
        """Writes the data.yaml."""
        write_data_file(places.result, classes, {row["split"] for row in rows})


def image_folder(split: str) -> str:
    """Returns the folder of a split's images, below the data set's."""
    return f"{FOLDERS[split]}/images" if split else "images"


def label_folder(split: str) -> str:
    """Returns the folder of a split's label files, below the data set's."""
    return image_folder(split).removesuffix("images") + "labels"


def label_text(findings: Findings, height: int, width: int) -> str:
    """Returns a label file of findings in pixels, one line each.

    Where any finding of the image has an outline, all lines are polygons, as Ultralytics misreads a
    file of both kinds.
    """
    outlined = any(finding.outline is not None for finding in findings)
    return "".join(_lines(findings, outlined, np.array([width, height], dtype=np.float64)))


def write_data_file(folder: Path, classes: Sequence[str], splits: Collection[str]) -> None:
    """Writes a `data.yaml` that names the folders of these splits; the format has no key for split
    "".
    """
    data = {split: image_folder(split) for split in FOLDERS if split in splits}
    content = {**data, "nc": len(classes), "names": list(classes)}
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    (folder / "data.yaml").write_text(text, encoding="utf-8")


def ring_within(finding: Finding, height: int, width: int) -> _Points:
    """Returns the one polygon (P, 2) that YOLO has for a finding in pixels, cut to the image."""
    outline = finding.outline
    if outline is None:
        x1, y1, x2, y2 = finding.xyxy
        return np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]])
    if isinstance(outline, tuple) and len(outline) == 1:
        # Ultralytics refuses the labels of an image with a point outside it.
        return np.clip(outline[0], 0, [width, height])
    code = outline
    if isinstance(code, tuple):
        code = masks.from_polygons(code, height, width)
    return ring_of(masks.decode(code))


def _lines(findings: Findings, outlined: bool, side: _Points) -> Iterator[str]:
    width, height = (int(value) for value in side)
    for finding in findings:
        points = boxes.xyxy_to_cxcywh(finding.xyxy[None]).reshape(2, 2)
        if outlined:
            points = ring_within(finding, height, width)
        shares = (points / side).reshape(-1)
        yield f"{finding.label} " + " ".join(f"{share:.8f}" for share in shares) + "\n"


def _split_limits(splits: Collection[str]) -> list[Limit]:
    missing = [split for split in ("train", "val") if split not in splits]
    if not missing:
        return []
    sentence = (
        f"Ultralytics trains only with splits train and val; without {' and '.join(missing)} it "
        "refuses the set. Cut it with --splits 70,15,15."
    )
    return [note(sentence)]


def _polygon_limits(outlined: Sequence[Finding]) -> list[Limit]:
    coded = sum(isinstance(finding.outline, masks.Rle) for finding in outlined)
    parts = sum(isinstance(f.outline, tuple) and len(f.outline) > 1 for f in outlined)
    what = f"{counted(coded + parts, 'mask')} of run lengths or several parts"
    sentence = f"{what} become one polygon each along the pixels, without holes."
    return [note(sentence)] if coded or parts else []


def _box_limits(outlined: Sequence[tuple[Finding, Item]]) -> list[Limit]:
    moved = [_distance(finding, item) for finding, item in outlined]
    limits = [(_SAME[item.is_normalised], _NEAR[item.is_normalised]) for _, item in outlined]
    pairs = list(zip(moved, limits, strict=True))
    found = []
    if near := sum(same < distance <= near for distance, (same, near) in pairs):
        what = f"{counted(near, 'box', 'boxes')} moved to the bounds of their masks"
        found.append(note(f"{what}, less than a pixel away, as YOLO has one line for both."))
    if far := sum(distance > near for distance, (_, near) in pairs):
        what = f"Boxes that are not the bounds of their mask, which YOLO takes: {far:,}"
        how = "allow it with --drop boxes, or keep the boxes alone with --drop masks."
        found.append(Limit(drop="boxes", sentence=f"{what}; {how}"))
    return found


def _distance(finding: Finding, item: Item) -> float:
    """The most that an edge of the box is from that of its mask, in the unit of the finding."""
    if finding.outline is None:
        return 0.0
    # What of an outline lies outside the image is cut, as the box was.
    height, width = item.image_size or (np.inf, np.inf)
    bounds = np.clip(bounds_of(finding.outline), 0, [width, height, width, height])
    return float(np.abs(bounds - finding.xyxy).max())
