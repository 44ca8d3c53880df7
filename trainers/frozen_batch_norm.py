"""Batch norms that training leaves alone: each is a fixed scale and shift of every channel."""

from typing import Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional


class _Norm(Protocol):
    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor


class FixedNorm(nn.Module):
    """A batch norm whose numbers are all buffers, named as in torchvision's FrozenBatchNorm2d.

    It takes that one's place because that one computes in float32: under autocast everything behind
    it would be float32, too.
    """

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, *, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.register_buffer("weight", torch.ones(channels))
        self.register_buffer("bias", torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (B, C, H, W) by the stored statistics, in training mode, too."""
        return functional.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
        )


def fix_norms(network: nn.Module, *, frozen_alone: bool = False) -> None:
    """Replace every 2-D batch norm in a network by a `FixedNorm` with the same numbers, in place.

    With `frozen_alone` only norms that are already frozen are replaced; those that learn stay.
    """
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            learns = isinstance(child, nn.BatchNorm2d)
            if _is_batch_norm(child) and not (learns and frozen_alone):
                setattr(parent, name, _fixed(child))


def _is_batch_norm(module: nn.Module) -> bool:
    # transformers has a class of frozen norms for each architecture, told by its name only.
    return isinstance(module, nn.BatchNorm2d) or type(module).__name__.endswith("FrozenBatchNorm2d")


@torch.no_grad()
def _fixed(norm: nn.Module) -> FixedNorm:
    given = cast(_Norm, norm)
    fixed = FixedNorm(len(given.running_mean), eps=float(getattr(norm, "eps", 1e-5)))
    fixed.weight.copy_(given.weight)
    fixed.bias.copy_(given.bias)
    fixed.running_mean.copy_(given.running_mean)
    fixed.running_var.copy_(given.running_var)
    return fixed
