"""What a YOLO checkpoint says of its network, taken out of inert records."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from fracture_core.errors import WeightsError
from fracture_core.models.checkpoints import Checkpoint, open_checkpoint
from fracture_core.models.pickles import Record, TensorRef

_EXPECTED = "a YOLO checkpoint written by Ultralytics"
_MAX_TENSORS = 20_000
_MAX_DEPTH = 40
DEFAULT_INPUT_SIZE = 640


@dataclass(frozen=True, slots=True, kw_only=True)
class YoloWeights:
    """A checkpoint before its network is built: nothing here is trusted yet.

    `architecture` is the yaml as a dict, `refs` the tensors by their state dict names.
    """

    checkpoint: Checkpoint
    architecture: dict[str, Any]
    classes: tuple[str, ...]
    input_size: int
    refs: dict[str, TensorRef]

    def read_tensors(self) -> dict[str, torch.Tensor]:
        return self.checkpoint.read_tensors(self.refs)


def read_yolo_weights(path: Path) -> YoloWeights:
    """Open a `.pt` of Ultralytics, the averaged weights (EMA) before the last ones.

    Raises WeightsError; nothing in the file runs.
    """
    checkpoint = open_checkpoint(path)
    network, training = _network(checkpoint)
    architecture = network.state.get("yaml")
    if not isinstance(architecture, dict):
        raise _unlike(path, "a network without its architecture")
    return YoloWeights(
        checkpoint=checkpoint,
        architecture=architecture,
        classes=_class_names(network.state.get("names"), path),
        input_size=_input_size(training),
        refs=_tensors(network, path),
    )


def _network(checkpoint: Checkpoint) -> tuple[Record, Any]:
    content, path = checkpoint.content, checkpoint.path
    if isinstance(content, Record):
        content = {"model": content}
    if not isinstance(content, dict):
        raise _unlike(path, f"a {type(content).__name__}")
    network = content.get("ema") or content.get("model")
    if not isinstance(network, Record):
        raise _unlike(path, _describe(content))
    if not isinstance(network.state, dict):
        raise _unlike(path, f"a {network.kind} without contents")
    training = content.get("train_args") or network.state.get("args")
    return network, training


def _describe(content: dict[Any, Any]) -> str:
    nested = [value for value in content.values() if isinstance(value, dict)]
    if any(isinstance(part, TensorRef) for d in (content, *nested) for part in d.values()):
        return "a state dict, which does not say what network it belongs to"
    keys = ", ".join(str(key)[:40] for key in list(content)[:8])
    return f"a dict without a model in it (keys: {keys or 'none'})"


def _class_names(names: Any, path: Path) -> tuple[str, ...]:
    if isinstance(names, list):
        names = dict(enumerate(names))
    whole = isinstance(names, dict) and set(names) == set(range(len(names)))
    if not whole or not names or not all(isinstance(name, str) for name in names.values()):
        raise _unlike(path, "no list of class names")
    return tuple(names[label][:100] for label in range(len(names)))


def _input_size(training: Any) -> int:
    """The size it was trained at; the longer side where that was no square."""
    if isinstance(training, Record):
        training = training.state
    size = training.get("imgsz") if isinstance(training, dict) else None
    sizes: list[Any] = list(size) if isinstance(size, list | tuple) and size else [size]
    if not all(type(side) is int and 32 <= side <= 4096 for side in sizes):
        return DEFAULT_INPUT_SIZE
    return int(max(sizes))


def _tensors(network: Record, path: Path) -> dict[str, TensorRef]:
    found: dict[str, TensorRef] = {}
    for name, ref in _walk(network, "", path, _MAX_DEPTH):
        found[name] = ref
        if len(found) > _MAX_TENSORS:
            raise _unlike(path, f"a network of more than {_MAX_TENSORS} tensors")
    return found


def _walk(module: Record, prefix: str, path: Path, depth: int) -> Iterator[tuple[str, TensorRef]]:
    """Names as `torch.nn.Module.state_dict` gives them."""
    state = module.state if isinstance(module.state, dict) else {}
    parts = {part: state.get(part) or {} for part in ("_parameters", "_buffers", "_modules")}
    if depth == 0 or not all(isinstance(part, dict) for part in parts.values()):
        raise _unlike(path, f"a {module.kind} that is not a network's layer")
    fleeting = state.get("_non_persistent_buffers_set") or []
    for name, value in {**parts["_parameters"], **parts["_buffers"]}.items():
        if isinstance(value, TensorRef) and name not in fleeting:
            yield f"{prefix}{name}", value
    for name, child in parts["_modules"].items():
        if isinstance(child, Record):
            yield from _walk(child, f"{prefix}{name}.", path, depth - 1)


def _unlike(path: Path, found: str) -> WeightsError:
    advice = "Use the best.pt or last.pt that Ultralytics' training wrote."
    return WeightsError(path, expected=_EXPECTED, found=found, advice=advice)
