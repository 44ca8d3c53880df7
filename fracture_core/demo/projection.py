"""A body part projected: attenuation of the rays at every pixel, and where the fractures are."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fracture_core.demo import fractures as broken
from fracture_core.demo.body import BodyPart, Placed
from fracture_core.demo.bones import Grid, Rays, Tube
from fracture_core.demo.fractures import Fracture, Piece
from fracture_core.demo.geometry import IDENTITY, Field, Matrix, apply, corners, inverse, lay
from fracture_core.demo.marks import Mark, weigh_marks
from fracture_core.demo.texture import clouds, streaks

# Linear attenuation in 1/mm at about 50 keV (NIST), bone as excess over the tissue it displaces.
_CORTEX, _SPONGY, _MARROW = 0.046, 0.0185, 0.0008
_FAT, _MUSCLE = 0.0186, 0.0228
_CROWD = 5.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Projection:
    """`attenuation` (H, W) is the line integral; `truths` are (H, W) bool, one a fracture."""

    attenuation: Field
    truths: tuple[npt.NDArray[np.bool_], ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frame:
    """The picture: its size, its pixels in mm, and the way from the plane in mm to its pixels."""

    height: int
    width: int
    spacing_mm: float
    to_pixels: Matrix

    def seen(self, placed: Placed, moved: Matrix) -> tuple[float, float]:
        """From which to which s, in mm, a body can be in the picture."""
        back = inverse(self.to_pixels @ moved @ placed.to_plane)
        along = apply(back, corners(self.height, self.width))[:, 1]
        return float(along.min()) - 5.0, float(along.max()) + 5.0


def project(
    part: BodyPart, fractures: Sequence[Fracture], marks: Sequence[Mark], frame: Frame
) -> Projection:
    """Bones and flesh added up along the rays; each fracture carries what hangs beyond it."""
    empty = np.zeros((frame.height, frame.width), dtype=np.float32)
    bones, truths = empty.copy(), [empty.copy() for _ in fractures]
    moves: dict[str, Matrix] = {}
    for placed in part.bones:
        carried = moves.get(placed.follows, IDENTITY)
        here = [(k, f) for k, f in enumerate(fractures) if f.bone == placed.body.name]
        own = _draw_bone(placed, carried, here, marks, frame, bones, truths)
        moves[placed.body.name] = own
    total = _flesh(part, frame, moves, np.random.default_rng([part.bones[0].body.seed, 8]))
    total += bones
    return Projection(attenuation=total, truths=tuple(truth > 0.5 for truth in truths))


def _draw_bone(
    placed: Placed,
    carried: Matrix,
    here: Sequence[tuple[int, Fracture]],
    marks: Sequence[Mark],
    frame: Frame,
    bones: Field,
    truths: list[Field],
) -> Matrix:
    """Add one bone; returns how the bones beyond it move. At most one fracture a bone."""
    body = placed.body
    to_plane = placed.to_plane
    fracture = here[0][1] if here else None
    if fracture is not None and isinstance(body, Tube):
        body = broken.deform(body, fracture)
    onward = carried
    if fracture is not None:
        onward = carried @ to_plane @ broken.beyond(fracture) @ inverse(to_plane)
    grid = body.grid(frame.spacing_mm, frame.seen(placed, carried))
    if grid is None:
        return onward
    rays = body.rays(grid)
    weight = _bone_attenuation(rays, grid, body.seed)
    weight *= weigh_marks(marks, body, grid)
    to_picture = frame.to_pixels @ carried @ to_plane
    if fracture is None or not isinstance(body, Tube):
        lay(bones, weight, to_picture @ grid.to_mm)
        return onward
    for piece in broken.break_bone(fracture, body, grid, rays):
        matrix = to_picture @ piece.moved @ grid.to_mm
        lay(bones, weight * piece.weight, matrix)
        _add_truth(piece, matrix, truths[here[0][0]])
    return onward


def _add_truth(piece: Piece, matrix: Matrix, truth: Field) -> None:
    rows = np.flatnonzero(piece.truth.any(axis=1))
    if len(rows) == 0:
        return
    first, last = rows[0], rows[-1] + 1
    part = piece.truth[first:last].astype(np.float32)
    down = np.array([[1.0, 0, 0], [0, 1.0, float(first)], [0, 0, 1.0]])
    lay(truth, part, matrix @ down)


def _bone_attenuation(rays: Rays, grid: Grid, seed: int) -> Field:
    rng = np.random.default_rng([seed, 7])
    mm = 1 / grid.spacing_mm
    shape = (grid.rows, grid.columns)
    struts = _flared(streaks(shape, (1.7 * mm, 0.26 * mm), rng), rays)
    plates = streaks(shape, (0.34 * mm, 0.34 * mm), rng)
    mesh = 0.62 * struts + 0.55 * plates
    uneven = clouds(shape, max(5.0 * mm, 4.0), rng)
    spongy = _SPONGY * rays.spongy * (1 + 0.2 * mesh + 0.11 * uneven)
    core = rays.core * (spongy + _MARROW)
    # The plates and struts have their own relief wherever the bone is cancellous.
    relief = 1 + 0.05 * mesh * rays.spongy + 0.03 * struts + 0.07 * uneven
    return np.asarray(rays.rim * _CORTEX * relief + core, dtype=np.float32)


def _flared(struts: Field, rays: Rays) -> Field:
    """Lines along the bone that spread where it widens."""
    widths = rays.inside.sum(axis=1).astype(np.float32)
    if not widths.any():
        return struts
    middle = (struts.shape[1] - 1) / 2
    usual = np.median(widths[widths > 0])
    squeeze = (usual / np.maximum(widths, usual)) ** 0.8
    columns = middle + (np.arange(struts.shape[1], dtype=np.float32) - middle) * squeeze[:, None]
    low = np.clip(columns.astype(np.int32), 0, struts.shape[1] - 2)
    share = np.clip(columns - low, 0, 1)
    left = np.take_along_axis(struts, low, axis=1)
    return np.asarray(left + share * (np.take_along_axis(struts, low + 1, axis=1) - left))


def _flesh(
    part: BodyPart, frame: Frame, moves: dict[str, Matrix], rng: np.random.Generator
) -> Field:
    """Fat under the skin and muscle inside it; where parts overlap the thicker one counts."""
    # Half the resolution is plenty, but the skin line must stay sharp.
    rim = np.zeros((frame.height, frame.width), dtype=np.float32)
    core = np.zeros_like(rim)
    for placed in part.flesh:
        carried = moves.get(placed.follows, IDENTITY)
        grid = placed.body.grid(frame.spacing_mm * 2, frame.seen(placed, carried))
        if grid is None:
            continue
        rays = placed.body.rays(grid)
        matrix = frame.to_pixels @ carried @ placed.to_plane @ grid.to_mm
        lay(rim, (rays.rim + rays.core) ** _CROWD, matrix)
        lay(core, rays.core**_CROWD, matrix)
    whole, muscle = rim ** (1 / _CROWD), core ** (1 / _CROWD)
    muscle *= 1 + 0.035 * clouds((frame.height, frame.width), 9.0 / frame.spacing_mm, rng)
    return np.asarray(_FAT * (whole - muscle) + _MUSCLE * muscle, dtype=np.float32)
