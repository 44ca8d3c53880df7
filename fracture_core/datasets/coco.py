"""COCO data sets: one JSON file or several, each of one split, and the images they name.

Read: classes are the categories in the order of their ids. A category that only heads a group of
others and has no box (Roboflow writes one) is no class; any other without a box stays, so that the
files of one data set agree. Only images inside the data set's folder are opened.

Written: one file for each split, classes 0…K−1, objects with box and outline. The format holds all
that a data set here can tell, except the class of an image of unknown ground truth.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import numpy as np

from fracture_core import boxes, masks
from fracture_core.datasets import issues
from fracture_core.datasets.coco_json import CocoFile, CocoImage, is_coco, read_coco
from fracture_core.datasets.findings import Finding, Outline, keep_usable
from fracture_core.datasets.images import ImageRecord, size_of
from fracture_core.datasets.issues import IssueLog, counted, quoted
from fracture_core.datasets.layout import (
    Folders,
    group_of,
    relative_name,
    split_of_file,
    split_of_folder,
)
from fracture_core.datasets.records import RecordedDataset, warn_of_issues
from fracture_core.datasets.writing import (
    Array,
    Destinations,
    Findings,
    Item,
    Row,
    Writer,
    write_image,
)
from fracture_core.errors import DatasetError, ImageError

# ---- reading -------------------------------------------------------------------------------------


def looks_like_coco(path: Path) -> bool:
    """Tells whether a path is a JSON file, or a folder that holds a COCO file."""
    return bool(find_coco_files(path)) if path.is_dir() else path.suffix.lower() == ".json"


def find_coco_files(folder: Path) -> tuple[Path, ...]:
    """Returns the COCO files in a folder or one level below it, sorted by name in each folder."""
    folders = Folders(root=folder)
    places = [folders.root, *_subfolders(folders.root)]
    files = [place / name for place in places for name in sorted(folders.files(place))]
    return tuple(path for path in files if path.suffix.lower() == ".json" and is_coco(path))


def open_coco(path: Path) -> RecordedDataset:
    """Opens a COCO file, or all those of a folder, as one data set; raises DatasetError."""
    folders, issue_log = Folders(root=path if path.is_dir() else coco_root(path)), IssueLog()
    paths = find_coco_files(path) if path.is_dir() else (path.resolve(),)
    files = [read_coco(each, _relative(each, folders), issue_log) for each in paths]
    categories = _merge_categories(files)
    classes = _classes(files, categories, issue_log)
    numbers = {id_: number for number, id_ in enumerate(classes)}
    records: dict[str, ImageRecord] = {}
    for file in files:
        _add_records(records, file, folders, numbers, issue_log)
    if not records:
        raise DatasetError(path, expected="the images it lists in its folder", found="none of them")
    names = tuple(classes.values())
    warn_of_issues(records, names, issue_log)
    return RecordedDataset(
        name=path.name if path.is_dir() else f"{folders.root.name}/{path.name}",
        path=path,
        format="coco",
        classes=names,
        records=records,
        found=_describe(files, folders, records, names),
        warnings=issue_log.sentences(),
        issues=issue_log.issues(),
    )


def coco_root(path: Path) -> Path:
    """Returns the folder of the data set that a COCO file belongs to.

    That is the file's own folder, or the one above it where it lies in `annotations` or in a
    split's.
    """
    folder = path.resolve().parent
    is_inner = folder.name.lower() == "annotations" or bool(split_of_folder(folder.name))
    return folder.parent if is_inner else folder


def _relative(path: Path, folders: Folders) -> str:
    return folders.relative(path) if folders.contains(path) else path.name


def _subfolders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(
        each for each in folder.iterdir() if each.is_dir() and not each.name.startswith(".")
    )


def _merge_categories(files: Sequence[CocoFile]) -> Mapping[int, str]:
    merged: dict[int, str] = {}
    for file in files:
        for id_, name in file.categories.items():
            if merged.setdefault(id_, name) != name:
                raise DatasetError(
                    file.path,
                    expected=f"category {id_} to be '{merged[id_]}' as in {files[0].path.name}",
                    found=f"'{name}'",
                )
    return dict(sorted(merged.items()))


def _classes(
    files: Sequence[CocoFile], categories: Mapping[int, str], issue_log: IssueLog
) -> Mapping[int, str]:
    used = {finding.label for file in files for image in file.images for finding in image.findings}
    headings = frozenset[int]().union(*(file.headings for file in files)) - used
    for id_ in sorted(set(categories) - used):
        if id_ in headings:
            issue_log.add(issues.ONLY_HEADING, f"{id_} '{categories[id_]}'")
        else:
            issue_log.add(issues.UNUSED_CLASS, f"{id_} '{categories[id_]}'")
    return {id_: name for id_, name in categories.items() if id_ not in headings}


def _add_records(
    records: dict[str, ImageRecord],
    file: CocoFile,
    folders: Folders,
    numbers: Mapping[int, int],
    issue_log: IssueLog,
) -> None:
    split = split_of_file(file.path.stem) or split_of_folder(file.path.parent.name)
    places = list(_places(file.path, split, folders))
    for path, image in _found_images(file, places, folders, issue_log).items():
        sample_id = folders.relative(path)
        if sample_id in records:
            issue_log.add(issues.IN_TWO_FILES, sample_id, sample_id)
            continue
        for flaw in image.flaws:
            issue_log.add(issues.UNREADABLE_OBJECTS, flaw, sample_id)
        size = image.size or _size_of(path, sample_id, issue_log)
        if size is None:
            continue
        findings = [replace(each, label=numbers[each.label]) for each in image.findings]
        usable = keep_usable(findings, *size, issue_log, sample_id)
        is_known = image.is_known and (usable or not image.had_objects)
        records[sample_id] = ImageRecord(
            sample_id=sample_id,
            group_id=image.group_id or group_of(sample_id),
            split=split,
            path=path,
            findings=usable if is_known else None,
            image_class=findings[0].label if findings else None,
            size=size,
            attributes=image.attributes,
        )


def _size_of(path: Path, sample_id: str, issue_log: IssueLog) -> tuple[int, int] | None:
    try:
        return size_of(path, sample_id)
    except ImageError as error:
        issue_log.add(issues.UNREADABLE_IMAGE, str(error).rstrip("."), sample_id)
        return None


def _places(path: Path, split: str, folders: Folders) -> Iterator[Path]:
    """Yields the folders that a file name may be relative to, the likeliest first."""
    root = folders.root
    if folders.contains(path):
        yield path.parent
    for folder in (*_subfolders(root), *_subfolders(root / "images")):
        if split and split_of_folder(folder.name) == split:
            yield folder
            yield folder / "images"
    yield root / "images"
    yield root


def _found_images(
    file: CocoFile, places: Sequence[Path], folders: Folders, issue_log: IssueLog
) -> dict[Path, CocoImage]:
    found: dict[Path, CocoImage] = {}
    for image in file.images:
        name = relative_name(image.file_name, file.path)
        path = _find(name, places, folders)
        if path is None:
            issue_log.add("Images listed but absent, left out", quoted(str(name)))
        elif path in found:
            issue_log.add("File names listed twice, annotations joined", quoted(str(name)))
            _join(found[path], image)
        else:
            found[path] = image
    return found


def _find(name: PurePosixPath, places: Sequence[Path], folders: Folders) -> Path | None:
    return next((place / name for place in places if folders.holds(place / name)), None)


def _join(first: CocoImage, second: CocoImage) -> None:
    first.findings += second.findings
    first.flaws += second.flaws
    first.is_known &= second.is_known
    first.had_objects |= second.had_objects


def _describe(
    files: Sequence[CocoFile],
    folders: Folders,
    records: Mapping[str, ImageRecord],
    classes: tuple[str, ...],
) -> str:
    findings = [each for record in records.values() for each in record.findings or ()]
    outlined = sum(finding.outline is not None for finding in findings)
    names = ", ".join(_relative(file.path, folders) for file in files)
    return (
        f"COCO JSON ({names}): {counted(len(records), 'image')}, "
        f"{counted(len(classes), 'class', 'classes')}, "
        f"{counted(len(findings), 'finding')}, {outlined:,} outlined."
    )


# ---- writing -------------------------------------------------------------------------------------


CocoTables = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class CocoWriter(Writer):
    """Writes `<split>/….png` at full depth, or a copied JPEG, and `annotations/<split>.json`.

    Images of unknown ground truth stand in `annotations/<split>-unannotated.json`, a file without
    `annotations`, as COCO's own lists of test images.
    """

    keeps_files: ClassVar[bool] = True

    def write(
        self, item: Item, pixels: Array, findings: Findings | None, places: Destinations
    ) -> Row:
        """Writes the image and returns its entry and objects for `finish`."""
        name = write_image(item, pixels, places.result / (item.split or "images"))
        height, width = pixels.shape
        entry = {
            "file_name": name,
            "height": height,
            "width": width,
            "patient_id": item.group_id,
        }
        if item.attributes:
            entry["attributes"] = dict(item.attributes)
        objects = None if findings is None else as_objects(findings)
        return {"split": item.split, "image": entry, "objects": objects}

    def finish(self, rows: Iterable[Row], classes: Sequence[str], places: Destinations) -> None:
        """Writes the JSON files of all splits; ids are counted over all images."""
        files: dict[str, CocoTables] = {}
        for number, row in enumerate(rows, start=1):
            is_known = row["objects"] is not None
            name = (row["split"] or "all") + ("" if is_known else "-unannotated")
            file = files.setdefault(name, empty_file(classes))
            add_image(file, {"id": number, **row["image"]}, row["objects"] or ())
        folder = places.result / "annotations"
        folder.mkdir(exist_ok=True)
        for name, file in files.items():
            kept: dict[str, object] = dict(file)
            if name.endswith("-unannotated"):
                del kept["annotations"]
            text = json.dumps(kept, ensure_ascii=False)
            (folder / f"{name}.json").write_text(text, encoding="utf-8")


def empty_file(classes: Sequence[str]) -> CocoTables:
    """Returns the tables of a file without images.

    Every category is its own supercategory, so that none is taken for a heading of others.
    """
    categories = [
        {"id": number, "name": name, "supercategory": name} for number, name in enumerate(classes)
    ]
    return {"images": [], "annotations": [], "categories": categories}


def as_objects(findings: Findings) -> list[dict[str, Any]]:
    """Returns findings in pixels as COCO's objects, still without ids.

    Example:
        >>> box = Finding(label=0, xyxy=np.array([1.0, 2.0, 5.0, 4.0]), place="")
        >>> as_objects((box,))[0]["bbox"]
        [1.0, 2.0, 4.0, 2.0]
    """
    return [_as_object(finding) for finding in findings]


def add_image(
    file: CocoTables, entry: Mapping[str, Any], objects: Iterable[Mapping[str, Any]] = ()
) -> None:
    """Adds an image and its objects to a file's tables.

    `entry` is an image of COCO with an `id`; the objects get ids of their own, counted in the file.
    """
    file["images"].append(dict(entry))
    for each in objects:
        place = {"id": len(file["annotations"]) + 1, "image_id": entry["id"]}
        file["annotations"].append({**place, **each})


def _as_object(finding: Finding) -> dict[str, Any]:
    xywh = boxes.xyxy_to_xywh(finding.xyxy[None])[0]
    return {
        "category_id": finding.label,
        "bbox": [float(side) for side in xywh],
        "area": _area(finding),
        "iscrowd": 0,
        "segmentation": _as_segmentation(finding.outline),
    }


def _as_segmentation(outline: Outline | None) -> object:
    if outline is None:
        return []
    if isinstance(outline, masks.Rle):
        return outline.as_coco()
    return [ring.reshape(-1).tolist() for ring in outline]


def _area(finding: Finding) -> float:
    if finding.outline is None:
        return float(boxes.area(finding.xyxy[None])[0])
    if isinstance(finding.outline, masks.Rle):
        return float(masks.pixels(finding.outline))
    return float(sum(_area_within(ring[:, 0], ring[:, 1]) for ring in finding.outline))


def _area_within(x: Any, y: Any) -> float:
    """Returns the area of a polygon by the shoelace formula."""
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2
