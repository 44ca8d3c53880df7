"""State dicts of published classifiers under the names of ours.

An EfficientNet with an attention gate, as `base_model.features.0.0.weight` and a head that may be
called anything: its parts are told by their shapes. A ResNet whose shortcuts are called `shortcut`,
whose last layer is called `linear`, whose convolutions and norms come in pairs (`conv1.0.weight`,
`conv1.1.weight`) or whose stages are counted from 0.

A layer before a batch norm has no bias here, as the norm subtracts it again. Where a published one
has, it is taken off the norm's running mean, which computes the same.
"""

import re
from collections.abc import Iterable

from torch import Tensor

from fracture_core.models.state_dicts import State

_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")

# ---- EfficientNet with a gate --------------------------------------------------------------------

_STEM = re.compile(r"(.*?)0\.0\.weight")


def gated_state(state: State) -> dict[str, Tensor] | None:
    """Return the state of an `EfficientNetGate`, None where the tensors are not those of one.

    The features are found by their stem, a 3×3 convolution of three channels; the gate is the two
    1×1 convolutions outside of them, the head two linear layers with a batch norm between. The
    classifier that EfficientNet came with may be there and is left out.
    """
    prefix = next((each for each in map(_stem_of, state.items()) if each is not None), None)
    if prefix is None:
        return None
    outside = {name: tensor for name, tensor in state.items() if not name.startswith(prefix)}
    if prefix == "":
        outside = {name: t for name, t in state.items() if not re.match(r"\d+\.", name)}
    inside = {name.removeprefix(prefix): t for name, t in state.items() if name not in outside}
    gate, head = _gate_of(outside), _head_of(outside)
    if gate is None or head is None:
        return None
    used = {*gate.values(), *head.values()}
    own_head = f"{prefix.removesuffix('features.')}classifier."
    if any(name not in used and not name.startswith(own_head) for name in outside):
        return None
    renamed = {**gate, **head}
    found = {f"extractor.{name}": tensor for name, tensor in inside.items()}
    found |= {name: outside[given] for name, given in renamed.items()}
    return _without_bias(found, "head.1", "head.2")


def _stem_of(named: tuple[str, Tensor]) -> str | None:
    name, tensor = named
    told = _STEM.fullmatch(name)
    is_stem = told is not None and tensor.ndim == 4 and tuple(tensor.shape[1:]) == (3, 3, 3)
    return told[1] if told is not None and is_stem else None


def _gate_of(outside: State) -> dict[str, str] | None:
    """Our names of a gate's tensors to theirs: 1×1 convolutions to fewer channels, then to one."""
    layers = _layers(outside, 4)
    for first in layers:
        for last in layers:
            squeezed, scored = outside[f"{first}.weight"], outside[f"{last}.weight"]
            fits = tuple(scored.shape) == (1, squeezed.shape[0], 1, 1)
            if first != last and fits and tuple(squeezed.shape[2:]) == (1, 1):
                pairs = (("gate.squeeze", first), ("gate.score", last))
                return _named(pairs, outside, ("weight", "bias"))
    return None


def _head_of(outside: State) -> dict[str, str] | None:
    """Our names of a head's tensors to theirs: linear, batch norm, linear."""
    layers = _layers(outside, 2)
    norms = [
        name.removesuffix(".running_mean") for name in outside if name.endswith("running_mean")
    ]
    for first in layers:
        for last in layers:
            width = outside[f"{first}.weight"].shape[0]
            between = [each for each in norms if outside[f"{each}.running_mean"].shape == (width,)]
            fits = outside[f"{last}.weight"].shape[1] == width
            if first != last and fits and len(between) == 1:
                pairs = (("head.1", first), ("head.2", between[0]), ("head.4", last))
                return _named(pairs, outside, _NORM)
    return None


def _layers(state: State, dimensions: int) -> list[str]:
    """The names of layers whose weight has so many dimensions, in the order of the file."""
    return [
        name.removesuffix(".weight")
        for name, tensor in state.items()
        if name.endswith(".weight") and tensor.ndim == dimensions
    ]


def _named(pairs: Iterable[tuple[str, str]], state: State, parts: Iterable[str]) -> dict[str, str]:
    return {
        f"{ours}.{part}": f"{theirs}.{part}"
        for ours, theirs in pairs
        for part in parts
        if f"{theirs}.{part}" in state
    }


# ---- ResNet --------------------------------------------------------------------------------------

_RESNET = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"(^|\.)linear\.", r"\1fc."),
        (r"\.shortcut\.", ".downsample."),
        # A convolution and its norm as one sequence.
        (r"(^|\.)conv(\d)\.0\.", r"\1conv\2."),
        (r"(^|\.)conv(\d)\.1\.", r"\1bn\2."),
    )
)
_STAGE = re.compile(r"\blayer(\d)\.")
_CONVOLUTION = re.compile(r"(.*\b)conv(\d)\.weight")


def resnet_state(state: State) -> dict[str, Tensor]:
    """Return a state whose names are torchvision's of a ResNet where they mean the same."""
    found = {}
    stages = {int(told[1]) for told in map(_STAGE.search, state) if told is not None}
    for name, tensor in state.items():
        ours = name
        for pattern, replacement in _RESNET:
            ours = pattern.sub(replacement, ours)
        if stages == {0, 1, 2, 3}:
            ours = _STAGE.sub(lambda told: f"layer{int(told[1]) + 1}.", ours, count=1)
        found[ours] = tensor
    layers = [told for told in map(_CONVOLUTION.fullmatch, found) if told is not None]
    for told in layers:
        found = _without_bias(found, f"{told[1]}conv{told[2]}", f"{told[1]}bn{told[2]}")
    for name in [each for each in found if each.endswith("downsample.0.bias")]:
        shortcut = name.removesuffix(".0.bias")
        found = _without_bias(found, f"{shortcut}.0", f"{shortcut}.1")
    return found


# ---- biases before a norm ------------------------------------------------------------------------


def _without_bias(state: dict[str, Tensor], layer: str, norm: str) -> dict[str, Tensor]:
    """The state with the bias of a layer taken off the running mean of the norm behind it."""
    bias, mean = state.get(f"{layer}.bias"), state.get(f"{norm}.running_mean")
    if bias is None or mean is None or bias.shape != mean.shape:
        return state
    kept = {name: tensor for name, tensor in state.items() if name != f"{layer}.bias"}
    return {**kept, f"{norm}.running_mean": mean - bias}
