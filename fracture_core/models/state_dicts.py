"""State dicts from elsewhere: read without running anything, unwrapped, and fitted to a network."""

from collections.abc import Callable, Collection, Mapping
from io import BufferedReader
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from fracture_core import importing
from fracture_core.errors import WeightsError
from fracture_core.models.checkpoints.limits import TensorPlace
from fracture_core.models.checkpoints.process import read_contents

State = Mapping[str, Tensor]
T = TypeVar("T")

_PREFIXES = ("module.", "_orig_mod.", "model.", "detr.", "network.", "net.")
_MOST_NESTED = 4
_MOST_LISTED = 10
# Counters of batch norms, which take no part in a prediction.
_COUNTERS = ".num_batches_tracked"
_DTYPES = {
    "float64": torch.float64,
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "int64": torch.int64,
    "int32": torch.int32,
    "int16": torch.int16,
    "int8": torch.int8,
    "uint8": torch.uint8,
    "bool": torch.bool,
}


def read_state(path: Path) -> dict[str, Tensor]:
    """Returns the tensors of a safetensors file or of a checkpoint of `torch.save`, by name.

    In a checkpoint they may be nested under `ema`, `model`, `state_dict` and the like. Raises
    WeightsError; nothing in the file runs.
    """
    return read_tensors(path, read_contents(path, "state dict").places)


def read_tensors(path: Path, places: Mapping[str, TensorPlace]) -> dict[str, Tensor]:
    """Returns tensors on the CPU in the type in which they were saved.

    Tensors of one block share their memory. Raises WeightsError where the file ends before a tensor
    does.
    """
    blocks: dict[tuple[int, int, str], Tensor] = {}
    with path.open("rb") as file:
        for place in places.values():
            key = (place.start, place.length, place.dtype)
            if key not in blocks:
                blocks[key] = _read_block(file, place, path)
    return {
        name: blocks[place.start, place.length, place.dtype].as_strided(
            place.size, place.stride, place.offset
        )
        if 0 not in place.size
        else torch.empty(place.size, dtype=_DTYPES[place.dtype])
        for name, place in places.items()
    }


def _read_block(file: BufferedReader, place: TensorPlace, path: Path) -> Tensor:
    block = torch.empty(place.length, dtype=_DTYPES[place.dtype])
    file.seek(place.start)
    if place.length and file.readinto(block.view(torch.uint8).numpy().data) < place.byte_count:
        found = f"one that ends before byte {place.start + place.byte_count}"
        raise WeightsError(path, expected="the file that was read before", found=found)
    return block


def unwrap(
    state: Mapping[str, T], recognised: Callable[[Collection[str]], bool]
) -> dict[str, T] | None:
    """Returns the state under the wrapping prefix (`module.`, `model.`, …) where it is recognised.

    None means that its names are recognised under none. What lies outside of the prefix, such as a
    loss, is left out.

    Example:
        >>> unwrap({"module.fc.weight": 1, "loss.weight": 2}, lambda names: "fc.weight" in names)
        {'fc.weight': 1}
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
    """Copies `state` into `network`, every tensor of both accounted for.

    Names are compared as `canonical` gives them. Fractional numbers fit fractional ones of any
    precision, and whole numbers whole ones. Tensors that the network ties to others may be left
    out. Raises WeightsError, which lists what differs by name, shape and kind of numbers.
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
    differing = [*reshaped, *_of_other_kind(given, own), *missing, *surplus]
    if differing:
        raise WeightsError(source, expected=_account(network), found=_listed(differing))
    _check_finite(given, own, source)
    with torch.no_grad():
        for name, tensors in own.items():
            for tensor in tensors if name in given else ():
                tensor.copy_(given[name])


def _of_other_kind(given: State, own: Mapping[str, list[Tensor]]) -> list[str]:
    """Lists where copying would round weights, or take whole numbers for weights."""
    return [
        f"{name} of {_kind(given[name])} instead of {_kind(tensors[0])}"
        for name, tensors in own.items()
        if name in given
        and given[name].is_floating_point() != tensors[0].is_floating_point()
        # A state dict that was turned into float16 tensor by tensor has float16 counters too.
        and not (name.endswith(_COUNTERS) and given[name].is_floating_point())
    ]


def _kind(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def save_state(network: nn.Module, path: Path, *, half: bool = False) -> None:
    """Writes a network's tensors as safetensors, tied ones once; `half` turns floats into float16.

    Raises WeightsError where a number is beyond the range of float16.
    """
    unique: dict[int, tuple[str, Tensor]] = {}
    for name, tensor in network.state_dict(keep_vars=True).items():
        unique.setdefault(id(tensor), (name, tensor.detach().cpu().contiguous()))
    save_tensors(dict(unique.values()), path, half=half)


def save_tensors(state: State, path: Path, *, half: bool = False) -> None:
    """Writes tensors by name as `save_state` writes a network's."""
    with importing.LOCK:
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
