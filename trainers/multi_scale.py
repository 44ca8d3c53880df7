"""Images of several sizes: DETR's resize and crop (Carion et al. 2020), drawn for a batch.

An image's shorter side becomes one of `augment.sizes`, its longer one at most `augment.longest`. A
share of the images (`augment.crop`) is cut first: resized to one of `augment.crop_sizes`, of which
a rectangle with sides within `augment.crop_sides` is kept; that is then resized as above. All are
shares of the input size. An image thus always fills its input, and a batch is as large as the
largest of its images; networks mask the rest.

Only the final size and what is cut are drawn here: cutting and resizing are one matrix with the
rest of the geometry (`trainers.augmentation`), and pixels are sampled once, bilinearly.
"""

import torch
from torch import Tensor

from trainers.config import Augment

# How many uniform numbers the size of an image takes, in a fixed order, from a draw of its own:
# trainings without `sizes` keep the numbers they had before.
SIZE_DRAWS = 7


def draw_sizes(
    augment: Augment, side_px: int, generator: torch.Generator, inputs: Tensor
) -> tuple[Tensor, Tensor | None]:
    """Draw new (B, 2) int64 heights and widths for images whose inputs would have `inputs`.

    `side_px` is the input size. With crops the second value is (B, 4) float64: the place x, y and
    the sides x, y of what is cut out, in shares of the image, all of it where nothing is cut. Else
    it is None.
    """
    uniform = torch.rand(len(inputs), SIZE_DRAWS, generator=generator).double()
    shape_yx = inputs.double()
    cuts = None
    if augment.crop_sizes:
        shape_yx, cuts = _cut(augment, side_px, uniform[:, 1:], shape_yx)
    shortest = _chosen(augment.sizes, side_px, uniform[:, 0])
    return _resized(shape_yx, shortest, augment.longest * side_px).round().long(), cuts


def _cut(
    augment: Augment, side_px: int, uniform: Tensor, shape_yx: Tensor
) -> tuple[Tensor, Tensor]:
    """The (B, 2) shapes after the crop, and what is cut."""
    at = _resized(shape_yx, _chosen(augment.crop_sizes, side_px, uniform[:, 1]), None)
    least, most = (max(1, round(share * side_px)) for share in augment.crop_sides)
    # As DETR draws them: whole pixels from the least to the greatest side, or to the image's own.
    limits = at.floor().clamp(max=most)
    low = limits.clamp(max=least)
    kept = low + ((limits - low + 1) * uniform[:, 2:4]).floor().minimum(limits - low)
    kept = torch.where((uniform[:, 0] < augment.crop)[:, None], kept, at)
    sides = (kept / at).clamp(max=1)
    starts = (1 - sides) * uniform[:, 4:6]
    return kept, torch.cat([starts.flip(1), sides.flip(1)], dim=1)


def _resized(shape_yx: Tensor, shortest: Tensor, longest: float | None) -> Tensor:
    """Shapes whose shorter side is `shortest`, unless the longer one would pass `longest`."""
    factors = shortest / shape_yx.amin(dim=1)
    if longest is not None:
        factors = factors.minimum(longest / shape_yx.amax(dim=1))
    return (shape_yx * factors[:, None]).clamp(min=1)


def _chosen(shares: tuple[float, ...], side_px: int, uniform: Tensor) -> Tensor:
    """One of the sides for each image, in whole pixels."""
    known = (torch.tensor(shares, dtype=torch.float64) * side_px).round()
    return known[(uniform * len(known)).long().clamp(max=len(known) - 1)]
