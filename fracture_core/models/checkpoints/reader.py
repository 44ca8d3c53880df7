"""The program of the process that reads a weights file; see `process` for how it is started.

It writes one JSON object: `{"refused": …}`, or the tensors' places and what else the file says. It
takes its limits upon itself before it looks at the file. A safetensors file is read here: it is the
length of its header, the header in JSON, then the numbers.
"""

import json
import struct
import sys
from dataclasses import astuple
from pathlib import Path
from typing import Any

from fracture_core import importing
from fracture_core.models.checkpoints import state_dict, yolo
from fracture_core.models.checkpoints.limits import (
    ITEM_BYTES,
    MAX_DIMENSIONS,
    MAX_HEADER_BYTES,
    MAX_TENSORS,
    Refusal,
    TensorPlace,
    contiguous,
    is_plain_name,
    printable,
)

# ---- safetensors ---------------------------------------------------------------------------------

_EXPECTED = "a safetensors file"
_DAMAGED = "The file is damaged; fetch or save it again."
_LENGTH = struct.Struct("<Q")
_METADATA = "__metadata__"
_DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}


def read_places(path: Path) -> dict[str, TensorPlace]:
    """Returns where the tensors of a safetensors file lie, by name; raises Refusal."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(_LENGTH.size)
        if len(start) < _LENGTH.size:
            raise _damaged(f"{size} bytes")
        length = _LENGTH.unpack(start)[0]
        if length > min(MAX_HEADER_BYTES, size - _LENGTH.size):
            raise _damaged(f"a header of {length} bytes in {size}")
        header = _parse(file.read(length))
    first = _LENGTH.size + length
    places = {name: _place(name, said, first) for name, said in header.items()}
    _check_whole(places, first, size)
    return places


def _parse(data: bytes) -> dict[str, Any]:
    try:
        header = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise _damaged(f"a header that is no JSON ({printable(str(error), 100)})") from error
    if not isinstance(header, dict):
        raise _damaged(f"a header that is {printable(header)}")
    header.pop(_METADATA, None)
    if len(header) > MAX_TENSORS:
        found = f"{len(header)}"
        raise Refusal(expected=f"at most {MAX_TENSORS} tensors", found=found)
    return header


def _place(name: str, said: Any, first: int) -> TensorPlace:
    if not is_plain_name(name):
        raise _damaged(f"a tensor named {printable(name)!r}")
    if not isinstance(said, dict):
        raise _damaged(f"{printable(said)} where {name} should be described")
    dtype = said.get("dtype")
    if dtype not in tuple(_DTYPES):
        raise _unknown_kind(name, dtype)
    bounds, size = _whole_numbers(said.get("data_offsets")), _whole_numbers(said.get("shape"))
    if bounds is None or size is None or len(bounds) != 2 or bounds[0] > bounds[1]:
        raise _damaged(f"{name} without a place and a shape")
    length, rest = divmod(bounds[1] - bounds[0], ITEM_BYTES[_DTYPES[dtype]])
    try:
        place = TensorPlace(
            dtype=_DTYPES[dtype],
            start=first + bounds[0],
            length=length,
            offset=0,
            size=size,
            stride=contiguous(size),
        )
    except ValueError as error:
        raise _damaged(f"{name}: {error}") from error
    if rest or place.number_count != length:
        raise _damaged(f"{name} of shape {place.size} in {bounds[1] - bounds[0]} bytes")
    return place


def _whole_numbers(said: Any) -> tuple[int, ...] | None:
    """Returns the numbers of a short list, None where it is not one of whole numbers."""
    if not isinstance(said, list) or len(said) > MAX_DIMENSIONS:
        return None
    return tuple(said) if all(type(number) is int for number in said) else None


def _check_whole(places: dict[str, TensorPlace], first: int, size: int) -> None:
    """Raises Refusal unless the tensors fill the file up to its end, without gap or overlap."""
    at = first
    for place in sorted(places.values(), key=lambda place: (place.start, place.byte_count)):
        if place.start != at:
            raise _damaged("tensors that overlap or leave gaps")
        at += place.byte_count
    if at != size:
        raise _damaged(f"{size} bytes where {at} were announced")


def _unknown_kind(name: str, dtype: Any) -> Refusal:
    if isinstance(dtype, str) and dtype.startswith("C"):
        found = f"complex numbers ({printable(name, 80)})"
        advice = "No network here has such weights: save the file without them."
        return Refusal(expected="weights that are real numbers", found=found, advice=advice)
    found = f"{printable(name, 80)} of the kind {printable(dtype)}"
    advice = "Save it again in float32, float16 or bfloat16."
    return Refusal(
        expected=f"numbers of the kinds {', '.join(_DTYPES)}", found=found, advice=advice
    )


def _damaged(reason: str) -> Refusal:
    return Refusal(expected=_EXPECTED, found=f"one that cannot be read ({reason})", advice=_DAMAGED)


# ---- the program ---------------------------------------------------------------------------------

_TOO_LARGE = "more than its reader may have in memory"
_TOO_DEEP = "things nested in one another beyond measure"
_NOT_TAKEN = "The file is damaged or hostile: do not use it."


def main(kind: str, path: str, seconds: str, memory_bytes: str) -> None:
    """Reads one file and writes what it says; `kind` is "state dict" or "yolo"."""
    _limit(int(seconds), int(memory_bytes))
    json.dump(_answer(kind, Path(path)), sys.stdout)


def _answer(kind: str, path: Path) -> dict[str, Any]:
    try:
        return _read(kind, path)
    except Refusal as refusal:
        found = {"expected": refusal.expected, "found": refusal.found, "advice": refusal.advice}
    except (MemoryError, RecursionError) as error:
        what = _TOO_LARGE if isinstance(error, MemoryError) else _TOO_DEEP
        found = {"expected": "a weights file", "found": what, "advice": _NOT_TAKEN}
    return {"refused": found}


def _read(kind: str, path: Path) -> dict[str, Any]:
    if kind == "yolo":
        said = yolo.describe(path)
        facts = {"classes": said.classes, "input_size": said.input_size}
        return {**facts, "architecture": said.architecture, "tensors": _rows(said.places)}
    if path.suffix.lower() == ".safetensors":
        return {"tensors": _rows(read_places(path))}
    return {"tensors": _rows(state_dict.read_places(path))}


def _rows(places: dict[str, TensorPlace]) -> dict[str, Any]:
    return {name: astuple(place) for name, place in places.items()}


def _limit(seconds: int, memory_bytes: int) -> None:
    try:
        with importing.LOCK:
            import resource
    except ImportError:  # Windows has no such limits; the one on time in `process` holds there too
        return
    for what, most in (
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
    ):
        allowed = resource.getrlimit(what)[1]
        least = most if allowed == resource.RLIM_INFINITY else min(most, allowed)
        resource.setrlimit(what, (least, least))
