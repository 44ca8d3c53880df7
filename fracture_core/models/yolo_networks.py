"""YOLO networks built from an architecture that somebody else wrote.

Ultralytics looks layer names up among everything it has imported and evaluates strings, so an
architecture is first held against a list of what YOLO detectors are made of. It is then built
without memory (PyTorch's meta device) and run once there, to see what it would take, before a
number is allocated.
"""

import copy
import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import yaml
from torch.overrides import TorchFunctionMode

from fracture_core.errors import ConfigError, WeightsError
from fracture_core.models import quiet_ultralytics
from fracture_core.models.cards import Task
from fracture_core.models.yolo_weights import YoloWeights
from fracture_core.types import MAX_CANDIDATES

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
_MOST_MODULES = 20_000
_MOST_CLASSES = 10_000
_LARGEST_TENSOR = 2**29
_SHOWN_MISMATCHES = 5


def build_network(weights: YoloWeights) -> tuple[Any, Task]:
    """The network in eval mode on the CPU, with its weights in float32.

    Raises WeightsError for an architecture that is not a YOLO detector or segmenter, and for
    weights that do not fit it, listed by name and shape.
    """
    path = weights.checkpoint.path
    architecture = check_architecture(weights.architecture, path)
    shapes = {name: ref.size for name, ref in weights.refs.items()}
    _dry_run(architecture, shapes, weights.input_size, path)
    if len(weights.classes) != architecture["nc"]:
        found = f"{len(weights.classes)} names and {architecture['nc']} classes"
        raise WeightsError(path, expected="a name for every class", found=found)
    network = _build(architecture, path)
    network.load_state_dict(weights.read_tensors(), strict=True)
    return _ready(network), task_of(architecture)


def random_network(name: str) -> tuple[Any, Task, int]:
    """An architecture that comes with Ultralytics, its task and class count.

    The weights are random and the same each time. Raises ConfigError for an unknown name.
    """
    architecture = check_architecture(_read_architecture(name), Path(name))
    network = _build(architecture, Path(name))
    return _ready(network), task_of(architecture), architecture["nc"]


def _ready(network: Any) -> Any:
    """In eval mode, and on the head that needs no NMS where there is one (YOLOv10, YOLO26)."""
    head = network.model[-1]
    network.end2end = getattr(head, "one2one_cv2", None) is not None
    head.max_det = MAX_CANDIDATES
    return network.eval()


def task_of(architecture: dict[str, Any]) -> Task:
    """What a checked architecture is for, by its head."""
    return TASKS[architecture["head"][-1][2]]


def check_architecture(given: dict[str, Any], path: Path) -> dict[str, Any]:
    """A copy with the known keys only; raises WeightsError where anything is out of bounds."""
    layers = [given.get("backbone"), given.get("head")]
    if not all(isinstance(part, list) and part for part in layers):
        raise _refused(path, "no backbone or no head")
    rows = [row for part in layers for row in part]  # type: ignore[union-attr]
    if len(rows) > _MOST_LAYERS:
        raise _refused(path, f"{len(rows)} layers")
    for position, row in enumerate(rows):
        _check_row(row, position, last=position == len(rows) - 1, path=path)
    given = {"channels": given.get("ch"), **given}
    kept = {key: given[key] for key in _CHECKS if given.get(key) is not None}
    for key, value in kept.items():
        if not _CHECKS[key](value):
            raise _refused(path, f"{key}: {str(value)[:60]!r}")
    scales = kept.get("scales")
    if "nc" not in kept or (scales and kept.get("scale") and kept["scale"] not in scales):
        raise _refused(path, "no class count or an unknown scale")
    return copy.deepcopy({"channels": 3, **kept})


def _check_row(row: Any, position: int, *, last: bool, path: Path) -> None:
    """One layer: [from, repeats, module, args]."""
    if not (isinstance(row, list | tuple) and len(row) == 4 and isinstance(row[2], str)):
        raise _refused(path, f"layer {position}: {str(row)[:80]}")
    source, repeats, module, arguments = row
    if module not in (TASKS if last else _LAYERS):
        raise _wrong_layer(module, position, last=last, path=path)
    sources = source if isinstance(source, list) else [source]
    earlier = all(type(s) is int and -position - 1 <= s < max(position, 1) for s in sources)
    if not (earlier and sources and type(repeats) is int and 1 <= repeats <= _MOST_REPEATS):
        raise _refused(
            path, f"layer {position}: from {str(source)[:40]}, {str(repeats)[:40]} times"
        )
    if not (isinstance(arguments, list) and len(arguments) <= 16):
        raise _refused(path, f"layer {position}: {str(arguments)[:60]}")
    for argument in arguments:
        flat = argument if isinstance(argument, list | tuple) else [argument]
        if len(flat) > 16 or not all(_is_plain(value) for value in flat):
            raise _refused(path, f"layer {position}, {module}: {str(argument)[:60]!r}")


def _wrong_layer(module: str, position: int, *, last: bool, path: Path) -> WeightsError:
    if last and _OTHER_TASKS.search(module):
        expected = "a YOLO network that detects or segments"
        found = f"one with the head {module[:40]}"
        advice = "Classification, pose and rotated boxes are not supported."
        return WeightsError(path, expected=expected, found=found, advice=advice)
    return _refused(path, f"layer {position}: {module[:60]!r}")


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


def _dry_run(
    architecture: dict[str, Any],
    shapes: dict[str, tuple[int, ...]],
    input_size: int,
    path: Path,
) -> None:
    """Build and run without memory; raises where the weights differ or it would take too much."""
    tasks = quiet_ultralytics.part("ultralytics.nn.tasks")
    with quiet_ultralytics.LOCK, torch.device("meta"), _module_budget():
        try:
            layers, _ = tasks.parse_model(
                copy.deepcopy(architecture), ch=architecture["channels"], verbose=False
            )
        except Exception as error:
            # Whatever a stranger's architecture trips over, inside a library, is its own fault.
            raise _refused(path, f"one that cannot be built ({_brief(error)})") from error
    expected = {f"model.{name}": tuple(value.shape) for name, value in layers.state_dict().items()}
    _compare(expected, shapes, path)
    try:
        with torch.inference_mode(), _SizeLimit():
            _forward_on_meta(layers, architecture["channels"], max(256, input_size))
    except Exception as error:
        raise _refused(path, f"one that cannot be run ({_brief(error)})") from error


def _forward_on_meta(layers: Any, channels: int, size: int) -> None:
    layers.eval()
    # In training mode the head stops before it decodes boxes, which needs strides.
    layers[-1].training = True
    side = math.ceil(size / 64) * 64
    outputs = [torch.zeros(1, channels, side, side, device="meta")]
    for layer in layers:
        sources = layer.f if isinstance(layer.f, list) else [layer.f]
        inputs = [outputs[s] if s < 0 else outputs[s + 1] for s in sources]
        outputs.append(layer(inputs if isinstance(layer.f, list) else inputs[0]))


def _compare(
    expected: dict[str, tuple[int, ...]], found: dict[str, tuple[int, ...]], path: Path
) -> None:
    missing = [
        f"{name} {shape} is missing" for name, shape in expected.items() if name not in found
    ]
    extra = [
        f"{name} {shape} is not of it" for name, shape in found.items() if name not in expected
    ]
    other = [
        f"{name} is {found[name]}, not {shape}"
        for name, shape in expected.items()
        if name in found and found[name] != shape
    ]
    wrong = other + missing + extra
    if wrong:
        listed = "; ".join(wrong[:_SHOWN_MISMATCHES])
        more = f"; and {len(wrong) - _SHOWN_MISMATCHES} more" * (len(wrong) > _SHOWN_MISMATCHES)
        raise WeightsError(path, expected="weights that fit its architecture", found=listed + more)


def _build(architecture: dict[str, Any], path: Path) -> Any:
    tasks = quiet_ultralytics.part("ultralytics.nn.tasks")
    kinds = {"detect": tasks.DetectionModel, "segment": tasks.SegmentationModel}
    kind = kinds[task_of(architecture)]
    with quiet_ultralytics.LOCK, torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        try:
            return kind(copy.deepcopy(architecture), ch=architecture["channels"], verbose=False)
        except Exception as error:
            raise _refused(path, f"one that cannot be built ({_brief(error)})") from error


def _read_architecture(name: str) -> dict[str, Any]:
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
    """yolo11n-seg is the file yolo11-seg at scale n; yolov9c and yolov10n are files themselves."""
    match = re.fullmatch(r"(yolov?\d+)([nsmlx])(-.+)?", stem)
    scaled = [(f"{match[1]}{match[3] or ''}", match[2])] if match else []
    return [*scaled, (stem, match[2] if match else "")]


class _SizeLimit(TorchFunctionMode):
    """Raises where a step would make a tensor larger than any detector needs."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for value in made if isinstance(made, list | tuple) else (made,):
            if isinstance(value, torch.Tensor) and value.numel() > _LARGEST_TENSOR:
                raise ValueError(f"a step that makes {value.numel()} numbers")
        return made


@contextmanager
def _module_budget() -> Iterator[None]:
    count = 0

    def count_one(*_: object) -> None:
        nonlocal count
        count += 1
        if count > _MOST_MODULES:
            raise ValueError(f"more than {_MOST_MODULES} modules")

    hook = torch.nn.modules.module.register_module_module_registration_hook(count_one)
    try:
        yield
    finally:
        hook.remove()


def _brief(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:160]


def _refused(path: Path, found: str) -> WeightsError:
    return WeightsError(path, expected="an architecture made of YOLO layers", found=found)
