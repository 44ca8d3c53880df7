"""The architecture of a network as its card states it, checked, and what its tensors tell of it."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from fracture_core.errors import WeightsError, first_fault
from fracture_core.models.cards import ModelCard


class Architecture(BaseModel):
    """How to build a network: its library's `name` for it, and where its weights come from.

    `weights` is the library's name of published weights; "" stands for random ones, drawn from
    `seed`. Both matter only where the card names no weights file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    weights: str = ""
    seed: int = Field(default=0, ge=0, lt=2**32)

    @classmethod
    def of(cls, card: ModelCard) -> Self:
        """Returns the architecture on a card; raises WeightsError where it is malformed."""
        try:
            return cls.model_validate(card.architecture)
        except ValidationError as error:
            found = first_fault(error, "architecture")
            expected = "a card with the architecture of its network"
            raise WeightsError(card.model_id, expected=expected, found=found) from error


def named_classes(
    names: tuple[str, ...] | None, count: int, weights: Path, note: str = ""
) -> tuple[str, ...]:
    """Returns the names given for a network's `count` classes; raises WeightsError unless they fit.

    `note` is appended to the count in the error.
    """
    if names is not None and len(names) == count:
        return names
    found = "none" if names is None else f"{len(names)}: {', '.join(names)}"
    raise WeightsError(
        weights,
        expected=f"names for its {count} class{'es' * (count != 1)}{note}",
        found=found,
        advice="Give them in the order of training: --classes a,b,…",
    )


def shape_of(state: Mapping[str, Tensor], name: str, ndim: int, weights: Path) -> tuple[int, ...]:
    """Returns the shape of a tensor that tells a size.

    Raises WeightsError where the tensor is missing, has not `ndim` dimensions, or is empty.
    """
    if name not in state or state[name].ndim != ndim or 0 in state[name].shape:
        found = f"one of shape {tuple(state[name].shape)}" if name in state else "none"
        raise WeightsError(
            weights, expected=f"a tensor {name} of {ndim} dimensions, none 0", found=found
        )
    return tuple(state[name].shape)


def unknown_state(names: Collection[str], weights: Path, expected: str) -> WeightsError:
    """Returns the error for a state dict of another network; it lists up to ten of the tensors."""
    listed = ", ".join(str(name)[:60] for name in list(names)[:10])
    more = f" and {len(names) - 10} more" * (len(names) > 10)
    return WeightsError(weights, expected=expected, found=f"the tensors {listed or 'none'}{more}")
