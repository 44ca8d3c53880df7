"""PyTorch `.pt` files opened as what they are: one pickle and blocks of numbers.

The pickle is read without running it (`pickles`), and of the blocks only where they lie is told.
`torch.save` has had two layouts. Since PyTorch 1.6 it is an uncompressed zip with `NAME/data.pkl`
and `NAME/data/KEY`. Before, it was five pickles (a magic number, the version, the machine, the
content, and the list of the blocks' keys), and behind them every block in the order of the keys:
eight bytes that count its elements, then these.
"""

import io
import re
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fracture_core.models.checkpoints.limits import (
    ITEM_BYTES,
    MAX_ENTRIES,
    MAX_PICKLE_BYTES,
    Refusal,
    TensorPlace,
    printable,
)
from fracture_core.models.checkpoints.pickles import (
    ForbiddenName,
    MalformedPickle,
    Storage,
    TensorRef,
    read_next_pickle,
    read_pickle,
)

# ---- before PyTorch 1.6 --------------------------------------------------------------------------

MAGIC = b"\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"
_COUNT_BYTES = 8
# The most opcodes of a pickle before the content, and of the list of keys behind it.
_FEW, _MANY = 100, 100_000


@dataclass(frozen=True, slots=True)
class Place:
    """Where a block lies in the file, in bytes."""

    offset: int
    length: int


def read_old(
    path: Path, sizes: Mapping[str, int], *, most_bytes: int
) -> tuple[Any, dict[str, Place]]:
    """Returns what the file's pickle describes, and where its blocks lie, by key.

    Nothing in it runs. `sizes` are the bytes of an element by the kind of block, `most_bytes` those
    of all pickles. Raises ForbiddenName and MalformedPickle.
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
            place = _old_place(file.read(_COUNT_BYTES), file.tell(), storages[key], sizes)
            file.seek(place.length, io.SEEK_CUR)
            places[key] = place
        if file.tell() > path.stat().st_size:
            raise MalformedPickle("a file that breaks off")
    return content, places


def _old_place(head: bytes, offset: int, storage: Storage, sizes: Mapping[str, int]) -> Place:
    size = sizes.get(storage.kind)
    if size is None:
        raise MalformedPickle(f"numbers of the kind {storage.kind}")
    if int.from_bytes(head, "little") != storage.numel:
        raise MalformedPickle(f"block {storage.key} of another length than declared")
    return Place(offset, storage.numel * size)


# ---- both layouts --------------------------------------------------------------------------------

_EXPECTED = "a PyTorch checkpoint (.pt)"
_DO_NOT_USE = "A checkpoint has no use for that: do not use this file, whoever made it."
_SAVE_TENSORS = (
    "Load it where it was made and save its tensors alone: "
    "torch.save(model.state_dict(), 'weights.pt')."
)
_HEAD_BYTES = 64
_UNREADABLE = (zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError, RuntimeError)
_LOCAL_HEADER = struct.Struct("<26x2H")
_CHUNK_BYTES = 1 << 20
_DTYPES = {
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}
# These are refused too, but by what they are.
_COMPLEX_BYTES = {"ComplexFloatStorage": 8, "ComplexDoubleStorage": 16}
# Names for which honest files ask though they cannot be used here: the name, what it means in
# words, and what to do.
_HONEST = (
    (
        re.compile(
            r"models\.(yolo|common|experimental)\.|utils\.(autoanchor|general|torch_utils)\."
        ),
        "a network of the older YOLOv5 or YOLOv7 repository, which finds boxes by anchors",
        "Anchors cannot be converted: take Ultralytics' own weights of that size (yolov5su.pt and "
        "its like), which find boxes without, and train them on your data, or train yolov5s.yaml "
        "anew.",
    ),
    (
        re.compile(r"torch\.(_utils\._rebuild_qtensor|Q\w+Storage|per_)"),
        "quantised numbers",
        "Save the network before it is quantised.",
    ),
    (
        re.compile(
            r"torch\._utils\._rebuild_(sparse|tensor_v3|wrapper|nested|meta|device)|torch\.Untyped"
        ),
        "tensors of a kind that networks here do not have, such as sparse ones",
        "Save plain tensors in float32, float16 or bfloat16.",
    ),
    (
        re.compile(
            r"(__main__|torchvision|timm|transformers|(pytorch_)?lightning|mm(engine|cv|det)"
            r"|detectron2|omegaconf|monai|segmentation_models_pytorch)\."
        ),
        "whole objects of the program that made it",
        _SAVE_TENSORS,
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """An opened file; `content` is what its pickle describes, as `read_pickle` returns it.

    `prefix` is the folder in the zip; `old_blocks` tells by key where blocks lie in a file of
    before PyTorch 1.6.
    """

    path: Path
    content: Any
    prefix: str = ""
    old_blocks: Mapping[str, Place] | None = None

    def places(self, refs: Mapping[str, TensorRef]) -> dict[str, TensorPlace]:
        """Returns where tensors lie.

        Raises Refusal, also where a checksum in the zip does not hold.
        """
        blocks = {ref.storage: name for name, ref in refs.items()}
        for storage, name in blocks.items():
            _check_kind(storage, name)
        if self.old_blocks is not None:
            starts = {storage: self.old_blocks[storage.key].offset for storage in blocks}
        else:
            starts = self._archived(blocks)
        return {name: _place(ref, starts[ref.storage]) for name, ref in refs.items()}

    def _archived(self, blocks: Mapping[Storage, str]) -> dict[Storage, int]:
        try:
            with zipfile.ZipFile(self.path) as archive, self.path.open("rb") as raw:
                entries = {storage: self._entry(storage, archive) for storage in blocks}
                for entry in entries.values():
                    _check_sum(archive, entry)
                return {storage: _start(raw, entry) for storage, entry in entries.items()}
        except _UNREADABLE as error:
            raise _damaged(str(error)) from error

    def _entry(self, storage: Storage, archive: zipfile.ZipFile) -> zipfile.ZipInfo:
        inside = f"{self.prefix}/data/{storage.key}"
        if inside not in archive.NameToInfo:
            raise _damaged(f"no block {storage.key}")
        entry = archive.getinfo(inside)
        if entry.file_size != storage.numel * ITEM_BYTES[_DTYPES[storage.kind]]:
            raise _damaged(f"block {storage.key} of another length than declared")
        return entry


def open_checkpoint(path: Path) -> Checkpoint:
    """Reads the structure of a `.pt` file; raises Refusal, and runs nothing that is in it."""
    try:
        if _is_old(path):
            return _open_old(path)
        with zipfile.ZipFile(path) as archive:
            prefix = _check_archive(archive, path)
            data = archive.read(f"{prefix}/data.pkl")
        return Checkpoint(path=path, content=read_pickle(data), prefix=prefix)
    except zipfile.BadZipFile as error:
        raise _not_a_zip(path, str(error)) from error
    except ForbiddenName as error:
        raise _forbidden(str(error)) from error
    except (MalformedPickle, *_UNREADABLE) as error:
        raise _damaged(str(error)) from error


def _is_old(path: Path) -> bool:
    with path.open("rb") as file:
        return MAGIC in file.read(_HEAD_BYTES)


def _open_old(path: Path) -> Checkpoint:
    sizes = {kind: ITEM_BYTES[dtype] for kind, dtype in _DTYPES.items()} | _COMPLEX_BYTES
    content, blocks = read_old(path, sizes, most_bytes=MAX_PICKLE_BYTES)
    return Checkpoint(path=path, content=content, old_blocks=blocks)


def _check_archive(archive: zipfile.ZipFile, path: Path) -> str:
    """Returns the folder in the archive that holds the checkpoint; raises Refusal."""
    entries = archive.infolist()
    if any(entry.filename.endswith("/constants.pkl") for entry in entries):
        found = "a TorchScript program, which is code"
        advice = "Use the .pt file that training wrote, not an export."
        raise Refusal(expected=_EXPECTED, found=found, advice=advice)
    pickles = [entry for entry in entries if entry.filename.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise Refusal(expected=_EXPECTED, found=f"a zip file with {len(pickles)} data.pkl in it")
    stored = all(entry.compress_type == zipfile.ZIP_STORED for entry in entries)
    claimed = sum(entry.file_size for entry in entries)
    if not stored or claimed > path.stat().st_size or len(entries) > MAX_ENTRIES:
        raise _damaged(f"entries that unpack to {claimed} bytes, as PyTorch never writes")
    if pickles[0].file_size > MAX_PICKLE_BYTES:
        raise _damaged(f"a pickle of {pickles[0].file_size} bytes")
    prefix = pickles[0].filename.removesuffix("/data.pkl")
    order = f"{prefix}/byteorder"
    if order in archive.NameToInfo and archive.read(order) != b"little":
        raise _damaged("numbers that are not little-endian")
    return prefix


def _check_kind(storage: Storage, name: str) -> None:
    if storage.kind in _COMPLEX_BYTES:
        found = f"complex numbers ({printable(name, 80)})"
        advice = "No network here has such weights: save the file without them."
        raise Refusal(expected="weights that are real numbers", found=found, advice=advice)
    if storage.kind not in _DTYPES:
        raise _damaged(f"numbers of the kind {storage.kind}")


def _check_sum(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
    """Raises BadZipFile where a block's bytes are not those that were written."""
    with archive.open(entry) as block:
        while block.read(_CHUNK_BYTES):
            pass


def _start(raw: Any, entry: zipfile.ZipInfo) -> int:
    """Where an entry's bytes begin: its name and padding, of any length, come before them."""
    raw.seek(entry.header_offset)
    lengths: tuple[int, int] = _LOCAL_HEADER.unpack(raw.read(_LOCAL_HEADER.size))
    return entry.header_offset + _LOCAL_HEADER.size + sum(lengths)


def _place(ref: TensorRef, start: int) -> TensorPlace:
    try:
        return TensorPlace(
            dtype=_DTYPES[ref.storage.kind],
            start=start,
            length=ref.storage.numel,
            offset=ref.offset,
            size=ref.size,
            stride=ref.stride,
        )
    except ValueError as error:
        raise _damaged(str(error)) from error


def _forbidden(asked: str) -> Refusal:
    for pattern, what, advice in _HONEST:
        if pattern.match(asked):
            return Refusal(expected=_EXPECTED, found=f"{what} ({asked[:100]})", advice=advice)
    found = f"a pickle that asks for {asked[:200]}"
    return Refusal(expected=_EXPECTED, found=found, advice=_DO_NOT_USE)


def _not_a_zip(path: Path, reason: str) -> Refusal:
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if not head:
        return Refusal(expected=_EXPECTED, found="an empty file")
    if head.startswith(b"PK"):
        return _damaged(f"an archive that breaks off ({reason})")
    return Refusal(expected=_EXPECTED, found=f"another kind of file, beginning {head[:16]!r}")


def _damaged(reason: str) -> Refusal:
    advice = "The file is damaged or was never a checkpoint; fetch it again."
    return Refusal(expected=_EXPECTED, found=printable(reason, 200), advice=advice)
