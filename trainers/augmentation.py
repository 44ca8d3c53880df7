"""What is changed at random in a batch of training pictures, all of it on their device.

Random numbers come from the generator that is handed in, a fixed number a picture, on the CPU: they
depend neither on the device nor on what ran before, nor does one setting shift another's numbers.
"""

import torch
from torch import Tensor

from trainers import colours, geometry
from trainers.colours import Colours
from trainers.config import Augment
from trainers.geometry import Frames, Motion

UNCHANGED = Augment()
# What a core's cache holds: on a CPU, batches are gone through in parts.
_PIXELS_A_PART = 2**19


def augment_batch(
    augment: Augment,
    generator: torch.Generator,
    raw: Tensor,
    frames: Frames,
    truth: tuple[Tensor, Tensor],
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """(B, h, w) uint8 packed pictures, and (B, M, 4) boxes and (B, M) labels on the CPU →
    (B, 1, H, W) float32 on the device of the pictures and the truth where it went to.
    """
    count = len(raw)
    uniform = torch.rand(count, geometry.DRAWS + colours.DRAWS, generator=generator)
    motion = geometry.draw_motion(augment, uniform[:, : geometry.DRAWS], frames)
    change = colours.draw_colours(augment, uniform[:, geometry.DRAWS :])
    boxes_xyxy, labels = geometry.move_boxes(motion, *truth, frames.inputs)
    if raw.device.type != "cpu":
        return _change(motion, change, raw, frames)[:, None], (boxes_xyxy, labels)
    pixels = torch.empty(count, *frames.canvas)
    step = max(1, _PIXELS_A_PART // (frames.canvas[0] * frames.canvas[1]))
    for start in range(0, count, step):
        part = (start, start + step)
        some = None if change is None else change.part(*part)
        changed = _change(motion.part(*part), some, raw[slice(*part)], frames.part(*part))
        pixels[slice(*part)] = changed
    return pixels[:, None], (boxes_xyxy, labels)


def _change(motion: Motion, change: Colours | None, raw: Tensor, frames: Frames) -> Tensor:
    """(B, H, W) float32, 0 beside the pictures."""
    pixels, inside = geometry.move_pixels(motion, raw, frames)
    if change is not None:
        pixels = colours.change_colours(change, pixels, inside)
    pixels = pixels.float()
    return pixels if inside is None else pixels * inside
