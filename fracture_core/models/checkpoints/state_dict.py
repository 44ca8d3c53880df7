"""The state dict in a checkpoint, wherever its maker put it."""

from pathlib import Path
from typing import Any

from fracture_core.models.checkpoints.archive import open_checkpoint
from fracture_core.models.checkpoints.limits import (
    MAX_TENSORS,
    Refusal,
    TensorPlace,
    is_plain_name,
    printable,
)
from fracture_core.models.checkpoints.pickles import TensorRef

# Where a checkpoint may keep its state dict, averaged weights (EMA) before the last ones.
_NESTS = ("ema", "ema_state_dict", "model_ema", "model", "state_dict", "model_state_dict", "module")
_MOST_NESTED = 4
_MOST_KEYS_SHOWN = 8


def read_places(path: Path) -> dict[str, TensorPlace]:
    """Returns where the tensors lie, by name; raises Refusal."""
    checkpoint = open_checkpoint(path)
    refs = _tensor_refs(checkpoint.content, _MOST_NESTED)
    if not refs:
        found = f"a checkpoint without one ({described(checkpoint.content)})"
        raise Refusal(expected="a state dict", found=found)
    check_names(refs)
    return checkpoint.places(refs)


def check_names(refs: dict[str, TensorRef]) -> None:
    """Raises Refusal for more tensors than a network has, or for names that none has."""
    if len(refs) > MAX_TENSORS:
        found = f"more than {MAX_TENSORS} tensors"
        raise Refusal(expected=f"at most {MAX_TENSORS} tensors", found=found)
    for name in refs:
        if not is_plain_name(name):
            expected = "tensors with the names of a network's"
            raise Refusal(expected=expected, found=f"one named {printable(name)!r}")


def described(content: Any) -> str:
    """Says in a few words what a checkpoint's content looks like.

    Example:
        >>> described({"epoch": 3, "model": None})
        'keys: epoch, model'
    """
    if not isinstance(content, dict):
        return printable(content)
    keys = (printable(key) for key, _ in zip(content, range(_MOST_KEYS_SHOWN), strict=False))
    return f"keys: {', '.join(keys) or 'none'}"


def _tensor_refs(content: Any, depth: int) -> dict[str, TensorRef]:
    """Returns the state dict in a checkpoint's content, {} where there is none."""
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
