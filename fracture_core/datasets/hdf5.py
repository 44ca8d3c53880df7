"""HDF5 files: safe reading of files from anywhere, and writing of the RSNA layout.

Read: nothing that leads out of the file is followed. Damage is noticed where headers contradict
each other or the file, chunks are lost, moved, overlapping or outside the file, bytes were added or
removed, or types are not standard ones. Changed values are noticed in arrays that carry Fletcher-32
checksums, as all that this project writes do; elsewhere only where a value becomes impossible.

Written: slices of one size, boxes, labels and splits in one file. `images` (N, H, W) float32 in [0,
1], from the least to the greatest value of each slice, uncompressed, one chunk a slice · `bboxes`
(N, 10, 4) float32 · `labels`, `split` (N,) int8 · `StudyInstanceUID`, `SliceNumber` (N,) texts of
fixed length, which checksums need. Every value is under a Fletcher-32 checksum, and every header
under one of the format's own, which takes HDF5 1.10 or newer to read. The file's attribute
`attributes`, JSON, tells what its images are.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fracture_core import boxes, importing
from fracture_core.boxes import Floats
from fracture_core.datasets.layout import SPLITS
from fracture_core.errors import DatasetError
from fracture_core.types import Pixels

# ---- reading -------------------------------------------------------------------------------------


_MAX_COLUMN_BYTES = 2**28
_MAX_CHUNK_BYTES = 2**28
_MAX_TEXT = 256
_MAX_TEXT_BYTES = 4 * _MAX_TEXT
_TEXT_ROWS = 512
# A text of variable length is held as its length, an address and an index (specification, VIII.C).
_REFERENCE_BYTES = 16
# Where a superblock holds the file's end, by its version (HDF5 file format specification, II.A).
_END_AT = {0: 40, 1: 44, 2: 28, 3: 28}


@contextmanager
def open_hdf5(path: Path) -> Iterator[Any]:
    """Opens an `h5py.File` for reading; raises DatasetError if it is not one, or damaged.

    Errors that h5py raises on damaged data inside the `with` block become DatasetError as well.
    """
    # Imported on first use: most sessions never open one.
    h5py = importing.load("h5py")
    try:
        file = h5py.File(path, "r", locking="best-effort")
    except OSError as error:
        raise DatasetError(path, expected="an HDF5 file", found="no readable one") from error
    try:
        with file:
            yield file
    # What h5py raises on a damaged header, found by changing bytes at random.
    except (OSError, RuntimeError, LookupError, TypeError, ValueError, OverflowError) as error:
        raise DatasetError(
            path, expected="an undamaged HDF5 file", found="data that cannot be read"
        ) from error


def find_array(file: Any, path: Path, key: str, ndim: int, kinds: str) -> Any:
    """Returns the `h5py.Dataset` of a key after checking that it is safe to read; raises
    DatasetError.

    It must lie in the file itself, have `ndim` dimensions, a dtype of one of NumPy's `kinds` ("O" =
    text of variable length), and no chunk over 256 MiB.
    """
    h5py = importing.load("h5py")
    if file.get(key, getlink=True) is None:
        keys = ", ".join(sorted(map(str, file))[:10]) or "no key at all"
        raise DatasetError(path, expected=f"the key '{key}'", found=keys)
    if not isinstance(file.get(key, getlink=True), h5py.HardLink):
        raise DatasetError(path, expected=f"'{key}' in the file itself", found="a link elsewhere")
    array = file[key]
    if not isinstance(array, h5py.Dataset):
        raise DatasetError(path, expected=f"'{key}' to be an array", found="a group")
    if array.is_virtual or array.external:
        raise DatasetError(path, expected=f"'{key}' in the file itself", found="data elsewhere")
    if array.shape is None or array.ndim != ndim:
        raise DatasetError(
            path, expected=f"'{key}' with {ndim} dimensions", found=f"shape {array.shape}"
        )
    if not _is_of(array, kinds, h5py):
        raise DatasetError(path, expected=f"'{key}' of {_words(kinds)}", found=f"{array.dtype}")
    if (
        array.chunks
        and np.prod(array.chunks, dtype=float) * array.dtype.itemsize > _MAX_CHUNK_BYTES
    ):
        raise DatasetError(
            path, expected=f"'{key}' in chunks of at most 256 MiB", found=f"{array.chunks}"
        )
    return array


def check_storage(arrays: Mapping[str, Any], file: Any, path: Path) -> None:
    """Raises DatasetError unless all values lie within the file, complete and without overlap."""
    size = path.stat().st_size
    end = _declared_end(path, int(file.userblock_size))
    if end not in (None, size):
        raise DatasetError(
            path, expected=f"{end:,} bytes, as its header says", found=f"{size:,}: it is damaged"
        )
    extents: list[tuple[int, int, str]] = []
    for key, array in arrays.items():
        extents += _extents(array, path, key)
    reached, before = 0, ""
    for start, length, key in sorted(extents):
        if start < reached or start + length > size:
            where = f"over those of '{before}'" if start < reached else "outside of the file"
            raise DatasetError(path, expected=f"values of '{key}' in their place", found=where)
        reached, before = start + length, key


def has_checksums(array: Any) -> bool:
    """Tells whether every chunk of an array has a Fletcher-32 checksum, which reading verifies."""
    return bool(array.fletcher32)


def _declared_end(path: Path, start: int) -> int | None:
    with path.open("rb") as file:
        file.seek(start)
        head = file.read(64)
    at = _END_AT.get(head[8])
    return None if at is None else int.from_bytes(head[at : at + 8], "little")


def _extents(array: Any, path: Path, key: str) -> list[tuple[int, int, str]]:
    """Returns (start, bytes, key) of each piece of an array; raises DatasetError where one is
    missing.
    """
    itemsize = _REFERENCE_BYTES if array.dtype.kind == "O" else array.dtype.itemsize
    if array.chunks is None:
        due = int(np.prod(array.shape, dtype=object)) * itemsize
        start, found = array.id.get_offset(), array.id.get_storage_size()
        # Small arrays may lie in the header itself, which tells no offset.
        extents = [] if start is None else [(int(start), int(found), key)]
    else:
        limits = zip(array.chunks, array.maxshape, strict=True)
        if any(most is not None and chunk > most for chunk, most in limits):
            raise DatasetError(
                path, expected=f"'{key}' in chunks within its shape", found=f"{array.chunks}"
            )
        grid = zip(array.shape, array.chunks, strict=True)
        due = int(np.prod([-(-side // chunk) for side, chunk in grid], dtype=object))
        extents = _chunks(array, key)
        found = len(extents)
    if found != due:
        what = "bytes" if array.chunks is None else "chunks"
        raise DatasetError(path, expected=f"'{key}' in {due:,} {what}", found=f"{found:,}")
    return extents


def _chunks(array: Any, key: str) -> list[tuple[int, int, str]]:
    found: list[tuple[int, int, str]] = []
    array.id.chunk_iter(lambda chunk: found.append((chunk.byte_offset, chunk.size, key)))
    return found


def read_numbers(array: Any, path: Path) -> npt.NDArray[Any]:
    """Returns all of a small array of numbers; raises DatasetError above 256 MiB."""
    size = int(np.prod(array.shape, dtype=object)) * array.dtype.itemsize
    if size > _MAX_COLUMN_BYTES:
        raise DatasetError(
            path, expected=f"'{array.name[1:]}' of at most 256 MiB", found=f"shape {array.shape}"
        )
    return np.asarray(array[()])


def read_texts(array: Any, path: Path) -> list[str]:
    """Returns an (N,) array of texts or whole numbers as texts; raises DatasetError for one that is
    empty, over 256 characters long or not printable.
    """
    texts: list[str] = []
    for start in range(0, array.shape[0], _TEXT_ROWS):
        block = array[start : start + _TEXT_ROWS].tolist()
        for row, value in enumerate(block, start=start):
            texts.append(_text(value, path, f"'{array.name[1:]}' row {row}"))
    return texts


def _text(value: object, path: Path, place: str) -> str:
    text = value.decode("utf-8", errors="replace") if isinstance(value, bytes) else str(value)
    if not text or len(text) > _MAX_TEXT or not text.isprintable():
        raise DatasetError(
            path,
            expected=f"{place} to be a text of 1 to {_MAX_TEXT} characters",
            found=f"{len(text)} characters" if text.isprintable() else "control characters",
        )
    return text


def _is_of(array: Any, kinds: str, h5py: Any) -> bool:
    if array.dtype.kind == "O":
        return "O" in kinds and h5py.check_string_dtype(array.dtype) is not None
    if array.dtype.kind in "fiu" and not array.id.get_type().equal(h5py.h5t.py_create(array.dtype)):
        # A damaged type, such as one with a longer exponent, would be converted silently.
        return False
    return array.dtype.kind in kinds and array.dtype.itemsize <= _MAX_TEXT_BYTES


def _words(kinds: str) -> str:
    words = {"f": "floating point numbers", "i": "whole numbers", "O": "text"}
    return " or ".join(word for kind, word in words.items() if kind in kinds)


# ---- writing -------------------------------------------------------------------------------------


MOST_BOXES = 10
_ROWS_AHEAD = 32


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Slice:
    """One row to write: `image` (H, W) float32 in [0, 1] · `xyxy` (K, 4) in its pixels, K ≤ 10 ·
    `split` is "train", "val" or "test" · `study` and `number` name the slice.
    """

    image: Floats
    xyxy: Floats
    fractured: bool
    split: str
    study: str
    number: str


def write_rsna(
    slices: Iterable[Slice],
    path: Path,
    *,
    attributes: Mapping[str, str] | None = None,
    corners: bool = False,
) -> None:
    """Writes a file in the RSNA layout, one slice at a time; raises ValueError for a slice of over
    ten boxes.

    Boxes are written as xywh padded with −1, or with `corners` as xyxy padded with 0. `attributes`
    are what is known of all slices alike; None means that they are those of the challenge.
    """
    with importing.LOCK:
        import h5py

    rows: list[Slice] = []
    with h5py.File(path, "w", libver=("v110", "v110")) as file:
        for each in slices:
            images = _images(file, each.image.shape, len(rows))
            images[len(rows)] = each.image
            # The pixels are on the disk: only what the columns need is kept in memory.
            rows.append(_without_image(each))
        if attributes is not None:
            # Bytes lie in a header, which has a checksum; a text of variable length would not.
            file.attrs["attributes"] = np.bytes_(json.dumps(dict(attributes)))
        file["images"].resize(len(rows), axis=0)
        columns = {
            "bboxes": np.stack([_box_rows(row.xyxy, corners) for row in rows]),
            "labels": np.array([row.fractured for row in rows], dtype=np.int8),
            "split": np.array([SPLITS.index(row.split) for row in rows], dtype=np.int8),
            "StudyInstanceUID": _texts([row.study for row in rows]),
            "SliceNumber": _texts([row.number for row in rows]),
        }
        for key, values in columns.items():
            file.create_dataset(key, data=values, fletcher32=True)


def normed(pixels: Pixels) -> Floats:
    """Returns pixels as (H, W) float32 in [0, 1]: the least value of the slice is 0, its greatest
    1.

    Example:
        >>> normed(np.array([[10, 20, 30]], dtype=np.uint8)).tolist()
        [[0.0, 0.5, 1.0]]
    """
    values = pixels.astype(np.float32)
    low, high = values.min(), values.max()
    return np.asarray((values - low) / max(high - low, np.float32(1)), dtype=np.float32)


def _images(file: Any, shape: tuple[int, ...], row: int) -> Any:
    if row == 0:
        file.create_dataset(
            "images",
            (0, *shape),
            "float32",
            maxshape=(None, *shape),
            # A checksum covers a whole chunk: reading one slice must not take reading others.
            chunks=(1, *shape),
            fletcher32=True,
        )
    images = file["images"]
    if row == len(images):
        images.resize(row + _ROWS_AHEAD, axis=0)
    return images


def _texts(texts: list[str]) -> Any:
    """Returns the texts in HDF5's type of UTF-8 texts of fixed length, that of the longest."""
    with importing.LOCK:
        import h5py

    coded = [text.encode() for text in texts]
    return np.array(coded, dtype=h5py.string_dtype("utf-8", max(map(len, coded))))


def _without_image(row: Slice) -> Slice:
    return Slice(
        image=np.empty((0, 0), np.float32),
        xyxy=row.xyxy,
        fractured=row.fractured,
        split=row.split,
        study=row.study,
        number=row.number,
    )


def _box_rows(xyxy: Floats, corners: bool) -> Floats:
    if len(xyxy) > MOST_BOXES:
        raise ValueError(f"xyxy: expected at most {MOST_BOXES} boxes, got {len(xyxy)}")
    rows = np.full((MOST_BOXES, 4), 0.0 if corners else -1.0, dtype=np.float32)
    rows[: len(xyxy)] = xyxy if corners else boxes.xyxy_to_xywh(xyxy)
    return rows
