"""State dicts from elsewhere: read without running anything, unwrapped, and fitted to a network."""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from fracture_core.errors import WeightsError
from fracture_core.models.checkpoints import open_checkpoint
from fracture_core.models.pickles import TensorRef

State = Mapping[str, Tensor]
T = TypeVar("T")

# Averaged weights before the last ones.
_NESTS = ("ema", "ema_state_dict", "model_ema", "model", "state_dict", "model_state_dict", "module")
_PREFIXES = ("module.", "_orig_mod.", "model.", "detr.", "network.", "net.")
_MOST_NESTED = 4
_MOST_LISTED = 10
_MOST_TENSORS = 50_000
# Counters that do not take part in an answer.
_COUNTERS = ".num_batches_tracked"
_FETCH_AGAIN = "The file is damaged; fetch or save it again."


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file or of a checkpoint of `torch.save`, by name.

    In a checkpoint they may be nested under `ema`, `model`, `state_dict` and the like. Raises
    WeightsError; nothing in the file runs.
    """
    if not path.is_file():
        raise WeightsError(path, expected="a weights file", found="no such file")
    if path.suffix.lower() == ".safetensors":
        return _read_safetensors(path)
    checkpoint = open_checkpoint(path)
    refs = _tensor_refs(checkpoint.content, _MOST_NESTED)
    if not refs:
        found = f"a checkpoint without one ({_describe(checkpoint.content)})"
        raise WeightsError(path, expected="a state dict", found=found)
    return checkpoint.read_tensors(refs)


def unwrap(
    state: Mapping[str, T], recognised: Callable[[Collection[str]], bool]
) -> dict[str, T] | None:
    """The state under the wrapping prefix (`module.`, `model.`, …) where its names are recognised.

    None where they are under none. What lies outside of the prefix, such as a loss, is left out.
    """
    seen: list[Mapping[str, T]] = [state]
    for _ in range(_MOST_NESTED):
        for names in seen:
            if recognised(names):
                return dict(names)
        seen = [part for names in seen for part in _stripped(names)]
    return None


def fit(
    network: nn.Module, state: State, source: Path, *, canonical: Callable[[str], str] = str
) -> None:
    """Copy `state` into `network`, every tensor of both accounted for.

    Names are compared as `canonical` gives them. Tensors that the network ties to others may be
    left out. Raises WeightsError, which lists what differs by name and shape.
    """
    given = {canonical(name): tensor for name, tensor in state.items()}
    own: dict[str, list[Tensor]] = {}
    for name, tensor in network.state_dict(keep_vars=True).items():
        own.setdefault(canonical(name), []).append(tensor)
    filled = {id(tensor) for name in given if name in own for tensor in own[name]}
    missing = (
        f"no {name} {tuple(tensors[0].shape)}"
        for name, tensors in own.items()
        if not name.endswith(_COUNTERS) and any(id(tensor) not in filled for tensor in tensors)
    )
    surplus = (
        f"an extra {name} {tuple(tensor.shape)}"
        for name, tensor in given.items()
        if name not in own and not name.endswith(_COUNTERS)
    )
    reshaped = (
        f"{name} {tuple(given[name].shape)} instead of {tuple(tensors[0].shape)}"
        for name, tensors in own.items()
        if name in given and given[name].shape != tensors[0].shape
    )
    differing = [*reshaped, *missing, *surplus]
    if differing:
        raise WeightsError(source, expected=_account(network), found=_listed(differing))
    _check_finite(given, own, source)
    with torch.no_grad():
        for name, tensors in own.items():
            for tensor in tensors if name in given else ():
                tensor.copy_(given[name])


def save_state(network: nn.Module, path: Path, *, half: bool = False) -> None:
    """Write a network's tensors as safetensors, tied ones once; `half` makes floats float16.

    Raises WeightsError where a number is beyond the range of float16.
    """
    unique: dict[int, tuple[str, Tensor]] = {}
    for name, tensor in network.state_dict(keep_vars=True).items():
        unique.setdefault(id(tensor), (name, tensor.detach().cpu().contiguous()))
    save_tensors(dict(unique.values()), path, half=half)


def save_tensors(state: State, path: Path, *, half: bool = False) -> None:
    """As `save_state`, of tensors by name."""
    from safetensors.torch import save_file

    written = {name: _halved(name, t, path) if half else t for name, t in state.items()}
    save_file(written, path)


def _halved(name: str, tensor: Tensor, path: Path) -> Tensor:
    if not tensor.is_floating_point():
        return tensor
    halved = tensor.half()
    if bool((halved.isinf() & tensor.isfinite()).any()):
        found = f"{name} up to {tensor.abs().max():.3g}"
        expected = "weights in the range of float16, up to 65,504"
        raise WeightsError(path, expected=expected, found=found, advice="Save in full precision.")
    return halved


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            if len(names) > _MOST_TENSORS:
                found = f"{len(names)} tensors"
                raise WeightsError(path, expected=f"at most {_MOST_TENSORS} tensors", found=found)
            return {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError, ValueError) as error:
        found = f"one that cannot be read ({str(error)[:200]})"
        raise WeightsError(
            path, expected="a safetensors file", found=found, advice=_FETCH_AGAIN
        ) from error


def _tensor_refs(content: Any, depth: int) -> dict[str, TensorRef]:
    """The state dict in a checkpoint's content, {} where there is none."""
    if not isinstance(content, dict) or depth == 0:
        return {}
    for nest in _NESTS:
        if found := _tensor_refs(content.get(nest), depth - 1):
            return found
    return {
        name: value
        for name, value in content.items()
        if isinstance(name, str) and isinstance(value, TensorRef)
    }


def _describe(content: Any) -> str:
    if not isinstance(content, dict):
        return f"a {type(content).__name__}"
    return f"keys: {', '.join(str(key)[:40] for key in list(content)[:8]) or 'none'}"


def _stripped(names: Mapping[str, T]) -> list[Mapping[str, T]]:
    parts = (
        {name.removeprefix(p): value for name, value in names.items() if name.startswith(p)}
        for p in _PREFIXES
    )
    return [part for part in parts if part]


def _account(network: nn.Module) -> str:
    return f"the tensors of a {type(network).__name__}"


def _listed(differing: list[str]) -> str:
    rest = len(differing) - _MOST_LISTED
    more = f" and {rest} more" if rest > 0 else ""
    return "; ".join(differing[:_MOST_LISTED]) + more


def _check_finite(given: State, own: Mapping[str, object], source: Path) -> None:
    for name, tensor in given.items():
        if name in own and tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            found = f"{name} with values that are none"
            raise WeightsError(source, expected="finite weights", found=found)
