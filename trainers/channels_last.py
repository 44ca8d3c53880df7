"""Which networks can be trained in the memory layout "channels last", on a CPU above all.

oneDNN's backward pass of a 1 × 1 convolution that steps over pixels writes past its memory where
the input has channels last and fewer of them than a block has: 8 with AVX2, 16 with AVX-512
(https://github.com/uxlfoundation/oneDNN/issues/6035, open in November 2026). The process then ends
by SIGABRT or SIGSEGV, or goes on with damaged numbers.
"""

import torch
from torch import nn

BLOCK = 16
"""The number of channels in oneDNN's widest block (AVX-512)."""


def takes_channels_last(network: nn.Module, device: torch.device) -> bool:
    """Return whether the network can be trained with channels last on the device.

    On a CPU it cannot where it has a convolution that oneDNN's bug may hit.
    """
    return device.type != "cpu" or not any(_is_unsafe(module) for module in network.modules())


def _is_unsafe(module: nn.Module) -> bool:
    return (
        isinstance(module, nn.Conv2d)
        and set(module.kernel_size) == {1}
        and max(module.stride) > 1
        and module.in_channels // module.groups < BLOCK
    )
