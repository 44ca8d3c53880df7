"""COCO data sets: one JSON file or several, a split each, and the pictures they name.

Classes are the categories in the order of their ids. A category that only heads a group of others
and has no box (Roboflow writes one) is no class; any other without a box stays, so that the files
of one data set agree. Only pictures inside the data set's folder are opened.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from fracture_core.datasets import doubts
from fracture_core.datasets.coco_json import CocoFile, CocoPicture, is_coco, read_coco
from fracture_core.datasets.findings import keep_usable
from fracture_core.datasets.layout import (
    Folders,
    group_of,
    relative_name,
    split_of_file,
    split_of_folder,
)
from fracture_core.datasets.pictures import PictureRecord, size_of
from fracture_core.datasets.records import RecordedDataset, warn_of_doubts
from fracture_core.datasets.tally import Tally, counted, quoted
from fracture_core.errors import DatasetError, PictureError


def looks_like_coco(path: Path) -> bool:
    """Whether this is a JSON file, or a folder that holds a COCO file."""
    return bool(find_coco_files(path)) if path.is_dir() else path.suffix.lower() == ".json"


def find_coco_files(folder: Path) -> tuple[Path, ...]:
    """COCO files in a folder or one level below it, by name."""
    folders = Folders(root=folder)
    places = [folders.root, *_subfolders(folders.root)]
    files = [place / name for place in places for name in sorted(folders.files(place))]
    return tuple(path for path in files if path.suffix.lower() == ".json" and is_coco(path))


def open_coco(path: Path) -> RecordedDataset:
    """Open a COCO file, or all those of a folder; raises DatasetError."""
    folders, tally = Folders(root=path if path.is_dir() else coco_root(path)), Tally()
    paths = find_coco_files(path) if path.is_dir() else (path.resolve(),)
    files = [read_coco(each, _relative(each, folders), tally) for each in paths]
    categories = _merge_categories(files)
    classes = _classes(files, categories, tally)
    numbers = {id_: number for number, id_ in enumerate(classes)}
    records: dict[str, PictureRecord] = {}
    for file in files:
        _add_records(records, file, folders, numbers, tally)
    if not records:
        raise DatasetError(path, expected="the images it lists in its folder", found="none of them")
    names = tuple(classes.values())
    warn_of_doubts(records, names, tally)
    return RecordedDataset(
        name=path.name if path.is_dir() else f"{folders.root.name}/{path.name}",
        path=path,
        format="coco",
        classes=names,
        records=records,
        found=_describe(files, folders, records, names),
        warnings=tally.sentences(),
        doubts=tally.doubts(),
    )


def coco_root(path: Path) -> Path:
    """The folder of the data set that a COCO file belongs to."""
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
    files: Sequence[CocoFile], categories: Mapping[int, str], tally: Tally
) -> Mapping[int, str]:
    used = {
        finding.label for file in files for picture in file.pictures for finding in picture.findings
    }
    headings = frozenset[int]().union(*(file.headings for file in files)) - used
    for id_ in sorted(set(categories) - used):
        if id_ in headings:
            tally.add(doubts.ONLY_HEADING, f"{id_} '{categories[id_]}'")
        else:
            tally.add(doubts.UNUSED_CLASS, f"{id_} '{categories[id_]}'")
    return {id_: name for id_, name in categories.items() if id_ not in headings}


def _add_records(
    records: dict[str, PictureRecord],
    file: CocoFile,
    folders: Folders,
    numbers: Mapping[int, int],
    tally: Tally,
) -> None:
    split = split_of_file(file.path.stem) or split_of_folder(file.path.parent.name)
    places = list(_places(file.path, split, folders))
    for path, picture in _found_pictures(file, places, folders, tally).items():
        sample_id = folders.relative(path)
        if sample_id in records:
            tally.add(doubts.IN_TWO_FILES, sample_id, sample_id)
            continue
        for flaw in picture.flaws:
            tally.add(doubts.UNREADABLE_OBJECTS, flaw, sample_id)
        size = picture.size or _size_of(path, sample_id, tally)
        if size is None:
            continue
        findings = [replace(each, label=numbers[each.label]) for each in picture.findings]
        usable = keep_usable(findings, *size, tally, sample_id)
        is_known = picture.is_known and (usable or not picture.had_objects)
        records[sample_id] = PictureRecord(
            sample_id=sample_id,
            group_id=picture.group_id or group_of(sample_id),
            split=split,
            path=path,
            findings=usable if is_known else None,
            image_class=findings[0].label if findings else None,
            size=size,
            attributes=picture.attributes,
        )


def _size_of(path: Path, sample_id: str, tally: Tally) -> tuple[int, int] | None:
    try:
        return size_of(path, sample_id)
    except PictureError as error:
        tally.add(doubts.UNREADABLE_PICTURE, str(error).rstrip("."), sample_id)
        return None


def _places(path: Path, split: str, folders: Folders) -> Iterator[Path]:
    """Folders a file name may be relative to, the likeliest first."""
    root = folders.root
    if folders.contains(path):
        yield path.parent
    for folder in (*_subfolders(root), *_subfolders(root / "images")):
        if split and split_of_folder(folder.name) == split:
            yield folder
            yield folder / "images"
    yield root / "images"
    yield root


def _found_pictures(
    file: CocoFile, places: Sequence[Path], folders: Folders, tally: Tally
) -> dict[Path, CocoPicture]:
    found: dict[Path, CocoPicture] = {}
    for picture in file.pictures:
        name = relative_name(picture.file_name, file.path)
        path = _find(name, places, folders)
        if path is None:
            tally.add("Images listed but absent, left out", quoted(str(name)))
        elif path in found:
            tally.add("File names listed twice, annotations joined", quoted(str(name)))
            _join(found[path], picture)
        else:
            found[path] = picture
    return found


def _find(name: PurePosixPath, places: Sequence[Path], folders: Folders) -> Path | None:
    return next((place / name for place in places if folders.holds(place / name)), None)


def _join(first: CocoPicture, second: CocoPicture) -> None:
    first.findings += second.findings
    first.flaws += second.flaws
    first.is_known &= second.is_known
    first.had_objects |= second.had_objects


def _describe(
    files: Sequence[CocoFile],
    folders: Folders,
    records: Mapping[str, PictureRecord],
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
