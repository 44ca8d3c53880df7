"""One synthetic radiograph from one seed: a body part is planned, projected and exposed.

The projection is the attenuation of the rays at every pixel, and where the fractures are.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fracture_core.demo import fractures as broken
from fracture_core.demo.arm import draw_arm
from fracture_core.demo.bones import BodyPart, Grid, Placed, Rays, Site, Tube
from fracture_core.demo.classes import CLASSES
from fracture_core.demo.detector import (
    Mark,
    Technique,
    distance_to_shutter,
    expose,
    shutter,
    weigh_marks,
)
from fracture_core.demo.fractures import Fracture, Piece, draw_fracture
from fracture_core.demo.geometry import (
    IDENTITY,
    Field,
    Matrix,
    apply,
    clouds,
    corners,
    inverse,
    lay,
    scale,
    shift,
    streaks,
    turn,
)
from fracture_core.demo.leg import draw_leg
from fracture_core.types import Pixels

# ---- projection ----------------------------------------------------------------------------------


# Linear attenuation in 1/mm at about 50 keV (NIST), bone as excess over the tissue it displaces.
_CORTEX, _SPONGY, _MARROW = 0.046, 0.0185, 0.0008
_FAT, _MUSCLE = 0.0186, 0.0228
_CROWD = 5.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Projection:
    """What the rays meet: `attenuation` (H, W) is the line integral · `ground_truths` are masks (H,
    W) bool, one for each fracture.
    """

    attenuation: Field
    ground_truths: tuple[npt.NDArray[np.bool_], ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frame:
    """The image: its size, its pixels in mm, and the way from the plane in mm to its pixels."""

    height: int
    width: int
    spacing_mm: float
    to_pixels: Matrix

    def seen(self, placed: Placed, moved: Matrix) -> tuple[float, float]:
        """Returns between which values of s, in mm, a body can be in the image."""
        back = inverse(self.to_pixels @ moved @ placed.to_plane)
        along = apply(back, corners(self.height, self.width))[:, 1]
        return float(along.min()) - 5.0, float(along.max()) + 5.0


def project(
    part: BodyPart, fractures: Sequence[Fracture], marks: Sequence[Mark], frame: Frame
) -> Projection:
    """Returns bones and flesh added up along the rays; each fracture moves what hangs beyond it."""
    empty = np.zeros((frame.height, frame.width), dtype=np.float32)
    bones, ground_truths = empty.copy(), [empty.copy() for _ in fractures]
    moves: dict[str, Matrix] = {}
    for placed in part.bones:
        carried = moves.get(placed.follows, IDENTITY)
        here = [(k, f) for k, f in enumerate(fractures) if f.bone == placed.body.name]
        own = _draw_bone(placed, carried, here, marks, frame, bones, ground_truths)
        moves[placed.body.name] = own
    total = _flesh(part, frame, moves, np.random.default_rng([part.bones[0].body.seed, 8]))
    total += bones
    return Projection(
        attenuation=total, ground_truths=tuple(ground_truth > 0.5 for ground_truth in ground_truths)
    )


def _draw_bone(
    placed: Placed,
    carried: Matrix,
    here: Sequence[tuple[int, Fracture]],
    marks: Sequence[Mark],
    frame: Frame,
    bones: Field,
    ground_truths: list[Field],
) -> Matrix:
    """Adds one bone, which has at most one fracture; returns how the bones beyond it move."""
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
    to_image = frame.to_pixels @ carried @ to_plane
    if fracture is None or not isinstance(body, Tube):
        lay(bones, weight, to_image @ grid.to_mm)
        return onward
    for piece in broken.break_bone(fracture, body, grid, rays):
        matrix = to_image @ piece.moved @ grid.to_mm
        lay(bones, weight * piece.weight, matrix)
        _add_ground_truth(piece, matrix, ground_truths[here[0][0]])
    return onward


def _add_ground_truth(piece: Piece, matrix: Matrix, ground_truth: Field) -> None:
    rows = np.flatnonzero(piece.ground_truth.any(axis=1))
    if len(rows) == 0:
        return
    first, last = rows[0], rows[-1] + 1
    part = piece.ground_truth[first:last].astype(np.float32)
    down = np.array([[1.0, 0, 0], [0, 1.0, float(first)], [0, 0, 1.0]])
    lay(ground_truth, part, matrix @ down)


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
    """Returns lines along the bone that spread where it widens."""
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
    """Returns fat under the skin and muscle inside it; where parts overlap, the thicker counts."""
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


# ---- plan and exposure ---------------------------------------------------------------------------


ARM_VIEWS = ("hand", "finger", "wrist", "forearm")
LEG_VIEWS = ("ankle", "leg")
VIEWS = ARM_VIEWS + LEG_VIEWS
_TRIES = 12


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plan:
    """All that decides a radiograph; the same plan gives the same pixels."""

    part: BodyPart
    frame: Frame
    fractures: tuple[Fracture, ...]
    marks: tuple[Mark, ...]
    technique: Technique


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Radiograph:
    """`pixels` (H, W) are uint16 in 0…4095 · each fracture has a mask (H, W) bool and a class in
    `kinds` · `body_part` is one of `VIEWS`.
    """

    pixels: Pixels
    ground_truths: tuple[npt.NDArray[np.bool_], ...]
    kinds: tuple[str, ...]
    spacing_mm: float
    body_part: str


def plan_radiograph(
    seed: Sequence[int],
    *,
    size: tuple[int, int] | None = None,
    view: str | None = None,
    findings: int | None = None,
) -> Plan:
    """Returns a plan; `size` is (height, width) in pixels, and everything not given is drawn."""
    rng = np.random.default_rng(list(seed))
    view = view or str(rng.choice(VIEWS, p=(0.18, 0.16, 0.22, 0.14, 0.18, 0.12)))
    young = bool(rng.random() < 0.18)
    body_size = float(rng.uniform(0.72, 0.85) if young else rng.uniform(0.92, 1.08))
    girth = float(rng.uniform(0.9, 1.1))
    draw = draw_arm if view in ARM_VIEWS else draw_leg
    part = draw(view, body_size, girth, rng)
    height, width = size or _draw_size(rng)
    frame = _aim(part, height, width, rng)
    technique = _draw_technique(part, frame, rng)
    count = int(rng.choice([0, 1, 2], p=(0.5, 0.4, 0.1))) if findings is None else findings
    fractures = _place(part, frame, technique, count, rng)
    marks = tuple(_draw_marks(part, fractures, young, rng))
    return Plan(part=part, frame=frame, fractures=fractures, marks=marks, technique=technique)


def render(plan: Plan, *, intact: bool = False) -> Radiograph:
    """Returns the radiograph of a plan; `intact` leaves out the fractures and nothing else."""
    fractures = () if intact else plan.fractures
    projection = project(plan.part, fractures, plan.marks, plan.frame)
    opening = shutter(plan.frame.height, plan.frame.width, plan.technique)
    pixels = expose(projection.attenuation, opening, plan.frame.spacing_mm, plan.technique)
    return Radiograph(
        pixels=pixels,
        ground_truths=tuple(
            ground_truth & (opening > 0.5) for ground_truth in projection.ground_truths
        ),
        kinds=tuple(fracture.kind for fracture in fractures),
        spacing_mm=plan.frame.spacing_mm,
        body_part=plan.part.name,
    )


def _draw_size(rng: np.random.Generator) -> tuple[int, int]:
    height = int(rng.choice([768, 768, 800, 720]))
    return height, int(height * rng.choice([0.8333, 0.8333, 0.78, 0.875]))


def _aim(part: BodyPart, height: int, width: int, rng: np.random.Generator) -> Frame:
    spacing = part.height_mm * rng.uniform(0.94, 1.06) / height
    tilt = float(np.clip(rng.normal(0, 0.06), -0.16, 0.16)) + part.upright
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    centre = shift(-part.centre_mm[0], -part.centre_mm[1])
    aimed = scale(mirror / spacing, 1 / spacing) @ turn(tilt) @ centre
    return Frame(
        height=height,
        width=width,
        spacing_mm=float(spacing),
        to_pixels=shift(width / 2, height / 2) @ aimed,
    )


def _draw_technique(part: BodyPart, frame: Frame, rng: np.random.Generator) -> Technique:
    tight = rng.random() < 0.7
    shutters = rng.uniform(0.015, 0.075, 4) if tight else rng.uniform(-0.1, 0.012, 4)
    mirrored = frame.to_pixels[0, 0] < 0
    on_left = bool(rng.random() < 0.5)
    x = rng.uniform(0.13, 0.17)
    return Technique(
        quanta=float(np.exp(rng.uniform(np.log(2500), np.log(9000)))),
        scatter=float(rng.uniform(0.08, 0.25)),
        blur_mm=float(rng.uniform(0.1, 0.17)),
        contrast=float(rng.uniform(2.6, 4.2)),
        black=float(rng.uniform(-0.02, 0.06)),
        white=float(rng.uniform(0.98, 1.12)),
        shutters=tuple(float(edge) for edge in shutters),  # type: ignore[arg-type]
        shutter_turn=float(rng.normal(0, 0.012)) if tight else 0.0,
        marker="L" if mirrored else "R",
        marker_at=(x if on_left else 1 - x, float(rng.choice([0.13, 0.86])) + rng.normal(0, 0.02)),
        marker_turn=float(rng.normal(0, 0.12)),
        marker_mm=float(rng.uniform(0.034, 0.048) * part.height_mm),
        grain=int(rng.integers(2**31)),
    )


def _place(
    part: BodyPart, frame: Frame, technique: Technique, count: int, rng: np.random.Generator
) -> tuple[Fracture, ...]:
    """Returns fractures of different bones, at sites that the image shows wholly."""
    found: list[Fracture] = []
    for _ in range(count * _TRIES):
        if len(found) == count:
            break
        site = part.sites[int(rng.integers(len(part.sites)))]
        fracture = _draw_at(part, site, rng)
        free = all(fracture.bone != other.bone for other in found)
        if free and _shown(part, frame, technique, fracture):
            found.append(fracture)
    return tuple(found)


def _draw_at(part: BodyPart, site: Site, rng: np.random.Generator) -> Fracture:
    bone = part.tube(site.bone)
    at_mm = float(rng.uniform(site.low_mm, site.high_mm))
    kind = str(rng.choice(CLASSES, p=(0.24, 0.24, 0.18, 0.17, 0.17)))
    # A spiral needs a shaft; where the bone flares the same force breaks it obliquely.
    if kind == "spiral" and bone.spongy_at(at_mm) > 0.35:
        kind = "oblique"
    return draw_fracture(kind, bone, at_mm, rng)


def _shown(part: BodyPart, frame: Frame, technique: Technique, fracture: Fracture) -> bool:
    placed = part.bone(fracture.bone)
    centre = np.array([0.0, fracture.at_mm, 1.0])
    x, y = (frame.to_pixels @ placed.to_plane @ centre)[:2]
    margin = 0.06 * max(frame.height, frame.width)
    if not (margin < x < frame.width - margin and margin < y < frame.height - margin):
        return False
    inside = distance_to_shutter(x, y, frame.height, frame.width, technique)
    return bool(inside > margin)


def _draw_marks(
    part: BodyPart, fractures: Sequence[Fracture], young: bool, rng: np.random.Generator
) -> list[Mark]:
    marks = []
    if young:
        width = rng.uniform(0.9, 1.5)
        for placed in part.bones:
            at = _GROWTH_PLATES.get(placed.body.name.split(".")[0].split(" ")[0])
            if at is not None and placed.body.length_mm > 0:
                end = placed.body.length_mm
                at_mm = at * end if at < 1 else end - (at - 1) * end
                marks.append(
                    _mark("growth plate", placed.body.name, at_mm, width * end**0.25 / 3, rng)
                )
    broken = {fracture.bone for fracture in fractures}
    for site in part.sites:
        if site.bone not in broken and rng.random() < 0.12:
            at_mm = rng.uniform(site.low_mm, site.high_mm)
            marks.append(_mark("vessel canal", site.bone, at_mm, rng.uniform(0.5, 0.9), rng))
    return marks


# Where a growing bone has its plate, as a share of its length.
_GROWTH_PLATES = {
    "radius": 0.966,
    "ulna": 0.97,
    "tibia": 0.955,
    "fibula": 0.935,
    "metacarpal": 0.87,
    "phalanx": 0.1,
}


def _mark(kind: str, bone: str, at_mm: float, width: float, rng: np.random.Generator) -> Mark:
    return Mark(
        kind=kind,
        bone=bone,
        at_mm=float(at_mm),
        width_mm=float(width),
        side=int(rng.choice([-1, 1])),
        seed=int(rng.integers(2**31)),
    )
