"""PyTorch `.pt` files opened as what they are: an archive with one pickle and blocks of numbers.

The pickle is read without running it (`fracture_core.models.pickles`), tensors only where they
are asked for, and nothing is allocated that the file does not hold. The layout is that of
`torch.save` since PyTorch 1.6: `NAME/data.pkl` and `NAME/data/KEY` in an uncompressed zip.
"""

import math
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from fracture_core.errors import WeightsError
from fracture_core.models.pickles import (
    ForbiddenName,
    MalformedPickle,
    Storage,
    TensorRef,
    read_pickle,
)

MAX_PICKLE_BYTES = 32 << 20
MAX_ENTRIES = 100_000
_EXPECTED = "a PyTorch checkpoint (.pt)"
_DO_NOT_USE = "A checkpoint has no use for that: do not use this file, whoever made it."
_SAVE_AGAIN = "Load it where it was made and save it again with PyTorch 1.6 or newer."
_LEGACY_MAGIC = b"\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """An opened file: `content` is what its pickle describes; see `read_pickle`."""

    path: Path
    content: Any
    prefix: str

    def read_tensors(self, refs: dict[str, TensorRef]) -> dict[str, torch.Tensor]:
        """The tensors on the CPU in the type they were saved in; raises WeightsError."""
        try:
            with zipfile.ZipFile(self.path) as archive:
                blocks: dict[Storage, torch.Tensor] = {}
                return {name: self._tensor(ref, blocks, archive) for name, ref in refs.items()}
        except (zipfile.BadZipFile, OSError, EOFError) as error:
            raise _damaged(self.path, str(error)) from error

    def _tensor(
        self, ref: TensorRef, blocks: dict[Storage, torch.Tensor], archive: zipfile.ZipFile
    ) -> torch.Tensor:
        if ref.storage not in blocks:
            blocks[ref.storage] = self._block(ref.storage, archive)
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

    def _block(self, storage: Storage, archive: zipfile.ZipFile) -> torch.Tensor:
        dtype = _DTYPES.get(storage.kind)
        if dtype is None:
            raise _damaged(self.path, f"numbers of the kind {storage.kind}")
        name = f"{self.prefix}/data/{storage.key}"
        if name not in archive.NameToInfo:
            raise _damaged(self.path, f"no block {storage.key}")
        if archive.getinfo(name).file_size != storage.numel * dtype.itemsize:
            raise _damaged(self.path, f"block {storage.key} of another length than declared")
        if not storage.numel:
            return torch.empty(0, dtype=dtype)
        return torch.frombuffer(bytearray(archive.read(name)), dtype=dtype)


def open_checkpoint(path: Path) -> Checkpoint:
    """Read the structure of a `.pt` file; raises WeightsError, and runs nothing that is in it."""
    try:
        with zipfile.ZipFile(path) as archive:
            prefix = _check_archive(archive, path)
            data = archive.read(f"{prefix}/data.pkl")
    except zipfile.BadZipFile as error:
        raise _not_a_zip(path, str(error)) from error
    except (OSError, EOFError, NotImplementedError, RuntimeError) as error:
        raise _damaged(path, str(error)) from error
    try:
        content = read_pickle(data)
    except ForbiddenName as error:
        found = f"a pickle that asks for {str(error)[:200]}"
        raise WeightsError(path, expected=_EXPECTED, found=found, advice=_DO_NOT_USE) from error
    except MalformedPickle as error:
        raise _damaged(path, str(error)) from error
    return Checkpoint(path=path, content=content, prefix=prefix)


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
        head = file.read(64)
    if not head:
        return WeightsError(path, expected=_EXPECTED, found="an empty file")
    if _LEGACY_MAGIC in head:
        found = "the format of PyTorch before 1.6"
        return WeightsError(path, expected=_EXPECTED, found=found, advice=_SAVE_AGAIN)
    if head.startswith(b"PK"):
        return _damaged(path, f"an archive that breaks off ({reason})")
    found = f"another kind of file, beginning {head[:16]!r}"
    return WeightsError(path, expected=_EXPECTED, found=found)


def _damaged(path: Path, reason: str) -> WeightsError:
    advice = "The file is damaged or was never a checkpoint; fetch it again."
    return WeightsError(path, expected=_EXPECTED, found=reason[:200], advice=advice)
