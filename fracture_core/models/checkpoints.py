"""PyTorch `.pt` files opened as what they are: an archive with one pickle and blocks of numbers.

The pickle is read without running it (`fracture_core.models.pickles`), tensors only where they
are asked for, and nothing is allocated that the file does not hold. The layout is that of
`torch.save` since PyTorch 1.6: `NAME/data.pkl` and `NAME/data/KEY` in an uncompressed zip, or the
one before (`fracture_core.models.old_checkpoints`).
"""

import math
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import torch

from fracture_core.errors import WeightsError
from fracture_core.models.old_checkpoints import MAGIC, Place, read_old
from fracture_core.models.pickles import (
    ForbiddenName,
    MalformedPickle,
    Storage,
    TensorRef,
    read_pickle,
)

MAX_PICKLE_BYTES = 32 << 20
MAX_ENTRIES = 100_000
_HEAD_BYTES = 64
_EXPECTED = "a PyTorch checkpoint (.pt)"
_DO_NOT_USE = "A checkpoint has no use for that: do not use this file, whoever made it."
_DTYPES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}

# A block's bytes, of the length that its pickle tells.
_Reader = Callable[[Storage, int], bytearray]


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """An opened file: `content` is what its pickle describes; see `read_pickle`.

    `prefix` is the folder in the archive · `places` where the blocks lie in a file of old, by key.
    """

    path: Path
    content: Any
    prefix: str = ""
    places: Mapping[str, Place] | None = None

    def read_tensors(self, refs: dict[str, TensorRef]) -> dict[str, torch.Tensor]:
        """The tensors on the CPU in the type they were saved in; raises WeightsError."""
        try:
            if self.places is not None:
                with self.path.open("rb") as file:
                    return self._tensors(refs, partial(self._old_bytes, self.places, file))
            with zipfile.ZipFile(self.path) as archive:
                return self._tensors(refs, partial(self._archived_bytes, archive))
        except (zipfile.BadZipFile, OSError, EOFError) as error:
            raise _damaged(self.path, str(error)) from error

    def _tensors(self, refs: dict[str, TensorRef], read: _Reader) -> dict[str, torch.Tensor]:
        blocks: dict[Storage, torch.Tensor] = {}
        return {name: self._tensor(ref, blocks, read) for name, ref in refs.items()}

    def _tensor(
        self, ref: TensorRef, blocks: dict[Storage, torch.Tensor], read: _Reader
    ) -> torch.Tensor:
        if ref.storage not in blocks:
            blocks[ref.storage] = self._block(ref.storage, read)
        block = blocks[ref.storage]
        furthest = sum((n - 1) * step for n, step in zip(ref.size, ref.stride, strict=True))
        empty = 0 in ref.size
        # A view may repeat numbers without end; a saved weight does not.
        inside = empty or ref.offset + furthest < len(block)
        if not inside or math.prod(ref.size) > len(block):
            raise _damaged(self.path, f"a tensor of {ref.size} in a block of {len(block)}")
        return (
            torch.zeros(ref.size) if empty else block.as_strided(ref.size, ref.stride, ref.offset)
        )

    def _block(self, storage: Storage, read: _Reader) -> torch.Tensor:
        dtype = _DTYPES.get(storage.kind)
        if dtype is None:
            raise _damaged(self.path, f"numbers of the kind {storage.kind}")
        content = read(storage, storage.numel * dtype.itemsize)
        return torch.frombuffer(content, dtype=dtype) if content else torch.empty(0, dtype=dtype)

    def _archived_bytes(self, archive: zipfile.ZipFile, storage: Storage, length: int) -> bytearray:
        name = f"{self.prefix}/data/{storage.key}"
        if name not in archive.NameToInfo:
            raise _damaged(self.path, f"no block {storage.key}")
        if archive.getinfo(name).file_size != length:
            raise _damaged(self.path, f"block {storage.key} of another length than declared")
        return bytearray(archive.read(name))

    def _old_bytes(
        self, places: Mapping[str, Place], file: BinaryIO, storage: Storage, length: int
    ) -> bytearray:
        place = places[storage.key]
        if place.length != length:
            raise _damaged(self.path, f"block {storage.key} of another length than declared")
        file.seek(place.offset)
        return bytearray(file.read(length))


def open_checkpoint(path: Path) -> Checkpoint:
    """Read the structure of a `.pt` file; raises WeightsError, and runs nothing that is in it."""
    try:
        if _is_old(path):
            sizes = {kind: dtype.itemsize for kind, dtype in _DTYPES.items()}
            content, places = read_old(path, sizes, most_bytes=MAX_PICKLE_BYTES)
            return Checkpoint(path=path, content=content, places=places)
        with zipfile.ZipFile(path) as archive:
            prefix = _check_archive(archive, path)
            content = read_pickle(archive.read(f"{prefix}/data.pkl"))
        return Checkpoint(path=path, content=content, prefix=prefix)
    except zipfile.BadZipFile as error:
        raise _not_a_zip(path, str(error)) from error
    except ForbiddenName as error:
        found = f"a pickle that asks for {str(error)[:200]}"
        raise WeightsError(path, expected=_EXPECTED, found=found, advice=_DO_NOT_USE) from error
    except (MalformedPickle, OSError, EOFError, NotImplementedError, RuntimeError) as error:
        raise _damaged(path, str(error)) from error


def _is_old(path: Path) -> bool:
    with path.open("rb") as file:
        return MAGIC in file.read(_HEAD_BYTES)


def _check_archive(archive: zipfile.ZipFile, path: Path) -> str:
    """The folder in the archive that holds the checkpoint."""
    entries = archive.infolist()
    if any(entry.filename.endswith("/constants.pkl") for entry in entries):
        found = "a TorchScript program, which is code"
        advice = "Use the .pt file that training wrote, not an export."
        raise WeightsError(path, expected=_EXPECTED, found=found, advice=advice)
    pickles = [entry for entry in entries if entry.filename.endswith("/data.pkl")]
    if len(pickles) != 1:
        found = f"a zip file with {len(pickles)} data.pkl in it"
        raise WeightsError(path, expected=_EXPECTED, found=found)
    stored = all(entry.compress_type == zipfile.ZIP_STORED for entry in entries)
    claimed = sum(entry.file_size for entry in entries)
    if not stored or claimed > path.stat().st_size or len(entries) > MAX_ENTRIES:
        raise _damaged(path, f"entries that unpack to {claimed} bytes, as PyTorch never writes")
    if pickles[0].file_size > MAX_PICKLE_BYTES:
        raise _damaged(path, f"a pickle of {pickles[0].file_size} bytes")
    prefix = pickles[0].filename.removesuffix("/data.pkl")
    order = f"{prefix}/byteorder"
    if order in archive.NameToInfo and archive.read(order) != b"little":
        raise _damaged(path, "numbers that are not little-endian")
    return prefix


def _not_a_zip(path: Path, reason: str) -> WeightsError:
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if not head:
        return WeightsError(path, expected=_EXPECTED, found="an empty file")
    if head.startswith(b"PK"):
        return _damaged(path, f"an archive that breaks off ({reason})")
    found = f"another kind of file, beginning {head[:16]!r}"
    return WeightsError(path, expected=_EXPECTED, found=found)


def _damaged(path: Path, reason: str) -> WeightsError:
    advice = "The file is damaged or was never a checkpoint; fetch it again."
    return WeightsError(path, expected=_EXPECTED, found=reason[:200], advice=advice)
