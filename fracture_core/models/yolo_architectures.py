"""What a YOLO checkpoint says of its network, and architectures of YOLO networks, checked.

A checkpoint is read in a process of its own. Its architecture is a dict that somebody else wrote,
or comes with Ultralytics by name. Ultralytics looks layer names up among everything it has imported
and evaluates strings, so an architecture is held against a list of what YOLO detectors are made of
before it is built.
"""

import copy
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from torch import Tensor

from fracture_core.errors import ConfigError, WeightsError
from fracture_core.models import quiet_ultralytics
from fracture_core.models.cards import Task
from fracture_core.models.checkpoints.limits import TensorPlace
from fracture_core.models.checkpoints.process import read_contents
from fracture_core.models.state_dicts import read_tensors

# ---- checkpoints ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class YoloWeights:
    """A checkpoint before its network is built; nothing in it is trusted yet.

    `architecture` is the yaml as a dict; `places` tells by state dict names where the tensors lie
    in the file.
    """

    path: Path
    architecture: dict[str, Any]
    classes: tuple[str, ...]
    input_size: int
    places: dict[str, TensorPlace]

    def read_tensors(self) -> dict[str, Tensor]:
        """Returns the tensors by name; raises WeightsError where the file ends before one does."""
        return read_tensors(self.path, self.places)


def read_yolo_weights(path: Path) -> YoloWeights:
    """Opens a `.pt` of Ultralytics; averaged weights (EMA) come before the last ones.

    Raises WeightsError; nothing in the file runs.
    """
    read = read_contents(path, "yolo")
    return YoloWeights(
        path=path,
        architecture=read.facts["architecture"],
        classes=tuple(read.facts["classes"]),
        input_size=read.facts["input_size"],
        places=read.places,
    )


# ---- architectures -------------------------------------------------------------------------------

TASKS: dict[str, Task] = {
    "Detect": "detect",
    "v10Detect": "detect",
    "Segment": "segment",
    "Segment26": "segment",
}
_LAYERS = frozenset(
    [
        "A2C2f",
        "AConv",
        "ADown",
        "Bottleneck",
        "BottleneckCSP",
        "C1",
        "C2",
        "C2PSA",
        "C2f",
        "C2fCIB",
        "C2fPSA",
        "C3",
        "C3Ghost",
        "C3TR",
        "C3k2",
        "C3x",
        "CBFuse",
        "CBLinear",
        "Concat",
        "Conv",
        "ConvTranspose",
        "DWConv",
        "DWConvTranspose2d",
        "ELAN1",
        "Focus",
        "GhostBottleneck",
        "GhostConv",
        "HGBlock",
        "HGStem",
        "PSA",
        "RepC3",
        "RepConv",
        "RepNCSPELAN4",
        "RepVGGDW",
        "SCDown",
        "SPP",
        "SPPELAN",
        "SPPF",
        "nn.BatchNorm2d",
        "nn.Conv2d",
        "nn.ConvTranspose2d",
        "nn.Identity",
        "nn.MaxPool2d",
        "nn.Upsample",
        "nn.ZeroPad2d",
    ]
)
_OTHER_TASKS = re.compile(r"classify|pose|obb|depth|semantic|rtdetr|yoloe|world", re.IGNORECASE)
_ACTIVATION = re.compile(
    r"(torch\.)?nn\.(SiLU|ReLU|ReLU6|LeakyReLU|ELU|GELU|Mish|Hardswish|Identity)"
    r"\((\d*\.?\d+)?(,? ?inplace=(True|False))?\)",
    re.ASCII,
)
_WORDS = frozenset({"None", "True", "False", "nc", "nearest", "bilinear"})
_LARGEST_NUMBER = 8192
_MOST_LAYERS = 200
_MOST_REPEATS = 100
_MOST_CLASSES = 10_000


def task_of(architecture: dict[str, Any]) -> Task:
    """Returns what a checked architecture is for, by its head.

    Example:
        >>> task_of({"head": [[[15, 18, 21], 1, "Detect", ["nc"]]]})
        'detect'
    """
    return TASKS[architecture["head"][-1][2]]


def check_architecture(given: dict[str, Any], path: Path) -> dict[str, Any]:
    """Returns a copy with the known keys only.

    Raises WeightsError where anything is out of bounds.
    """
    layers = [given.get("backbone"), given.get("head")]
    if not all(isinstance(part, list) and part for part in layers):
        raise refused(path, "no backbone or no head")
    rows = [row for part in layers for row in part]  # type: ignore[union-attr]
    if len(rows) > _MOST_LAYERS:
        raise refused(path, f"{len(rows)} layers")
    for position, row in enumerate(rows):
        _check_row(row, position, last=position == len(rows) - 1, path=path)
    given = {"channels": given.get("ch"), **given}
    kept = {key: given[key] for key in _CHECKS if given.get(key) is not None}
    for key, value in kept.items():
        if not _CHECKS[key](value):
            raise refused(path, f"{key}: {str(value)[:60]!r}")
    scales = kept.get("scales")
    if "nc" not in kept or (scales and kept.get("scale") and kept["scale"] not in scales):
        raise refused(path, "no class count or an unknown scale")
    return copy.deepcopy({"channels": 3, **kept})


def _check_row(row: Any, position: int, *, last: bool, path: Path) -> None:
    """Checks one layer: [from, repeats, module, args]."""
    if not (isinstance(row, list | tuple) and len(row) == 4 and isinstance(row[2], str)):
        raise refused(path, f"layer {position}: {str(row)[:80]}")
    source, repeats, module, arguments = row
    if module not in (TASKS if last else _LAYERS):
        raise _wrong_layer(module, position, last=last, path=path)
    sources = source if isinstance(source, list) else [source]
    earlier = all(type(s) is int and -position - 1 <= s < max(position, 1) for s in sources)
    if not (earlier and sources and type(repeats) is int and 1 <= repeats <= _MOST_REPEATS):
        raise refused(path, f"layer {position}: from {str(source)[:40]}, {str(repeats)[:40]} times")
    if not (isinstance(arguments, list) and len(arguments) <= 16):
        raise refused(path, f"layer {position}: {str(arguments)[:60]}")
    for argument in arguments:
        flat = argument if isinstance(argument, list | tuple) else [argument]
        if len(flat) > 16 or not all(_is_plain(value) for value in flat):
            raise refused(path, f"layer {position}, {module}: {str(argument)[:60]!r}")


def _wrong_layer(module: str, position: int, *, last: bool, path: Path) -> WeightsError:
    if last and _OTHER_TASKS.search(module):
        expected = "a YOLO network that detects or segments"
        found = f"one with the head {module[:40]}"
        advice = "Classification, pose and rotated boxes are not supported."
        return WeightsError(path, expected=expected, found=found, advice=advice)
    return refused(path, f"layer {position}: {module[:60]!r}")


def _is_plain(value: Any) -> bool:
    if isinstance(value, str):
        return value in _WORDS
    return value is None or isinstance(value, bool) or _is_number(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value) and abs(value) <= _LARGEST_NUMBER


def _is_scales(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and 0 < len(value) <= 20
        and all(isinstance(key, str) and len(key) <= 1 for key in value)
        and all(
            isinstance(row, list | tuple) and len(row) == 3 and all(map(_is_number, row))
            for row in value.values()
        )
    )


_CHECKS: dict[str, Callable[[Any], bool]] = {
    "backbone": lambda value: True,
    "head": lambda value: True,
    "nc": lambda value: type(value) is int and 1 <= value <= _MOST_CLASSES,
    "scales": _is_scales,
    "scale": lambda value: isinstance(value, str) and len(value) <= 1,
    "depth_multiple": _is_number,
    "width_multiple": _is_number,
    "activation": lambda value: isinstance(value, str) and bool(_ACTIVATION.fullmatch(value)),
    "reg_max": lambda value: type(value) is int and 1 <= value <= 64,
    "end2end": lambda value: type(value) is bool,
    "channels": lambda value: value in (1, 3),
}


def read_architecture(name: str) -> dict[str, Any]:
    """Returns one that comes with Ultralytics, unchecked.

    Raises ConfigError for an unknown name.
    """
    match = re.fullmatch(r"(yolo[\w\-]*)\.ya?ml", name, re.ASCII | re.IGNORECASE)
    folder = Path(quiet_ultralytics.part("ultralytics.cfg").__file__ or "").parent / "models"
    for stem, scale in _spellings(match[1]) if match else ():
        for file in sorted(folder.rglob(f"{stem}.yaml")):
            found: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
            return {**found, "scale": scale}
    raise ConfigError(
        name, expected="an architecture of Ultralytics such as yolo11n.yaml", found="none"
    )


def _spellings(stem: str) -> list[tuple[str, str]]:
    """Returns the files and scales that a name may stand for.

    yolo11n-seg is the file yolo11-seg at scale n; yolov9c and yolov10n are files themselves.
    """
    match = re.fullmatch(r"(yolov?\d+)([nsmlx])(-.+)?", stem)
    scaled = [(f"{match[1]}{match[3] or ''}", match[2])] if match else []
    return [*scaled, (stem, match[2] if match else "")]


def refused(path: Path, found: str) -> WeightsError:
    """Returns the error for an architecture that is not built."""
    return WeightsError(path, expected="an architecture made of YOLO layers", found=found)
