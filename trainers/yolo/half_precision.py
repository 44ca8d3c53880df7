"""bfloat16 on a CPU, which Ultralytics' own autocast knows on CUDA alone."""

from typing import Any

import torch
from torch import Tensor

from trainers.channels_last import takes_channels_last


def compute_in_bfloat16(network: Any) -> None:
    """Let a network of Ultralytics compute its layers in bfloat16 and answer in float32.

    Losses and boxes are then computed in float32: a coordinate of hundreds of pixels has no room in
    the 8 bits of a bfloat16. The convolutions take the layout that a CPU computes fastest.
    """
    if takes_channels_last(network, torch.device("cpu")):
        network.to(memory_format=torch.channels_last)
    forward = network._predict_once

    def predict_once(pixels: Tensor, *given: Any, **named: Any) -> Any:
        with torch.autocast("cpu", torch.bfloat16):
            return _in_float32(forward(pixels, *given, **named))

    network._predict_once = predict_once


def _in_float32(answers: Any) -> Any:
    if isinstance(answers, Tensor):
        return answers.float() if answers.is_floating_point() else answers
    if isinstance(answers, dict):
        return {name: _in_float32(each) for name, each in answers.items()}
    if isinstance(answers, list | tuple):
        return type(answers)(_in_float32(each) for each in answers)
    return answers
