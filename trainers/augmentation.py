"""What is changed at random in a batch of training pictures, all of it on their device.

Random numbers come from the generator that is handed in, a fixed number a picture, on the CPU: they
depend neither on the device nor on what ran before, nor does one setting shift another's numbers.
"""

import torch
from torch import Tensor

from trainers import colours, geometry
from trainers.config import Augment
from trainers.geometry import Frames

UNCHANGED = Augment()


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
    pixels, inside = geometry.move_pixels(motion, raw, frames)
    if change is not None:
        pixels = colours.change_colours(change, pixels, inside)
    pixels = pixels.float()
    if inside is not None:
        pixels = pixels * inside
    return pixels[:, None], (boxes_xyxy, labels)
