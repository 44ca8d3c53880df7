"""Arrays by name in one file: NumPy's npz, not packed, without pickled objects.

What a file says of itself is held against its size before anything is made of it, so that no file,
however it came about, takes more memory than it has bytes.
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

Array = npt.NDArray[Any]
_HEADER_BYTES = 4_096


def write_arrays(path: Path, arrays: Mapping[str, Array]) -> None:
    """By rename; raises StorageError."""
    with replacing(path) as part, part.open("wb") as file:
        np.savez(file, allow_pickle=False, **dict(arrays))


def read_arrays(
    path: Path,
    kinds: Mapping[str, tuple[str, int]],
    optional: Mapping[str, tuple[str, int]] | None = None,
) -> dict[str, Array]:
    """The arrays named in `kinds`, each with the dtype, such as "<f4", and the number of dimensions
    that it must have; read-only. Those of `optional` are all there or left out together. Raises
    ConfigError.
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
    """Texts as one run of bytes in UTF-8, and the length of each."""
    codes = [text.encode("utf-8") for text in texts]
    lengths = np.array([len(code) for code in codes], dtype="<i4")
    return np.frombuffer(b"".join(codes), dtype=np.uint8), lengths


def texts_of(path: Path, lengths: Array, data: Array) -> tuple[str, ...]:
    """The texts of such a run; raises ConfigError."""
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
    """Where the numbers begin, their shape and type; raises ValueError."""
    stream = io.BytesIO(data[:_HEADER_BYTES])
    version = np.lib.format.read_magic(stream)
    if version != (1, 0):
        raise ValueError(f"an array of format {version}")
    shape, by_columns, dtype = np.lib.format.read_array_header_1_0(stream)
    if by_columns and len(shape) > 1:
        raise ValueError("an array stored by columns")
    return stream.tell(), shape, dtype
