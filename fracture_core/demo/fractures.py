"""Fractures of tubular bones, made in the frame of the bone: u mm across, s mm along.

A fracture breaks a bone into pieces; each has a weight on the bone's attenuation, a movement, and a
part of the ground truth along the break.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from fracture_core.demo.bones import Grid, Rays, Tube
from fracture_core.demo.geometry import IDENTITY, Field, Matrix, line, shift, turn

_SLOPES = {"transverse": 0.12, "oblique": 0.85, "spiral": 1.9, "comminuted": 0.75}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fracture:
    """One fracture. `slope` is ds/du of its line, `gap_mm` its width, `depth` in [0, 1] how much of
    the bone the line takes away · `shift_mm` (u, s) and `angle` in radians move what lies beyond
    it.
    """

    kind: str
    bone: str
    at_mm: float
    slope: float
    gap_mm: float
    depth: float
    shift_mm: tuple[float, float]
    angle: float
    side: int
    seed: int

    @property
    def displaced(self) -> bool:
        """Tells whether what lies beyond the fracture has moved."""
        return self.shift_mm != (0.0, 0.0) or self.angle != 0.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Piece:
    """A part of the bone: `weight` in [0, 1], how it was `moved`, its `ground_truth`; (H, W) each
    but the matrix.
    """

    weight: Field
    moved: Matrix
    ground_truth: npt.NDArray[np.bool_]


def draw_fracture(kind: str, bone: Tube, at_mm: float, rng: np.random.Generator) -> Fracture:
    """Returns a fracture of this kind at s = `at_mm`, from a hairline to well displaced."""
    side = int(rng.choice([-1, 1]))
    left, right = bone.half_width(at_mm)
    width = left + right
    grade = rng.random()
    slope = _SLOPES.get(kind, 0.2) * rng.uniform(0.75, 1.3) * rng.choice([-1, 1])
    moves = grade > 0.45 and kind != "greenstick"
    lateral = side * rng.uniform(0.06, 0.3) * width / np.hypot(1, slope) if moves else 0.0
    # A fragment slides along the break, so that the surfaces stay near each other.
    jammed = rng.uniform(-0.09, 0.03) * width if moves else 0.0
    along = lateral * slope * rng.uniform(0.8, 1.1) + jammed
    angle = side * rng.uniform(0.02, 0.12) / np.hypot(1, 0.7 * slope) if moves else 0.0
    hairline = rng.uniform(0.35, 0.75) if grade < 0.2 else rng.uniform(0.6, 1.15)
    return Fracture(
        kind=kind,
        bone=bone.name,
        at_mm=at_mm,
        slope=float(slope),
        gap_mm=float(hairline * np.clip(width / 15, 0.55, 1.25)),
        depth=float(rng.uniform(0.55, 0.9)),
        shift_mm=(float(lateral), float(along)),
        angle=float(angle),
        side=side,
        seed=int(rng.integers(2**31)),
    )


def deform(bone: Tube, fracture: Fracture) -> Tube:
    """Returns the bone bent and bulged by a greenstick fracture; other kinds do not deform it."""
    if fracture.kind != "greenstick":
        return bone
    left, right = bone.half_width(fracture.at_mm)
    bulge = 0.06 * (left + right)
    on_left, on_right = (bulge, 0.25 * bulge) if fracture.side < 0 else (0.25 * bulge, bulge)
    span = 0.14 * (left + right) + 0.8
    return replace(
        bone,
        swells=(*bone.swells, (fracture.at_mm, on_left, on_right, span)),
        kinks=(*bone.kinks, (fracture.at_mm, -fracture.side * 0.05)),
    )


def beyond(fracture: Fracture) -> Matrix:
    """Returns how the fracture moves what lies beyond it, in (u, s) mm."""
    if not fracture.displaced:
        return IDENTITY
    return shift(*fracture.shift_mm) @ turn(fracture.angle, 0.0, fracture.at_mm)


def break_bone(fracture: Fracture, bone: Tube, grid: Grid, rays: Rays) -> tuple[Piece, ...]:
    """Returns the pieces of the bone: one piece with lines in it where nothing is displaced."""
    if fracture.kind == "spiral":
        return _spiral(fracture, bone, grid, rays)
    if fracture.kind == "comminuted":
        return _comminuted(fracture, bone, grid, rays)
    if fracture.kind == "greenstick":
        return _greenstick(fracture, bone, grid, rays)
    past = _past(fracture, bone, grid, fracture.slope, salt=0)
    return _two_pieces(fracture, grid, rays, past, _line(fracture, grid, past, fracture.slope, 0))


def _spiral(fracture: Fracture, bone: Tube, grid: Grid, rays: Rays) -> tuple[Piece, ...]:
    """A line that winds round the bone: steep on the near wall, and its return on the far wall."""
    near = _past(fracture, bone, grid, fracture.slope, salt=0, winding=0.55)
    far = _past(fracture, bone, grid, fracture.slope * 0.8, salt=1, winding=-0.55)
    far_line = _line(fracture, grid, far, fracture.slope, 1)
    near_line = _line(fracture, grid, near, fracture.slope, 0)
    return _two_pieces(fracture, grid, rays, near, near_line * (0.45 + 0.55 * far_line), far)


def _comminuted(fracture: Fracture, bone: Tube, grid: Grid, rays: Rays) -> tuple[Piece, ...]:
    """A butterfly wedge between two lines that meet at one cortex, and chips."""
    rng = np.random.default_rng([fracture.seed, 9])
    left, right = bone.half_width(fracture.at_mm)
    edge = fracture.side * (right if fracture.side > 0 else left)
    lift = fracture.side * abs(fracture.slope)
    first = _past(fracture, bone, grid, lift, salt=0, pivot=-0.75 * edge)
    second = _past(fracture, bone, grid, -lift * rng.uniform(0.6, 1.0), salt=1, pivot=-0.75 * edge)
    upper, lower = np.minimum(first, second), np.maximum(first, second)
    wedge_side = fracture.side * (grid.u - bone.centre(grid.s)) > -0.75 * abs(edge)
    split = np.where(wedge_side, 0.0, (first + second) / 2)
    before = np.where(wedge_side, -lower, -split)
    after = np.where(wedge_side, upper, split)
    lines = _line(fracture, grid, first, lift, 0) * _line(fracture, grid, second, lift, 1)
    parts = [(before, IDENTITY), (after, beyond(fracture))]
    middle = np.minimum(-upper, lower)
    out = fracture.side * rng.uniform(0.5, 2.2) * (left + right) / 16
    wedge = shift(out, rng.uniform(-0.6, 0.6)) @ turn(rng.uniform(-0.09, 0.09), 0, fracture.at_mm)
    parts.append((np.where(wedge_side, middle, -1.0), wedge))
    pieces = [_piece(fracture, grid, rays, past, moved, lines) for past, moved in parts]
    chips = int(rng.integers(1, 4)) if fracture.displaced else 0
    pieces += [_chip(fracture, grid, rays, edge, rng) for _ in range(chips)]
    return tuple(pieces)


def _chip(
    fracture: Fracture, grid: Grid, rays: Rays, edge: float, rng: np.random.Generator
) -> Piece:
    """A splinter of cortex, carried a little way out of the bone."""
    half_u, half_s = rng.uniform(0.08, 0.16) * abs(edge), rng.uniform(0.15, 0.4) * abs(edge)
    s0 = fracture.at_mm + rng.uniform(-0.6, 0.6) * abs(edge)
    u0 = edge * rng.uniform(0.8, 0.9)
    tilt = rng.uniform(-0.5, 0.5)
    a, b = grid.u - u0, grid.s - s0
    away = np.abs(a + tilt * b) / half_u + np.abs(b - tilt * a) / half_s
    weight = np.clip((1 - away) * half_u / grid.spacing_mm, 0, 1).astype(np.float32)
    out = fracture.side * rng.uniform(0.2, 0.5) * abs(edge)
    moved = shift(out, rng.uniform(-1, 1)) @ turn(rng.uniform(-0.6, 0.6), u0, s0)
    ground_truth = (weight > 0.3) & rays.inside
    return Piece(weight=0.8 * weight, moved=moved, ground_truth=ground_truth)


def _greenstick(fracture: Fracture, bone: Tube, grid: Grid, rays: Rays) -> tuple[Piece, ...]:
    """A line through the stretched cortex that dies out inside the bone, and a dense buckle."""
    past = _past(fracture, bone, grid, 0.25 * fracture.slope, salt=0)
    across = -fracture.side * (grid.u - bone.centre(grid.s))
    left, right = bone.half_width(fracture.at_mm)
    reach = 1 / (1 + np.exp(-(across - 0.05 * (left + right)) / 0.8))
    taken = 1 - _line(fracture, grid, past, 0.1, 0)
    dense = 0.16 * np.exp(-((past / 1.6) ** 2)) * (1 - reach)
    weight = (1 - taken * reach + dense).astype(np.float32)
    band = np.abs(past) < _margin(fracture, grid) + 0.9
    return (Piece(weight=weight, moved=IDENTITY, ground_truth=_clean(band & rays.inside, rays)),)


def _two_pieces(
    fracture: Fracture,
    grid: Grid,
    rays: Rays,
    past: Field,
    lines: Field,
    other: Field | None = None,
) -> tuple[Piece, ...]:
    if fracture.displaced:
        before = _piece(fracture, grid, rays, -past, IDENTITY, lines)
        return before, _piece(fracture, grid, rays, past, beyond(fracture), lines)
    near = np.abs(past) if other is None else np.minimum(np.abs(past), np.abs(other))
    band = near < _margin(fracture, grid)
    return (Piece(weight=lines, moved=IDENTITY, ground_truth=_clean(band & rays.inside, rays)),)


def _piece(
    fracture: Fracture, grid: Grid, rays: Rays, past: Field, moved: Matrix, lines: Field
) -> Piece:
    """Returns the bone where `past` mm is above 0; its ground truth is along the break."""
    weight = np.clip(past / grid.spacing_mm + 0.5, 0, 1)
    if not fracture.displaced:
        weight = weight * lines
    margin = _margin(fracture, grid) * 1.25
    ground_truth = (past > 0) & (past < margin) & rays.inside
    return Piece(
        weight=weight.astype(np.float32), moved=moved, ground_truth=_clean(ground_truth, rays)
    )


def _past(
    fracture: Fracture,
    bone: Tube,
    grid: Grid,
    slope: float,
    *,
    salt: int,
    winding: float = 0.0,
    pivot: float = 0.0,
) -> Field:
    """Returns mm (H, W) beyond a ragged fracture line, at right angles to it; below 0 before it."""
    u = grid.u - bone.centre(np.full((1, 1), fracture.at_mm, dtype=np.float32))
    left, right = bone.half_width(fracture.at_mm)
    half = (left + right) / 2
    rough = 0.055 * half * _ragged(grid, fracture.seed + salt)
    bent = winding * half * np.sin(np.clip(u / half, -1, 1) * np.pi / 2) * abs(slope)
    path = fracture.at_mm + slope * (u - pivot) + bent + rough
    return np.asarray((grid.s - path) / np.hypot(1, slope), dtype=np.float32)


def _ragged(grid: Grid, seed: int) -> Field:
    """Returns teeth of several sizes, (1, W)."""
    rng = np.random.default_rng([seed, 3])
    wander = line(grid.columns, 4.5 / grid.spacing_mm, rng)
    coarse = line(grid.columns, 1.6 / grid.spacing_mm, rng)
    fine = line(grid.columns, 0.5 / grid.spacing_mm, rng)
    return np.asarray((1.6 * wander + coarse + 0.5 * fine)[None], dtype=np.float32)


def _line(fracture: Fracture, grid: Grid, past: Field, slope: float, salt: int) -> Field:
    """Returns what the line leaves of the bone, (H, W) in [0, 1]; its depth varies."""
    rng = np.random.default_rng([fracture.seed, 5, salt])
    # No line is thinner than what the detector resolves.
    gap = max(fracture.gap_mm, 1.3 * grid.spacing_mm)
    along = line(grid.columns, max(1.5 / np.hypot(1, slope), 0.4) / grid.spacing_mm, rng)[None]
    depth = np.clip(fracture.depth * (1 + 0.3 * along), 0.15, 0.97)
    return np.asarray(1 - depth * np.exp(-((past / (0.6 * gap)) ** 2)), dtype=np.float32)


def _margin(fracture: Fracture, grid: Grid) -> float:
    return max(1.6 * fracture.gap_mm, 2.5 * grid.spacing_mm) + 0.5


def _clean(ground_truth: npt.NDArray[np.bool_], rays: Rays) -> npt.NDArray[np.bool_]:
    grown = ndimage.binary_dilation(ground_truth, iterations=2)
    return np.asarray(ndimage.binary_closing(grown, iterations=2) | ground_truth)
