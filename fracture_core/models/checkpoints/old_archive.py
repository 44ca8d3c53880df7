"""The layout of `torch.save` before PyTorch 1.6: five pickles, then the blocks of numbers.

The pickles are a magic number, the version, the machine, the content and the list of the blocks'
keys. Behind them lies every block in the order of the keys: eight bytes that count its elements,
then these.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fracture_core.models.checkpoints.pickles import MalformedPickle, Storage, read_next_pickle

MAGIC = b"\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"
_COUNT_BYTES = 8
# Opcodes of what stands before the content, and of the keys behind it.
_FEW, _MANY = 100, 100_000


@dataclass(frozen=True, slots=True)
class Place:
    """Where a block lies in the file, in bytes."""

    offset: int
    length: int


def read_old(
    path: Path, sizes: Mapping[str, int], *, most_bytes: int
) -> tuple[Any, dict[str, Place]]:
    """What the file's pickle describes, and where its blocks lie, by key; nothing in it runs.

    `sizes` are the bytes of an element by the kind of block, `most_bytes` those of all pickles.
    Raises ForbiddenName and MalformedPickle.
    """
    with path.open("rb") as file:
        stream = io.BytesIO(file.read(most_bytes))
        read_next_pickle(stream, most=_FEW)
        read_next_pickle(stream, most=_FEW)
        machine, _ = read_next_pickle(stream, most=_FEW)
        if not isinstance(machine, dict) or machine.get("little_endian") is not True:
            raise MalformedPickle("numbers that are not little-endian")
        content, storages = read_next_pickle(stream)
        keys, _ = read_next_pickle(stream, most=_MANY)
        listed = isinstance(keys, list) and all(isinstance(key, str) for key in keys)
        if not listed or sorted(keys) != sorted(storages):
            raise MalformedPickle("blocks of numbers other than its tensors have")
        file.seek(stream.tell())
        places: dict[str, Place] = {}
        for key in keys:
            place = _place(file.read(_COUNT_BYTES), file.tell(), storages[key], sizes)
            file.seek(place.length, io.SEEK_CUR)
            places[key] = place
        if file.tell() > path.stat().st_size:
            raise MalformedPickle("a file that breaks off")
    return content, places


def _place(head: bytes, offset: int, storage: Storage, sizes: Mapping[str, int]) -> Place:
    size = sizes.get(storage.kind)
    if size is None:
        raise MalformedPickle(f"numbers of the kind {storage.kind}")
    if int.from_bytes(head, "little") != storage.numel:
        raise MalformedPickle(f"block {storage.key} of another length than declared")
    return Place(offset, storage.numel * size)
