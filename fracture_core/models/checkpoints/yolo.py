"""What a YOLO checkpoint says of its network, taken out of inert records."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fracture_core.models.checkpoints.archive import Checkpoint, open_checkpoint
from fracture_core.models.checkpoints.limits import (
    MAX_NAME,
    MAX_TENSORS,
    Refusal,
    TensorPlace,
    is_plain_name,
    printable,
)
from fracture_core.models.checkpoints.pickles import Record, TensorRef
from fracture_core.models.checkpoints.state_dict import check_names, described

_EXPECTED = "a YOLO checkpoint written by Ultralytics"
_ADVICE = "Use the best.pt or last.pt that Ultralytics' training wrote."
_MAX_DEPTH = 40
_MAX_CLASSES = 10_000
_MAX_FLEETING = 1_000
_MAX_PLAIN = 20_000
_MAX_TEXT = 200
_MAX_NAME_OF_CLASS = 100
_SEARCHED = 100
DEFAULT_INPUT_SIZE = 640
ARCHITECTURE_KEYS = (
    "backbone",
    "head",
    "nc",
    "scales",
    "scale",
    "depth_multiple",
    "width_multiple",
    "activation",
    "reg_max",
    "end2end",
    "channels",
    "ch",
)
"""The keys of an architecture that are taken along; the rest is Ultralytics' bookkeeping."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What a checkpoint says; `architecture` holds plain values, of which none is trusted yet."""

    architecture: dict[str, Any]
    classes: tuple[str, ...]
    input_size: int
    places: dict[str, TensorPlace]


def describe(path: Path) -> Description:
    """Opens a `.pt` of Ultralytics; averaged weights (EMA) come before the last ones.

    Raises Refusal; nothing in the file runs.
    """
    checkpoint = open_checkpoint(path)
    network, training = _network(checkpoint)
    architecture = network.state.get("yaml")
    if not isinstance(architecture, dict):
        raise _unlike("a network without its architecture")
    refs = _Walk().tensors(network, _MAX_DEPTH)
    check_names(refs)
    kept = {key: architecture[key] for key in ARCHITECTURE_KEYS if key in architecture}
    return Description(
        architecture=_Plain().value(kept, _MAX_DEPTH),
        classes=_class_names(network.state.get("names")),
        input_size=_input_size(training),
        places=checkpoint.places(refs),
    )


def _network(checkpoint: Checkpoint) -> tuple[Record, Any]:
    content = checkpoint.content
    if isinstance(content, Record):
        content = {"model": content}
    if not isinstance(content, dict):
        raise _unlike(described(content))
    network = content.get("ema") or content.get("model")
    if not isinstance(network, Record):
        raise _unlike(_describe(content))
    if not isinstance(network.state, dict):
        raise _unlike(f"a {network.kind} without contents")
    training = content.get("train_args") or network.state.get("args")
    return network, training


def _describe(content: dict[Any, Any]) -> str:
    values = list(content.values())[:_SEARCHED]
    nested = [list(value.values())[:_SEARCHED] for value in values if isinstance(value, dict)]
    if any(isinstance(part, TensorRef) for parts in (values, *nested) for part in parts):
        return "a state dict, which does not say what network it belongs to"
    return f"a dict without a model in it ({described(content)})"


def _class_names(names: Any) -> tuple[str, ...]:
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not 0 < len(names) <= _MAX_CLASSES:
        raise _unlike("no list of class names")
    if set(names) != set(range(len(names))) or not all(map(is_plain_name, names.values())):
        raise _unlike("no list of class names that can be printed")
    return tuple(names[label][:_MAX_NAME_OF_CLASS] for label in range(len(names)))


def _input_size(training: Any) -> int:
    """Returns the size in pixels at which it was trained, of a rectangle the longer side."""
    if isinstance(training, Record):
        training = training.state
    size = training.get("imgsz") if isinstance(training, dict) else None
    sizes: list[Any] = list(size) if isinstance(size, list | tuple) and size else [size]
    if not all(type(side) is int and 32 <= side <= 4096 for side in sizes):
        return DEFAULT_INPUT_SIZE
    return int(max(sizes))


@dataclass(slots=True)
class _Walk:
    """Names tensors as `torch.nn.Module.state_dict` does; what modules share is visited once."""

    seen: dict[int, dict[str, TensorRef]] = field(default_factory=dict)

    def tensors(self, module: Record, depth: int) -> dict[str, TensorRef]:
        """Returns the tensors by their names in this module."""
        if id(module) not in self.seen:
            self.seen[id(module)] = self._tensors(module, depth)
        return self.seen[id(module)]

    def _tensors(self, module: Record, depth: int) -> dict[str, TensorRef]:
        parameters, buffers, children = _parts(module, depth)
        found = {
            name: value
            for name, value in {**parameters, **buffers}.items()
            if isinstance(name, str) and isinstance(value, TensorRef)
        }
        for name, child in children.items():
            if not isinstance(child, Record):
                continue
            for inner, ref in self.tensors(child, depth - 1).items():
                found[f"{printable(name, MAX_NAME)}.{inner}"] = ref
            if len(found) > MAX_TENSORS:
                raise _unlike(f"a network of more than {MAX_TENSORS} tensors")
        return found


def _parts(module: Record, depth: int) -> tuple[dict[Any, Any], dict[Any, Any], dict[Any, Any]]:
    """Returns a module's parameters, those of its buffers that are saved, and its children."""
    state = module.state if isinstance(module.state, dict) else {}
    parts = [state.get(part) or {} for part in ("_parameters", "_buffers", "_modules")]
    fleeting = state.get("_non_persistent_buffers_set") or []
    dicts = all(isinstance(part, dict) and len(part) <= MAX_TENSORS for part in parts)
    listed = isinstance(fleeting, list) and len(fleeting) <= _MAX_FLEETING
    if depth == 0 or not (dicts and listed):
        raise _unlike(f"a {module.kind} that is not a network's layer")
    left_out = {name for name in fleeting if isinstance(name, str)}
    kept = {name: value for name, value in parts[1].items() if name not in left_out}
    return parts[0], kept, parts[2]


@dataclass(slots=True)
class _Plain:
    """Copies plain values, counted as often as they are copied; raises Refusal for others."""

    count: int = 0

    def value(self, value: Any, depth: int) -> Any:
        self.count += 1
        if depth == 0 or self.count > _MAX_PLAIN:
            raise _unlike("an architecture without end")
        if isinstance(value, list | tuple):
            return [self.value(item, depth - 1) for item in value]
        if isinstance(value, dict):
            return {printable(key): self.value(value[key], depth - 1) for key in value}
        if isinstance(value, str):
            return value[:_MAX_TEXT]
        if value is None or isinstance(value, bool | int | float):
            return value
        raise _unlike(f"an architecture with {printable(value)} in it")


def _unlike(found: str) -> Refusal:
    return Refusal(expected=_EXPECTED, found=found, advice=_ADVICE)
