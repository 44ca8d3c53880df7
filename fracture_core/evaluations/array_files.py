"""Arrays by name in one file: NumPy's npz, not packed, without pickled objects.

What a file says of itself is held against its size before anything is made of it, so that no file,
however it came about, takes more memory than it has bytes.
"""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fracture_core.errors import ConfigError

Array = npt.NDArray[Any]
_HEADER_BYTES = 4_096


def write_arrays(path: Path, arrays: Mapping[str, Array]) -> None:
    """By rename."""
    part = path.with_name(f"{path.name}.part")
    with part.open("wb") as file:
        np.savez(file, allow_pickle=False, **dict(arrays))
    part.replace(path)


def read_arrays(path: Path, kinds: Mapping[str, tuple[str, int]]) -> dict[str, Array]:
    """The arrays named in `kinds`, each with the dtype, such as "<f4", and the number of dimensions
    that it must have; read-only. Raises ConfigError.
    """
    try:
        with zipfile.ZipFile(path) as file:
            return {name: _read(file, path, name, *kind) for name, kind in kinds.items()}
    except FileNotFoundError as error:
        raise ConfigError(path, expected="stored answers", found="no such file") from error
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        found = str(error).split("\n", maxsplit=1)[0][:200] or type(error).__name__
        raise ConfigError(path, expected="stored answers", found=found) from error


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
