"""Which format a data set is in."""

from dataclasses import replace
from pathlib import Path

from fracture_core.datasets.attributes import join_tables
from fracture_core.datasets.base import Dataset
from fracture_core.datasets.coco import coco_root, find_coco_files, open_coco
from fracture_core.datasets.records import RecordedDataset
from fracture_core.datasets.rsna import open_rsna
from fracture_core.datasets.told import join_told
from fracture_core.datasets.yolo import find_data_file, looks_like_yolo, open_yolo
from fracture_core.errors import DatasetError

_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_HDF5_SUFFIXES = frozenset({".h5", ".hdf5"})
_EXPECTED = (
    "an RSNA HDF5 file, a COCO JSON file, a YOLO data.yaml, or a folder that holds one of them"
)


def open_dataset(path: Path | str) -> Dataset:
    """Open a data set: a file or a folder; raises DatasetError.

    A folder with several formats is opened as HDF5, else COCO, else YOLO; name the JSON file or
    data.yaml itself to choose. Tables of attributes in its folder are joined, see `attributes`, and
    what a reader told of the whole set, see `told`.
    """
    path = Path(path)
    try:
        if path.is_dir():
            return join_told(join_tables(_open_folder(path), path))
        if path.is_file():
            dataset = _open_file(path)
            is_coco = dataset.format == "coco"
            folder = coco_root(path) if is_coco else path.parent
            return join_told(join_tables(dataset, folder))
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise DatasetError(
            path, expected="files that can be read", found=f"{reason}: {error.filename}"
        ) from error
    raise DatasetError(path, expected=_EXPECTED, found="no such file or folder")


def is_dataset(path: Path) -> bool:
    """Whether a path looks like a data set rather than pictures; nothing is opened in full."""
    if path.is_file():
        return _kind_of_file(path) != ""
    return bool(_hdf5_files(path) or find_coco_files(path) or looks_like_yolo(path))


def _open_file(path: Path) -> RecordedDataset:
    kind = _kind_of_file(path)
    if kind == "hdf5":
        return open_rsna(path)
    if kind == "coco":
        return open_coco(path)
    if kind == "yolo":
        return open_yolo(path)
    raise DatasetError(path, expected=_EXPECTED, found=f"a file of {path.stat().st_size:,} bytes")


def _kind_of_file(path: Path) -> str:
    suffix = path.suffix.lower()
    with path.open("rb") as file:
        if suffix in _HDF5_SUFFIXES or file.read(8) == _HDF5_SIGNATURE:
            return "hdf5"
    return {".json": "coco", ".yaml": "yolo", ".yml": "yolo"}.get(suffix, "")


def _hdf5_files(folder: Path) -> list[Path]:
    return sorted(each for each in folder.iterdir() if each.suffix.lower() in _HDF5_SUFFIXES)


def _open_folder(folder: Path) -> RecordedDataset:
    if hdf5 := _hdf5_files(folder):
        if len(hdf5) > 1:
            names = ", ".join(path.name for path in hdf5)
            raise DatasetError(
                folder, expected="one HDF5 file", found=names, advice="Name the file itself."
            )
        return open_rsna(hdf5[0])
    if find_coco_files(folder):
        dataset = open_coco(folder)
        if not looks_like_yolo(folder):
            return dataset
        other = find_data_file(folder)
        advice = f"; open {other.name} for them" if other else ""
        return replace(dataset, found=f"{dataset.found} YOLO label files lie beside it{advice}.")
    if looks_like_yolo(folder):
        return open_yolo(folder)
    raise DatasetError(folder, expected=_EXPECTED, found="a folder without any")
