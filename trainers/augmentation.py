"""What is changed at random in a batch of training pictures, all of it on their device.

Random numbers come from the generator that is handed in, a fixed number a picture, on the CPU: they
depend neither on the device nor on what ran before, nor does one setting shift another's numbers.
"""

import torch
from torch import Tensor

from trainers import colours, geometry
from trainers.colours import change_colours, draw_colours
from trainers.config import Augment
from trainers.geometry import Around, Frames, draw_motion, move_boxes, move_pixels

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
    around = None
    if augment.around > 0:
        more = torch.rand(count, geometry.AROUND_DRAWS, generator=generator)
        around = Around(more.double(), *truth)
    motion = draw_motion(augment, uniform[:, : geometry.DRAWS], frames, around)
    change = draw_colours(augment, uniform[:, geometry.DRAWS :])
    boxes_xyxy, labels = move_boxes(motion, *truth, frames.inputs)
    pixels = torch.empty(count, *frames.canvas, device=raw.device)
    area = frames.canvas[0] * frames.canvas[1]
    step = max(1, _PIXELS_A_PART // area) if raw.device.type == "cpu" else count
    spare = torch.empty_like(pixels[:step])
    for start in range(0, count, step):
        out = pixels[start : start + step]
        part = (start, start + len(out))
        moved, inside = move_pixels(motion.part(*part), raw[slice(*part)], frames.part(*part))
        out.copy_(moved)
        if change is not None:
            change_colours(change.part(*part), out, inside, spare[: len(out)])
        if inside is not None:
            out.mul_(inside)
    return pixels[:, None], (boxes_xyxy, labels)
