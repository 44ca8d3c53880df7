"""YOLO data sets: pictures in `images`, label files of the same name in `labels`, a `data.yaml`.

A missing label file leaves the truth of its picture unknown; an empty one says nothing is there;
one with a line that makes no sense leaves it unknown, with a warning. A picture's class, for
classifiers, is the class of the first line. A box of a class such as "Healthy" stays a box.
"""

from collections.abc import Mapping
from pathlib import Path

from fracture_core.datasets import doubts
from fracture_core.datasets.findings import Finding, keep_usable
from fracture_core.datasets.layout import PICTURE_SUFFIXES, SPLIT_NAMES, Folders, group_of
from fracture_core.datasets.pictures import PictureRecord
from fracture_core.datasets.records import RecordedDataset, warn_of_doubts
from fracture_core.datasets.tally import Tally, counted, quoted
from fracture_core.datasets.yolo_labels import MAX_LABEL_BYTES, parse_label
from fracture_core.datasets.yolo_yaml import DATA_FILES, DataFile, read_data_file
from fracture_core.errors import DatasetError

Places = tuple[tuple[str, Path], ...]


def find_data_file(folder: Path) -> Path | None:
    """The data.yaml of a folder, if it has one."""
    return next((folder / name for name in DATA_FILES if (folder / name).is_file()), None)


def looks_like_yolo(path: Path) -> bool:
    """Whether this is a YAML file, or a folder with one or with pictures and labels in place."""
    if not path.is_dir():
        return path.suffix.lower() in {".yaml", ".yml"}
    if find_data_file(path) is not None:
        return True
    return any(_label_folder(place, path).is_dir() for _, place in _usual_places(path))


def open_yolo(path: Path) -> RecordedDataset:
    """Open a folder or its data.yaml; raises DatasetError."""
    folders, tally = Folders(root=path if path.is_dir() else path.parent), Tally()
    data_path = find_data_file(folders.root) if path.is_dir() else folders.root / path.name
    data = read_data_file(data_path, folders, tally) if data_path else None
    places = (data.places if data else ()) or _usual_places(folders.root)
    records = _read_records(folders, places, data, tally)
    if not records:
        raise DatasetError(
            path, expected="images in 'images', label files in 'labels'", found="no image"
        )
    classes = data.classes if data else _numbered_classes(records)
    if data is None:
        tally.add("Folder without data.yaml, classes are numbers", folders.root.name)
    warn_of_doubts(records, classes, tally)
    return RecordedDataset(
        name=folders.root.name,
        path=path,
        format="yolo",
        classes=classes,
        records=records,
        found=_describe(data, places, folders, records, classes),
        warnings=tally.sentences(),
        doubts=tally.doubts(),
    )


def _usual_places(root: Path) -> Places:
    inside_splits = [(split, root / name / "images") for name, split in SPLIT_NAMES.items()]
    inside_images = [(split, root / "images" / name) for name, split in SPLIT_NAMES.items()]
    splits = tuple(place for place in inside_splits + inside_images if place[1].is_dir())
    if splits or not (root / "images").is_dir():
        return splits
    return (("", root / "images"),)


def _label_folder(pictures: Path, root: Path) -> Path:
    # The last "images" below the root becomes "labels"; without one, labels lie beside pictures.
    parts = list(pictures.relative_to(root).parts)
    for i in reversed(range(len(parts))):
        if parts[i] == "images":
            parts[i] = "labels"
            break
    return root.joinpath(*parts)


def _read_records(
    folders: Folders, places: Places, data: DataFile | None, tally: Tally
) -> dict[str, PictureRecord]:
    records: dict[str, PictureRecord] = {}
    for split, place in places:
        used = set()
        for path in folders.walk(place):
            if path.suffix.lower() not in PICTURE_SUFFIXES:
                continue
            sample_id = folders.relative(path)
            if not sample_id.isprintable():
                tally.add("Images with names that cannot be shown, left out", quoted(sample_id))
                continue
            label_path = _label_folder(path.parent, folders.root) / f"{path.stem}.txt"
            if sample_id in records:
                tally.add(doubts.IN_TWO_SPLITS, sample_id, sample_id)
                continue
            if label_path in used:
                tally.add("Label files of two images", folders.relative(label_path))
            used.add(label_path)
            record = _record(path, label_path, split, folders, data, tally)
            records[record.sample_id] = record
        _count_orphans(folders, place, used, tally)
    return records


def _record(
    path: Path,
    label_path: Path,
    split: str,
    folders: Folders,
    data: DataFile | None,
    tally: Tally,
) -> PictureRecord:
    sample_id = folders.relative(path)
    listed = _read_label(label_path, folders, data.numbers if data else None, sample_id, tally)
    if listed is None and not folders.holds(label_path):
        tally.add(doubts.NO_LABELS, sample_id, sample_id)
    return PictureRecord(
        sample_id=sample_id,
        group_id=group_of(sample_id),
        split=split,
        path=path,
        findings=None if listed is None else keep_usable(listed, 1, 1, tally, sample_id),
        image_class=listed[0].label if listed else None,
    )


def _read_label(
    path: Path,
    folders: Folders,
    numbers: Mapping[int, int] | None,
    sample_id: str,
    tally: Tally,
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
        tally.add(doubts.UNREADABLE_LABELS, str(error).rstrip("."), sample_id)
        return None


def _count_orphans(folders: Folders, place: Path, used: set[Path], tally: Tally) -> None:
    for path in folders.walk(_label_folder(place, folders.root)):
        if path.suffix == ".txt" and path not in used:
            tally.add("Label files without an image", folders.relative(path))


def _numbered_classes(records: Mapping[str, PictureRecord]) -> tuple[str, ...]:
    found = (finding.label for record in records.values() for finding in record.findings or ())
    listed = (record.image_class or 0 for record in records.values())
    return tuple(f"class {number}" for number in range(max([*found, *listed]) + 1))


def _describe(
    data: DataFile | None,
    places: Places,
    folders: Folders,
    records: Mapping[str, PictureRecord],
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
