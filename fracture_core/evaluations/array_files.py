"""Files of named arrays, and whether the run-length codes in them are sound.

A file is NumPy's npz, not compressed, without pickled objects. What it says of itself is checked
against its size before an array is made of it, so that no file, however it came about, takes more
memory than it has bytes. Run-length codes of masks are checked many at once, as the coder itself
trusts what it is given.
"""

import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fracture_core.errors import ConfigError
from fracture_core.files import replacing
from fracture_core.types import Int64s

# ---- run-length codes ----------------------------------------------------------------------------

Codes = npt.NDArray[np.uint8]
# Even in an image of 2³¹ pixels no run takes more characters than this.
_MOST_CHARACTERS = 7
_BYTES_AT_ONCE = 1 << 20


def are_sound(codes: Codes, lengths: Int64s, pixels: Int64s) -> bool:
    """Whether the runs of each of (M,) codes, one after the other, fill its `pixels` (M,).

    `lengths` (M,) are the codes' bytes and add up to all of `codes`. A code is COCO's string: base
    32, low digits first, each run from the fourth on as its difference from the run before the
    last.
    """
    if not len(lengths):
        return True
    if lengths.min() < 1:
        return False
    ends = np.cumsum(lengths)
    cuts = np.searchsorted(ends, np.arange(_BYTES_AT_ONCE, int(ends[-1]), _BYTES_AT_ONCE))
    for some in np.split(np.arange(len(lengths)), np.unique(cuts)):
        if len(some):
            start = int(ends[some[0]] - lengths[some[0]])
            part = codes[start : int(ends[some[-1]])]
            if not _are_sound(part.astype(np.int64) - 48, lengths[some], pixels[some]):
                return False
    return True


def _are_sound(digits: Int64s, lengths: Int64s, pixels: Int64s) -> bool:
    mask = np.repeat(np.arange(len(lengths)), lengths)
    is_last = (digits & 32) == 0
    if digits.min() < 0 or digits.max() > 63 or not is_last[np.cumsum(lengths) - 1].all():
        return False
    number = np.cumsum(is_last) - is_last
    firsts = np.flatnonzero(np.diff(number, prepend=-1))
    place = np.arange(len(digits)) - firsts[number]
    if place.max() >= _MOST_CHARACTERS:
        return False
    steps = np.add.reduceat((digits & 31) << (5 * place), firsts)
    last = np.flatnonzero(is_last)
    # The highest of the five bits of the last digit is the sign.
    steps -= np.where(digits[last] & 16, np.int64(1) << (5 * (place[last] + 1)), 0)
    runs = _runs(steps, mask[firsts])
    whole = np.bincount(mask[firsts], runs, len(lengths))
    return bool(runs.min() >= 0 and (whole == pixels).all())


def _runs(steps: Int64s, mask: Int64s) -> Int64s:
    """(R,) runs from their differences; behind the first run, even and odd ones add up apart."""
    begins = np.flatnonzero(np.diff(mask, prepend=-1))
    rank = np.arange(len(mask)) - np.repeat(begins, np.diff(np.append(begins, len(mask))))
    chain = 3 * mask + np.where(rank == 0, 0, 1 + rank % 2)
    order = np.argsort(chain, kind="stable")
    sums, heads = np.cumsum(steps[order]), np.flatnonzero(np.diff(chain[order], prepend=-1))
    before = np.append(0, sums)[heads]
    runs = np.empty_like(steps)
    runs[order] = sums - np.repeat(before, np.diff(np.append(heads, len(order))))
    return runs


# ---- files ---------------------------------------------------------------------------------------

Array = npt.NDArray[Any]
_HEADER_BYTES = 4_096


def write_arrays(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write the arrays to a file, which is renamed into place; raises StorageError."""
    with replacing(path) as part, part.open("wb") as file:
        np.savez(file, allow_pickle=False, **dict(arrays))


def read_arrays(
    path: Path,
    kinds: Mapping[str, tuple[str, int]],
    optional: Mapping[str, tuple[str, int]] | None = None,
) -> dict[str, Array]:
    """Return the arrays named in `kinds`, read-only.

    `kinds` gives each the dtype, such as "<f4", and the number of dimensions that it must have.
    Those of `optional` are all there or all missing. Raises ConfigError for a file that is missing,
    damaged or holds other arrays.
    """
    try:
        with zipfile.ZipFile(path) as file:
            if optional and any(f"{name}.npy" in file.namelist() for name in optional):
                kinds = {**kinds, **optional}
            return {name: _read(file, path, name, *kind) for name, kind in kinds.items()}
    except FileNotFoundError as error:
        raise ConfigError(path, expected="stored answers", found="no such file") from error
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        found = str(error).split("\n", maxsplit=1)[0][:200] or type(error).__name__
        raise ConfigError(path, expected="stored answers", found=found) from error


def texts_to_arrays(texts: Sequence[str]) -> tuple[Array, Array]:
    """Return the texts as one run of bytes in UTF-8, and the length of each in bytes.

    Example:
        >>> texts_to_arrays(["arm", "leg bone"])[1].tolist()
        [3, 8]
    """
    codes = [text.encode("utf-8") for text in texts]
    lengths = np.array([len(code) for code in codes], dtype="<i4")
    return np.frombuffer(b"".join(codes), dtype=np.uint8), lengths


def texts_of(path: Path, lengths: Array, data: Array) -> tuple[str, ...]:
    """Return the texts of such a run of bytes; raises ConfigError where the lengths do not add up
    to it or it is not UTF-8.
    """
    ends = np.cumsum(lengths, dtype=np.int64)
    if (lengths < 0).any() or (ends[-1] if len(ends) else 0) != len(data):
        raise ConfigError(path, expected=f"{len(lengths)} names", found=f"{len(data)} bytes")
    starts, code = (ends - lengths).tolist(), data.tobytes()
    try:
        pairs = zip(starts, ends.tolist(), strict=True)
        return tuple(code[start:stop].decode("utf-8") for start, stop in pairs)
    except UnicodeDecodeError as error:
        raise ConfigError(path, expected="names in UTF-8", found="other bytes") from error


def _read(file: zipfile.ZipFile, path: Path, name: str, dtype: str, dimensions: int) -> Array:
    try:
        member = file.getinfo(f"{name}.npy")
    except KeyError as error:
        raise ConfigError(path, expected=f"an array '{name}'", found="none") from error
    if member.compress_type != zipfile.ZIP_STORED:
        raise ConfigError(path, expected="arrays as they are", found=f"'{name}' packed")
    data = file.read(member)
    start, shape, found = _header(data)
    size = np.dtype(dtype).itemsize
    for side in shape:
        size *= side
    if found != np.dtype(dtype) or len(shape) != dimensions or size != len(data) - start:
        expected = f"'{name}' of {dtype} in {dimensions} dimensions"
        said = f"{found.str} of shape {shape} in {len(data) - start} bytes"
        raise ConfigError(path, expected=expected, found=said[:200])
    return np.frombuffer(data, dtype=found, offset=start).reshape(shape)


def _header(data: bytes) -> tuple[int, tuple[int, ...], np.dtype[Any]]:
    """Where the numbers begin, their shape and type; raises ValueError for another format."""
    stream = io.BytesIO(data[:_HEADER_BYTES])
    version = np.lib.format.read_magic(stream)
    if version != (1, 0):
        raise ValueError(f"an array of format {version}")
    shape, by_columns, dtype = np.lib.format.read_array_header_1_0(stream)
    if by_columns and len(shape) > 1:
        raise ValueError("an array stored by columns")
    return stream.tell(), shape, dtype
