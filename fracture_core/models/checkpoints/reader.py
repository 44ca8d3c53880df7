"""The program of the reading process; see `process` for how it is started.

Writes one JSON object: `{"refused": …}`, or the tensors' places and what else the file says. It
takes its limits upon itself before it looks at the file.
"""

import json
import sys
from dataclasses import astuple
from pathlib import Path
from typing import Any

from fracture_core import importing
from fracture_core.models.checkpoints import safetensors_file, state_dict, yolo
from fracture_core.models.checkpoints.limits import Refusal, TensorPlace

_TOO_LARGE = "more than its reader may have in memory"
_TOO_DEEP = "things nested in one another beyond measure"
_NOT_TAKEN = "The file is damaged or hostile: do not use it."


def main(kind: str, path: str, seconds: str, memory_bytes: str) -> None:
    """Read one file; `kind` is "state dict" or "yolo"."""
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
        return {"tensors": _rows(safetensors_file.read_places(path))}
    return {"tensors": _rows(state_dict.read_places(path))}


def _rows(places: dict[str, TensorPlace]) -> dict[str, Any]:
    return {name: astuple(place) for name, place in places.items()}


def _limit(seconds: int, memory_bytes: int) -> None:
    try:
        with importing.LOCK:
            import resource
    except ImportError:  # Windows has none; the time limit of `process` holds there as well
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
