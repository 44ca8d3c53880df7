"""One synthetic radiograph from one number."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fracture_core.demo.arm import draw_arm
from fracture_core.demo.body import BodyPart, Site
from fracture_core.demo.classes import CLASSES
from fracture_core.demo.detector import Technique, distance_to_shutter, expose, shutter
from fracture_core.demo.fractures import Fracture, draw_fracture
from fracture_core.demo.geometry import scale, shift, turn
from fracture_core.demo.leg import draw_leg
from fracture_core.demo.marks import Mark
from fracture_core.demo.projection import Frame, project
from fracture_core.types import Pixels

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
    """`pixels` (H, W) uint16 in 0…4095; one (H, W) bool mask and one class for each fracture;
    `body_part` is one of `VIEWS`.
    """

    pixels: Pixels
    truths: tuple[npt.NDArray[np.bool_], ...]
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
    """Draw a plan; `size` is (height, width) in pixels, everything else is drawn if not given."""
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
    """Expose a plan; `intact` leaves the fractures away and everything else as it is."""
    fractures = () if intact else plan.fractures
    projection = project(plan.part, fractures, plan.marks, plan.frame)
    opening = shutter(plan.frame.height, plan.frame.width, plan.technique)
    pixels = expose(projection.attenuation, opening, plan.frame.spacing_mm, plan.technique)
    return Radiograph(
        pixels=pixels,
        truths=tuple(truth & (opening > 0.5) for truth in projection.truths),
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
    """Fractures at sites of different bones that the picture shows wholly."""
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
