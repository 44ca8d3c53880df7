"""YOLO networks, built from an architecture that somebody else wrote.

An architecture, once checked, is built without memory (PyTorch's meta device) and run once there,
to see what it would take, before a number is allocated.
"""

import copy
import math
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from fracture_core.errors import WeightsError
from fracture_core.models import quiet_ultralytics
from fracture_core.models.adapter import drawn_from
from fracture_core.models.cards import Task
from fracture_core.models.state_dicts import fit, read_state
from fracture_core.models.yolo_architectures import (
    YoloWeights,
    check_architecture,
    refused,
    task_of,
)
from fracture_core.types import MAX_CANDIDATES

Shapes = dict[str, tuple[int, ...]]
# The limits are more than twice what the largest network has that Ultralytics publishes.
_MOST_MODULES = 5_000
_MOST_PARAMETERS = 1_000_000_000
_LARGEST_TENSOR = 2**29
_SHOWN_MISMATCHES = 5


def build_network(weights: YoloWeights) -> tuple[Any, Task]:
    """Returns the network in eval mode on the CPU, with its weights in float32, and its task.

    Raises WeightsError for an architecture that is not a YOLO detector or segmenter, and for
    weights that do not fit it, listed by name and shape.
    """
    path = weights.path
    architecture = check_architecture(weights.architecture, path)
    shapes = {name: place.size for name, place in weights.places.items()}
    network = _network_for(architecture, shapes, weights.input_size, path)
    if len(weights.classes) != architecture["nc"]:
        found = f"{len(weights.classes)} names and {architecture['nc']} classes"
        raise WeightsError(path, expected="a name for every class", found=found)
    fit(network, weights.read_tensors(), path)
    return network, task_of(architecture)


def load_network(architecture: dict[str, Any], weights: Path, *, input_size: int) -> Any:
    """Returns the network of a checked architecture with the weights of a state dict of our own.

    Raises WeightsError for weights that do not fit, listed by name and shape.
    """
    state = read_state(weights)
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    network = _network_for(architecture, shapes, input_size, weights)
    fit(network, state, weights)
    return network


def random_network(
    architecture: dict[str, Any], source: Path, *, input_size: int, seed: int
) -> Any:
    """Returns a checked architecture's network with random weights, the same each time for a seed.

    Raises WeightsError where it cannot be built or is too large.
    """
    _dry_run(architecture, None, input_size, source)
    return _ready(_build(architecture, source, seed=seed))


@torch.no_grad()
def set_even_odds(network: Any) -> None:
    """Lets a network that is not fused begin with a score of 1/2 for every class everywhere."""
    head = network.model[-1]
    for name in ("cv3", "one2one_cv3"):
        for branch in getattr(head, name, None) or ():
            branch[-1].bias.zero_()


def _network_for(architecture: dict[str, Any], shapes: Shapes, input_size: int, path: Path) -> Any:
    """Returns a network that tensors of these shapes fit, fused where they are."""
    _dry_run(architecture, shapes, input_size, path)
    network = _ready(_build(architecture, path, seed=0))
    return network.fuse(verbose=False) if _is_fused(shapes) else network


def _ready(network: Any) -> Any:
    """Sets eval mode, and the head that needs no NMS where there is one (YOLOv10, YOLO26)."""
    network.model[-1].max_det = MAX_CANDIDATES
    _choose_head(network.model[-1])
    return network.eval()


def _choose_head(head: Any) -> None:
    head.end2end = getattr(head, "one2one_cv2", None) is not None


def _is_fused(names: Collection[str]) -> bool:
    """Tells whether batch norms were already folded into their convolutions."""
    return not any(".bn." in name for name in names)


def _dry_run(
    architecture: dict[str, Any], shapes: Shapes | None, input_size: int, path: Path
) -> None:
    """Builds and runs without memory; raises where weights differ or it would take too much."""
    tasks = quiet_ultralytics.part("ultralytics.nn.tasks")
    with quiet_ultralytics.LOCK, torch.device("meta"), _module_budget():
        try:
            layers, _ = tasks.parse_model(
                copy.deepcopy(architecture), ch=architecture["channels"], verbose=False
            )
        except Exception as error:
            # Whatever a stranger's architecture makes the library raise, the file is refused for.
            raise refused(path, f"one that cannot be built ({_brief(error)})") from error
    if shapes is None:
        _check_count(layers, path)
    else:
        _compare(_shapes(_fused(layers) if _is_fused(shapes) else layers), shapes, path)
    try:
        with torch.inference_mode(), _SizeLimit():
            _forward_on_meta(layers, architecture["channels"], max(256, input_size))
    except Exception as error:
        raise refused(path, f"one that cannot be run ({_brief(error)})") from error


def _fused(layers: Any) -> Any:
    """Returns a copy as it is once fused, still without memory."""
    model = quiet_ultralytics.part("ultralytics.nn.tasks").BaseModel()
    model.model = copy.deepcopy(layers).eval()
    _choose_head(model.model[-1])
    return model.fuse(verbose=False).model


def _shapes(layers: Any) -> Shapes:
    return {f"model.{name}": tuple(value.shape) for name, value in layers.state_dict().items()}


def _check_count(layers: Any, path: Path) -> None:
    count = sum(parameter.numel() for parameter in layers.parameters())
    if count > _MOST_PARAMETERS:
        raise refused(path, f"one of {count:,} parameters")


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


def _compare(expected: Shapes, found: Shapes, path: Path) -> None:
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


def _build(architecture: dict[str, Any], path: Path, *, seed: int) -> Any:
    tasks = quiet_ultralytics.part("ultralytics.nn.tasks")
    kinds = {"detect": tasks.DetectionModel, "segment": tasks.SegmentationModel}
    kind = kinds[task_of(architecture)]
    with quiet_ultralytics.LOCK, drawn_from(seed):
        try:
            return kind(copy.deepcopy(architecture), ch=architecture["channels"], verbose=False)
        except Exception as error:
            raise refused(path, f"one that cannot be built ({_brief(error)})") from error


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
    count, building = 0, threading.get_ident()

    def count_one(*_: object) -> None:
        nonlocal count
        # The hook is called for all threads, and another one may be building as well.
        count += threading.get_ident() == building
        if count > _MOST_MODULES:
            raise ValueError(f"more than {_MOST_MODULES} modules")

    hook = torch.nn.modules.module.register_module_module_registration_hook(count_one)
    try:
        yield
    finally:
        hook.remove()


def _brief(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:160]
