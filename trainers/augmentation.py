"""Augmentation: what is changed at random in a batch of training images, on their device.

Random numbers come from the generator that is handed in, a fixed number for each image, on the
CPU: they depend neither on the device nor on what ran before, nor does one setting shift the
numbers of another.

Colours: a blur's weights add up to 1, and brightness and contrast are one linear function for each
image, so all three together are a convolution with an offset. The 3 × 3 kernel is separable: one
pass of three weights along each axis, that is a few sums of the batch with itself moved by a pixel.
Unlike in torchvision, values are clipped to [0, 255] once, at the end.

Geometry: one (3, 3) matrix for each image takes packed pixels to pixels of the network's input, as
(x, y, 1) with the corner of the first pixel at 0. The same matrix moves boxes and pixels. Matrices
and boxes stay on the CPU in float64, so that they are the same whatever the device; only the
sampling of pixels is done there.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from trainers.config import Augment
from trainers.training_module import NOTHING

UNCHANGED = Augment()

# ---- colours ------------------------------------------------------------------------------------

# How many uniform numbers the colours of an image take, in a fixed order.
COLOUR_DRAWS = 4


class Colours(NamedTuple):
    """What is done to the grey values of B images.

    `gains` are brightness factors, `contrasts` contrast factors and `sides` the weights that the
    blur gives each neighbouring pixel, all (B,) float32; `blurs` tells whether any image is
    blurred.
    """

    gains: Tensor
    contrasts: Tensor
    sides: Tensor
    blurs: bool

    def part(self, start: int, stop: int) -> "Colours":
        """Return those of the images from `start` to before `stop`."""
        gains, contrasts, sides = (each[start:stop] for each in self[:3])
        return Colours(gains, contrasts, sides, self.blurs)


def draw_colours(augment: Augment, uniform: Tensor) -> Colours | None:
    """Make changes of colour from (B, COLOUR_DRAWS) uniform numbers in [0, 1).

    Returns None where the settings leave colours as they are.

    Example:
        >>> colours = draw_colours(Augment(brightness=0.5), torch.full((1, COLOUR_DRAWS), 0.75))
        >>> colours.gains.tolist(), colours.contrasts.tolist(), colours.blurs
        ([1.25], [1.0], False)
    """
    if not (augment.brightness or augment.contrast or augment.blur):
        return None
    bright, contrast, blurs, deviation = uniform.double().unbind(1)
    low, high = augment.blur_sigma
    neighbour = torch.exp(-0.5 / (low + (high - low) * deviation) ** 2)
    sides = torch.where(blurs < augment.blur, neighbour / (1 + 2 * neighbour), 0.0)
    gains = 1 + augment.brightness * (2 * bright - 1)
    contrasts = 1 + augment.contrast * (2 * contrast - 1)
    return Colours(gains.float(), contrasts.float(), sides.float(), bool(sides.any()))


def change_colours(colours: Colours, grey: Tensor, inside: Tensor | None, spare: Tensor) -> None:
    """Change (B, H, W) float32 grey values in [0, 255] in place.

    Pixels beside an image have to repeat its edge, as the blur reads them. `inside` is (B, H, W)
    bool and tells which pixels count for the mean grey, None = all. `spare` is memory of the same
    shape: allocating it would cost more than the arithmetic.
    """
    gains, contrasts, sides = (
        each.to(grey.device, non_blocking=True)[:, None, None] for each in colours[:3]
    )
    offsets = (1 - contrasts) * gains * _mean(grey, inside)
    factors = gains * contrasts
    if colours.blurs:
        torch.mul(grey, 1 - 2 * sides, out=spare)
        _add_neighbours(spare, grey, sides, dim=2)
        torch.mul(spare, factors * (1 - 2 * sides), out=grey)
        _add_neighbours(grey, spare, factors * sides, dim=1)
    else:
        grey.mul_(factors)
    grey.add_(offsets).clamp_(0, 255)


def _mean(grey: Tensor, inside: Tensor | None) -> Tensor:
    """The mean grey of each image, (B, 1, 1)."""
    if inside is None:
        return grey.mean(dim=(1, 2), keepdim=True)
    counts = inside.sum(dim=(1, 2), keepdim=True).clamp(min=1)
    return (grey * inside).sum(dim=(1, 2), keepdim=True) / counts


def _add_neighbours(total: Tensor, grey: Tensor, weights: Tensor, dim: int) -> None:
    """Add to each pixel its two neighbours along a dimension, weighted; edges are repeated."""
    length = grey.shape[dim]
    last = length - 1
    total.narrow(dim, 1, last).addcmul_(grey.narrow(dim, 0, last), weights)
    total.narrow(dim, 0, last).addcmul_(grey.narrow(dim, 1, last), weights)
    for edge in (0, last):
        total.narrow(dim, edge, 1).addcmul_(grey.narrow(dim, edge, 1), weights)


# ---- geometry -----------------------------------------------------------------------------------

# How many uniform numbers the motion of an image takes, in a fixed order. Those for crops around
# findings are drawn apart, so that trainings without such crops keep the numbers they had before.
GEOMETRY_DRAWS = 11
AROUND_DRAWS = 2


class Frames(NamedTuple):
    """The sizes of B images before and after augmentation, on the CPU.

    `sizes` are heights and widths as packed and `inputs` those that the network gets, both (B, 2)
    int64; `canvas` is the height and width of the batch. `cuts` (B, 4) float64 are the places x and
    y and the sides x and y, in shares of the image, of what is cut out before it is enlarged.
    """

    sizes: Tensor
    inputs: Tensor
    canvas: tuple[int, int]
    cuts: Tensor | None = None

    def part(self, start: int, stop: int) -> "Frames":
        """Return those of the images from `start` to before `stop`, whose motion is drawn."""
        return Frames(self.sizes[start:stop], self.inputs[start:stop], self.canvas)

    @property
    def fill(self) -> bool:
        """Whether every image fills the canvas, so that nothing is padded."""
        return bool((self.inputs == torch.tensor(self.canvas)).all())

    @property
    def are_exact(self) -> bool:
        """Whether every image is packed at the size of its input, so that none is enlarged."""
        return bool((self.inputs == self.sizes).all())


class Motion(NamedTuple):
    """Where the pixels and boxes of B images go.

    `matrices` (B, 3, 3) float64 take packed pixels to input pixels; `mirrored` (left for right) and
    `upside_down` (top for bottom), (B,) bool, are contained in them; `is_free` tells whether they
    may do more than mirror and enlarge.
    """

    matrices: Tensor
    mirrored: Tensor
    upside_down: Tensor
    is_free: bool

    def part(self, start: int, stop: int) -> "Motion":
        """Return those of the images from `start` to before `stop`."""
        matrices, mirrored, upside_down = (each[start:stop] for each in self[:3])
        return Motion(matrices, mirrored, upside_down, self.is_free)


class Around(NamedTuple):
    """What crops around findings are drawn from.

    `uniform` are (B, AROUND_DRAWS) numbers in [0, 1), `boxes_xyxy` (B, M, 4) in packed pixels and
    `labels` (B, M), objects first.
    """

    uniform: Tensor
    boxes_xyxy: Tensor
    labels: Tensor


def draw_motion(
    augment: Augment, uniform: Tensor, frames: Frames, around: Around | None = None
) -> Motion:
    """Make motions from (B, GEOMETRY_DRAWS) uniform numbers in [0, 1).

    Their order is: enlarge to the input, mirror, turn, scale and shift, crop. With `around` some of
    the crops are laid around a finding.
    """
    drawn = uniform.double().unbind(1)
    inputs = frames.inputs.double()
    size_xy = inputs.flip(1)
    mirrored = drawn[0] < augment.flip
    upside_down = drawn[1] < augment.flip_vertical
    matrices = _scaling(size_xy / frames.sizes.flip(1))
    matrices = _mirroring(mirrored, upside_down, size_xy) @ matrices
    is_free = _turns(augment) or augment.crop > 0
    cuts = frames.cuts
    if _turns(augment):
        angles = torch.deg2rad((2 * drawn[2] - 1) * augment.degrees)
        low, high = augment.scale
        factors = low + (high - low) * drawn[3]
        moved = (2 * torch.stack(drawn[4:6], dim=1) - 1) * augment.shift * size_xy
        matrices = _turning(angles, factors, moved, size_xy / 2) @ matrices
    if cuts is not None:
        matrices = _cropping(cuts[:, 2:], cuts[:, :2], size_xy) @ matrices
    elif augment.crop > 0:
        sides = augment.crop_least + (1 - augment.crop_least) * torch.stack(drawn[7:9], dim=1)
        sides[drawn[6] >= augment.crop] = 1
        places = torch.stack(drawn[9:11], dim=1)
        starts = (1 - sides) * places
        if around is not None:
            starts = _starts_around(augment, around, matrices, (sides, starts, places), size_xy)
        matrices = _cropping(sides, starts, size_xy) @ matrices
    return Motion(matrices, mirrored, upside_down, is_free)


def move_boxes(
    motion: Motion,
    boxes_xyxy: Tensor,
    labels: Tensor,
    inputs: Tensor,
    least_left: float = UNCHANGED.least_left,
) -> tuple[Tensor, Tensor]:
    """Move (B, M, 4) boxes as the pixels are moved, and clip them to the (B, 2) input sizes.

    Returns (B, M, 4) float32 boxes and (B, M) labels, objects first. Boxes of which a smaller share
    of the area than `least_left` is left are dropped: their label is NOTHING and their box 0.
    """
    low, high = _moved(motion.matrices, boxes_xyxy)
    area = (high - low).prod(dim=2)
    limits = inputs.flip(1)[:, None].double()
    low, high = (side.clamp(min=0).minimum(limits) for side in (low, high))
    sides = (high - low).clamp(min=0)
    kept = (labels != NOTHING) & (sides.prod(dim=2) >= least_left * area)
    moved = torch.cat([low, high], dim=2).float()
    kept &= (moved[..., 2:] > moved[..., :2]).all(dim=2)
    order = (~kept).byte().argsort(dim=1, stable=True)
    moved = moved.masked_fill(~kept[..., None], 0)
    moved = moved.gather(1, order[..., None].expand(-1, -1, 4))
    return moved, labels.masked_fill(~kept, NOTHING).gather(1, order)


def _moved(matrices: Tensor, boxes_xyxy: Tensor) -> tuple[Tensor, Tensor]:
    """The boxes around (B, M, 4) moved boxes: their least and their greatest corners, (B, M, 2)."""
    corners = boxes_xyxy.double()[..., [[0, 1], [2, 1], [0, 3], [2, 3]]]
    linear, offset = matrices[:, None, :2, :2], matrices[:, None, None, :2, 2]
    corners = corners @ linear.mT + offset
    return corners.amin(dim=2), corners.amax(dim=2)


def _starts_around(
    augment: Augment,
    around: Around,
    matrices: Tensor,
    drawn: tuple[Tensor, Tensor, Tensor],
    size_xy: Tensor,
) -> Tensor:
    """Where crops begin, (B, 2) in shares of the image; some of them are laid around a finding.

    `drawn` are the shares of the sides that the crops keep, where they would begin otherwise, and
    the numbers in [0, 1) that decide the place, each (B, 2). A crop that is smaller than its
    finding is centred on it.
    """
    sides, starts, places = drawn
    counts = (around.labels != NOTHING).sum(dim=1)
    wanted = (around.uniform[:, 0] < augment.around) & (counts > 0)
    chosen = (around.uniform[:, 1] * counts).long().clamp(max=around.labels.shape[1] - 1)
    boxes_xyxy = around.boxes_xyxy[torch.arange(len(chosen)), chosen]
    low, high = (each[:, 0] / size_xy for each in _moved(matrices, boxes_xyxy[:, None]))
    least, most = (high - sides).clamp(min=0), low.minimum(1 - sides)
    fitting = least + places * (most - least)
    laid = torch.where(least <= most, fitting, (low + high - sides) / 2)
    laid = laid.clamp(min=0).minimum(1 - sides)
    return torch.where(wanted[:, None], laid, starts)


def move_pixels(motion: Motion, raw: Tensor, frames: Frames) -> tuple[Tensor, Tensor | None]:
    """Move (B, h, w) uint8 packed pixels to the canvas, and tell where the images lie on it.

    Returns (B, H, W) uint8 or float32 pixels and a (B, H, W) bool mask, None where every image
    fills the batch. The pixels next to an image repeat its edge. Mirroring and enlarging images of
    one size needs no `grid_sample` and gives the same result.
    """
    raw = raw[:, : int(frames.sizes[:, 0].max()), : int(frames.sizes[:, 1].max())]
    is_uniform = frames.fill and bool((frames.sizes == frames.sizes[0]).all())
    if motion.is_free or not is_uniform:
        if not (motion.is_free or _mirrors(motion)) and frames.are_exact:
            return _extended(raw, frames, frames.canvas), _inside(frames, raw.device)
        return _sampled(motion, raw, frames)
    if motion.mirrored.any():
        raw = torch.where(_each(motion.mirrored, raw), raw.flip(2), raw)
    if motion.upside_down.any():
        raw = torch.where(_each(motion.upside_down, raw), raw.flip(1), raw)
    if frames.are_exact:
        return raw, None
    enlarged = functional.interpolate(
        raw.float()[:, None], size=frames.canvas, mode="bilinear", align_corners=False
    )
    return enlarged[:, 0], None


def _extended(raw: Tensor, frames: Frames, size: tuple[int, int], ring: int = 0) -> Tensor:
    """Images whose edge is repeated up to `size` (height, width), and in a ring around that."""
    height, width = size
    tops = torch.zeros_like(frames.sizes[:, :1])
    down = torch.arange(-ring, height + ring).maximum(tops).minimum(frames.sizes[:, :1] - 1)
    across = torch.arange(-ring, width + ring).maximum(tops).minimum(frames.sizes[:, 1:] - 1)
    images = torch.arange(len(raw), device=raw.device)[:, None, None]
    return raw[images, down.to(raw.device)[:, :, None], across.to(raw.device)[:, None, :]]


def _sampled(motion: Motion, raw: Tensor, frames: Frames) -> tuple[Tensor, Tensor | None]:
    """`move_pixels` by `grid_sample`, for any motion.

    A ring of repeated pixels around the images keeps their edges sharp without clamping.
    """
    is_uniform = bool((frames.sizes == frames.sizes[0]).all())
    ringed = (
        functional.pad(raw.float()[:, None], (1, 1, 1, 1), mode="replicate")
        if is_uniform
        else _extended(raw, frames, (raw.shape[1], raw.shape[2]), ring=1).float()[:, None]
    )
    span = torch.tensor(ringed.shape[:1:-1], dtype=torch.float64).expand(len(raw), 2)
    to_grid = _affine(2 / span, 2 / span - 1)
    grid = _grid(to_grid @ torch.linalg.inv(motion.matrices), frames.canvas, raw.device)
    sampled = functional.grid_sample(
        ringed, grid, mode="bilinear", padding_mode="zeros", align_corners=False
    )
    # The weights add up to 1 only up to rounding.
    sampled = sampled[:, 0].clamp_(0, 255)
    if frames.fill and not motion.is_free:
        return sampled, None
    reach = frames.sizes.flip(1) / span
    centre = 2 / span - 1 + reach
    centre, reach = (each.float()[:, None, None].to(raw.device) for each in (centre, reach))
    near = grid.sub_(centre).abs_() <= reach
    inside = near[..., 0] & near[..., 1]
    return sampled, inside if frames.fill else inside & _inside(frames, raw.device)


def _grid(matrices: Tensor, canvas: tuple[int, int], device: torch.device) -> Tensor:
    """Where the matrices take the centres of the canvas's pixels, (B, H, W, 2)."""
    height, width = canvas
    x = torch.arange(width, device=device) + 0.5
    y = torch.arange(height, device=device)[:, None] + 0.5
    rows = matrices.float().to(device, non_blocking=True)[..., None, None]
    grid = torch.empty(len(matrices), height, width, 2, device=device)
    for axis in (0, 1):
        row = rows[:, axis]
        torch.add(row[:, 0] * x + row[:, 2], row[:, 1] * y, out=grid[..., axis])
    return grid


def _inside(frames: Frames, device: torch.device) -> Tensor:
    """Where each image lies on the canvas, (B, H, W) bool."""
    height, width = frames.canvas
    inputs = frames.inputs.to(device, non_blocking=True)
    down = torch.arange(height, device=device) < inputs[:, :1]
    across = torch.arange(width, device=device) < inputs[:, 1:]
    return down[:, :, None] & across[:, None, :]


def _mirrors(motion: Motion) -> bool:
    return bool(motion.mirrored.any() or motion.upside_down.any())


def _each(flags: Tensor, images: Tensor) -> Tensor:
    return flags.to(images.device, non_blocking=True)[:, None, None]


def _turns(augment: Augment) -> bool:
    return bool(augment.degrees or augment.shift or augment.scale != (1.0, 1.0))


def _affine(diagonal_xy: Tensor, offset_xy: Tensor) -> Tensor:
    matrices = torch.zeros(len(diagonal_xy), 3, 3, dtype=torch.float64)
    matrices[:, 0, 0], matrices[:, 1, 1] = diagonal_xy.unbind(1)
    matrices[:, 2, 2] = 1
    matrices[:, :2, 2] = offset_xy
    return matrices


def _scaling(factors_xy: Tensor) -> Tensor:
    return _affine(factors_xy.double(), torch.zeros_like(factors_xy, dtype=torch.float64))


def _mirroring(mirrored: Tensor, upside_down: Tensor, size_xy: Tensor) -> Tensor:
    flips = torch.stack([mirrored, upside_down], dim=1).double()
    return _affine(1 - 2 * flips, flips * size_xy)


def _turning(angles: Tensor, factors: Tensor, moved_xy: Tensor, centre_xy: Tensor) -> Tensor:
    cos, sin = angles.cos() * factors, angles.sin() * factors
    linear = torch.stack([cos, -sin, sin, cos], dim=1).view(-1, 2, 2)
    matrices = _affine(torch.ones_like(moved_xy), torch.zeros_like(moved_xy))
    matrices[:, :2, :2] = linear
    matrices[:, :2, 2] = centre_xy + moved_xy - (linear @ centre_xy[..., None])[..., 0]
    return matrices


def _cropping(sides: Tensor, starts: Tensor, size_xy: Tensor) -> Tensor:
    return _affine(1 / sides, -starts * size_xy / sides)


# ---- both together ------------------------------------------------------------------------------

# About as many pixels as a core's cache holds: on a CPU, batches are gone through in such parts.
_PIXELS_A_PART = 2**19


def augment_batch(
    augment: Augment,
    generator: torch.Generator,
    raw: Tensor,
    frames: Frames,
    ground_truth: tuple[Tensor, Tensor],
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Augment a batch of (B, h, w) uint8 packed images and its ground truth.

    `ground_truth` is (B, M, 4) boxes in packed pixels and (B, M) labels, both on the CPU. Returns
    (B, 1, H, W) float32 pixels in [0, 255], on the device of `raw` and 0 outside of the images, and
    the moved boxes and labels, as `move_boxes` returns them.
    """
    count = len(raw)
    uniform = torch.rand(count, GEOMETRY_DRAWS + COLOUR_DRAWS, generator=generator)
    around = None
    if augment.around > 0:
        more = torch.rand(count, AROUND_DRAWS, generator=generator)
        around = Around(more.double(), *ground_truth)
    motion = draw_motion(augment, uniform[:, :GEOMETRY_DRAWS], frames, around)
    change = draw_colours(augment, uniform[:, GEOMETRY_DRAWS:])
    boxes_xyxy, labels = move_boxes(motion, *ground_truth, frames.inputs, augment.least_left)
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
