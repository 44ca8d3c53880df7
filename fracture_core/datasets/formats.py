"""The formats of data sets: how each is recognised and opened and, for most, written.

Four formats come along. A format of another package is found by its entry point in the group
`fracture_core.formats`, which names a `DatasetFormat` (see `fracture_core.extensions`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fracture_core.datasets.coco import CocoWriter, coco_root, looks_like_coco, open_coco
from fracture_core.datasets.records import RecordedDataset
from fracture_core.datasets.rsna import looks_like_rsna, open_rsna
from fracture_core.datasets.rsna_writing import Hdf5Writer
from fracture_core.datasets.voc import (
    VocWriter,
    looks_like_voc,
    open_voc,
    voc_annotations,
    voc_root,
)
from fracture_core.datasets.writing import Writer
from fracture_core.datasets.yolo import YoloWriter, find_data_file, looks_like_yolo, open_yolo
from fracture_core.errors import ConfigError
from fracture_core.extensions import load_extensions

GROUP = "fracture_core.formats"


def _folder_of(path: Path) -> Path:
    return path if path.is_dir() else path.parent


def _nothing(folder: Path) -> Path | None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetFormat:
    """One format: what it is called, how it is recognised, opened and written.

    `name` is what options call it and what `Dataset.format` holds · `title` names its files on
    pages, in the plural · `example` says, with an article, what a person may name to open it ·
    `looks_like` tells whether a file or folder may be one, without opening it in full · `open`
    raises DatasetError · `write` is None where the format can only be read · `root` gives the
    folder of the data set that a path belongs to · `choose` gives what to name for this format in a
    folder that holds several, or None.
    """

    name: str
    title: str
    example: str
    looks_like: Callable[[Path], bool]
    open: Callable[[Path], RecordedDataset]
    write: type[Writer] | None = None
    root: Callable[[Path], Path] = _folder_of
    choose: Callable[[Path], Path | None] = _nothing


HDF5 = DatasetFormat(
    name="hdf5",
    title="RSNA HDF5 files",
    example="an RSNA HDF5 file",
    looks_like=looks_like_rsna,
    open=open_rsna,
    write=Hdf5Writer,
)
COCO = DatasetFormat(
    name="coco",
    title="COCO JSON files",
    example="a COCO JSON file",
    looks_like=looks_like_coco,
    open=open_coco,
    write=CocoWriter,
    root=lambda path: path if path.is_dir() else coco_root(path),
)
YOLO = DatasetFormat(
    name="yolo",
    title="YOLO label files",
    example="a YOLO data.yaml",
    looks_like=looks_like_yolo,
    open=open_yolo,
    write=YoloWriter,
    choose=find_data_file,
)
VOC = DatasetFormat(
    name="voc",
    title="Pascal VOC files",
    example="a Pascal VOC folder",
    looks_like=looks_like_voc,
    open=open_voc,
    write=VocWriter,
    root=voc_root,
    choose=voc_annotations,
)

FORMATS: Mapping[str, DatasetFormat] = {each.name: each for each in (HDF5, COCO, YOLO, VOC)}
"""The formats of this package by name. Where a folder holds several, the first is opened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """Every format by name, this package's own first · `broken` holds a sentence for each that
    could not be loaded.
    """

    formats: Mapping[str, DatasetFormat]
    broken: tuple[str, ...]


@cache
def installed() -> Installed:
    """Returns this package's formats and those of other packages, looked for once a process."""
    others = load_extensions(GROUP, DatasetFormat, FORMATS)
    return Installed(
        formats={**FORMATS, **{each.name: each for each in others.found}}, broken=others.broken
    )


def writable() -> Mapping[str, type[Writer]]:
    """Returns the writer of each format that has one, by the format's name."""
    formats = installed().formats
    return {name: each.write for name, each in formats.items() if each.write is not None}


def writer_of(name: str) -> type[Writer]:
    """Returns the writer of a format; raises ConfigError, which lists what can be written."""
    writers = writable()
    if name not in writers:
        is_read = name in installed().formats
        raise ConfigError(
            "to",
            expected=f"one of {', '.join(writers)}",
            found=f"{name!r}, which can be read but not written" if is_read else repr(name),
        )
    return writers[name]


def listed() -> str:
    """Returns a text for people: a line for each format, then a sentence for each broken one."""
    found = installed()
    width = max(map(len, found.formats))
    lines = [
        f"{each.name:<{width}}  {'read and written' if each.write else 'read':<16}  {each.title}"
        for each in found.formats.values()
    ]
    if found.broken:
        lines += ["", "Cannot be used", *(f"  {sentence}" for sentence in found.broken)]
    return "\n".join(lines)
