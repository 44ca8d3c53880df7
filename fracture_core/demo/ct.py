"""One synthetic CT study of a neck from one number."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from fracture_core.demo.geometry import Field
from fracture_core.demo.neck import DISC, soft_parts
from fracture_core.demo.texture import clouds, streaks
from fracture_core.demo.vertebrae import PERIOD_MM, Build, body_outline, vertebra
from fracture_core.types import Pixels

HU_OFFSET = -1024
SLICE_MM = 1.5
FIELD_MM = 126.0
_CORTEX_HU, _SPONGY_HU = 1050.0, 270.0
# Where necks break: x and y in mm, the direction across the crack in radians.
_SITES = (
    (6.5, 20.0, 0.65),
    (-6.5, 20.0, -0.65),
    (13.0, 9.5, 1.3),
    (-13.0, 9.5, -1.3),
    (3.0, 0.0, 0.15),
    (-4.0, -2.0, -0.25),
    (0.5, 29.0, 1.5),
    (15.6, 1.5, 0.4),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Crack:
    """A crack through one vertebra: a plane at `at_mm` across `normal`, no further than `reach_mm`;
    `step_mm` is how far its far side has slipped.
    """

    at_mm: tuple[float, float, float]
    normal: tuple[float, float, float]
    gap_mm: float
    reach_mm: float
    step_mm: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Study:
    """`pixels` (N, H, W) uint16, HU + 1024; `truths` (N, H, W) bool, one array a crack."""

    pixels: Pixels
    truths: tuple[npt.NDArray[np.bool_], ...]
    spacing_mm: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StudyPlan:
    """All that decides a study."""

    build: Build
    cracks: tuple[Crack, ...]
    contrast: float
    noise_hu: float
    centre_mm: tuple[float, float]
    grain: int


def plan_study(seed: Sequence[int], slices: int, *, fractured: bool | None = None) -> StudyPlan:
    """Draw a plan; `fractured` None leaves it to the seed."""
    rng = np.random.default_rng([*seed, 77])
    build = Build(
        size=float(rng.uniform(0.92, 1.1)),
        canal=float(rng.uniform(0.92, 1.1)),
        process=float(rng.uniform(0.85, 1.1)),
        cortex_mm=float(rng.uniform(0.9, 1.4)),
        lean=float(rng.normal(0, 0.04)),
        phase_mm=float(rng.uniform(0, PERIOD_MM)),
    )
    broken = bool(rng.random() < 0.5) if fractured is None else fractured
    count = int(rng.choice([1, 2], p=(0.65, 0.35))) if broken else 0
    sites = rng.permutation(len(_SITES))[:count]
    return StudyPlan(
        build=build,
        cracks=tuple(_draw_crack(_SITES[site], slices, build, rng) for site in sites),
        contrast=float(rng.choice([0.0, 140.0])),
        noise_hu=float(rng.uniform(16, 34)),
        centre_mm=(float(rng.normal(0, 3)), float(rng.normal(4, 3))),
        grain=int(rng.integers(2**31)),
    )


def render_study(plan: StudyPlan, slices: int, size: int) -> Study:
    """Slices of `size` × `size` pixels, 1.5 mm apart, from head to foot."""
    spacing = FIELD_MM / size
    x, y = _coordinates(size, spacing, plan)
    uneven = _unevenness(size, spacing, plan)
    rng = np.random.default_rng([plan.grain, 1])
    mesh = ndimage.gaussian_filter(
        rng.standard_normal((slices, size, size), dtype=np.float32), (0.8, 0.7, 0.7)
    )
    mesh /= mesh.std()
    values = np.empty((slices, size, size), dtype=np.uint16)
    truths = [np.zeros((slices, size, size), dtype=np.bool_) for _ in plan.cracks]
    for number in range(slices):
        z = (number - (slices - 1) / 2) * SLICE_MM
        hu, masks = _slice(x, y, z, plan, mesh[number], uneven)
        hu = _scanned(hu, z, plan, rng)
        values[number] = np.clip(np.rint(hu - HU_OFFSET), 0, 4095)
        for truth, mask in zip(truths, masks, strict=True):
            truth[number] = mask
    return Study(pixels=values, truths=tuple(truths), spacing_mm=spacing)


def _coordinates(size: int, spacing: float, plan: StudyPlan) -> tuple[Field, Field]:
    along = (np.arange(size, dtype=np.float32) - (size - 1) / 2) * np.float32(spacing)
    x, y = np.meshgrid(along - plan.centre_mm[0], along + plan.centre_mm[1])
    return x.astype(np.float32), y.astype(np.float32)


def _unevenness(size: int, spacing: float, plan: StudyPlan) -> Field:
    """(3, H, W) slow noise: no two sides of a neck are alike."""
    rng = np.random.default_rng([plan.grain, 2])
    shape = (size, size)
    bends = [clouds(shape, 16.0 / spacing, rng) for _ in range(2)]
    fibres = streaks(shape, (1.6 / spacing, 1.0 / spacing), rng)
    return np.stack([*bends, fibres])


def _slice(
    x: Field, y: Field, z: float, plan: StudyPlan, mesh: Field, uneven: Field
) -> tuple[Field, list[npt.NDArray[np.bool_]]]:
    flow = 1 + 0.25 * np.sin(z / 10)
    soft_x, soft_y = x + 1.5 * flow * uneven[0], y + 1.5 * uneven[1]
    hu = soft_parts(soft_x, soft_y, z, plan.build, plan.contrast)
    hu += np.where(np.abs(hu) < 120, 11 * uneven[2], 0)
    past = [_past(crack, x, y, z) for crack in plan.cracks]
    near = [_near(crack, x, y, z) for crack in plan.cracks]
    moved_x, moved_y = x + 0.45 * uneven[0], y + 0.45 * uneven[1]
    for crack, beyond, close in zip(plan.cracks, past, near, strict=True):
        slip = crack.step_mm * close * (beyond > 0)
        moved_x = moved_x + slip * crack.normal[1]
        moved_y = moved_y - slip * crack.normal[0]
    bone, disc = vertebra(moved_x, moved_y, z, plan.build)
    if disc > 0:
        hu += disc * _inside(body_outline(x, y, plan.build), 0.5) * (DISC - hu)
    depth = -bone
    shell = 1 / (1 + np.exp(np.clip((depth - plan.build.cortex_mm) / 0.35, -30, 30)))
    inner = _SPONGY_HU * (1 + 0.33 * mesh)
    solid = inner + shell * (_CORTEX_HU * (1 + 0.05 * mesh) - inner)
    masks = []
    for crack, beyond, close in zip(plan.cracks, past, near, strict=True):
        open_here = np.exp(-((beyond / (0.62 * crack.gap_mm)) ** 2)) * close
        solid = solid + 0.92 * open_here * (45.0 - solid)
        masks.append((np.abs(beyond) < 1.2 + crack.gap_mm / 2) & (close > 0.5) & (bone < 0.3))
    return np.asarray(hu + _inside(bone, 0.3) * (solid - hu), dtype=np.float32), masks


def _past(crack: Crack, x: Field, y: Field, z: float) -> Field:
    """(H, W) mm beyond the crack's rough plane."""
    u, v, w = x - crack.at_mm[0], y - crack.at_mm[1], z - crack.at_mm[2]
    flat = u * crack.normal[0] + v * crack.normal[1] + w * crack.normal[2]
    across = u * crack.normal[1] - v * crack.normal[0]
    rough = 0.35 * np.sin(1.1 * across + 0.6 * w) + 0.2 * np.sin(2.9 * across - 1.3 * w)
    return np.asarray(flat + rough, dtype=np.float32)


def _near(crack: Crack, x: Field, y: Field, z: float) -> Field:
    """(H, W) in [0, 1], 1 within the crack's reach; it ends at the next vertebra."""
    away = np.sqrt(
        (x - crack.at_mm[0]) ** 2 + (y - crack.at_mm[1]) ** 2 + (1.4 * (z - crack.at_mm[2])) ** 2
    )
    return np.asarray(1 / (1 + np.exp(np.clip((away - crack.reach_mm) / 0.5, -30, 30))), np.float32)


def _inside(distance: Field, soft_mm: float) -> Field:
    return np.asarray(1 / (1 + np.exp(np.clip(distance / soft_mm, -30, 30))), dtype=np.float32)


def _scanned(hu: Field, z: float, plan: StudyPlan, rng: np.random.Generator) -> Field:
    """The scanner's blur, quantum noise, and the streaks that shoulders throw on low slices."""
    shape = (hu.shape[0], hu.shape[1])
    blurred = ndimage.gaussian_filter(hu, 0.55)
    noise = plan.noise_hu * streaks(shape, (0.75, 0.75), rng)
    low = 1 / (1 + np.exp(-z / 8))
    noise += plan.noise_hu * (0.15 + 0.9 * low) * streaks(shape, (0.7, 22.0), rng) * 0.6
    return np.asarray(blurred + noise, dtype=np.float32)


def _draw_crack(
    site: tuple[float, float, float], slices: int, build: Build, rng: np.random.Generator
) -> Crack:
    """A crack in a vertebra near the middle of the stack."""
    x, y, across = site
    levels = np.arange(-6, 7) * PERIOD_MM - build.phase_mm
    room = (slices / 2 - 3) * SLICE_MM
    inside = levels[np.abs(levels) <= max(room, PERIOD_MM / 2)]
    z = float(rng.choice(inside)) + (2.0 if y > 15 else 0.0)
    angle = across + rng.normal(0, 0.2)
    tilt = rng.normal(0, 0.2)
    flat = np.cos(tilt)
    return Crack(
        at_mm=(x * build.size, y * build.size, z),
        normal=(float(np.cos(angle) * flat), float(np.sin(angle) * flat), float(np.sin(tilt))),
        gap_mm=float(rng.uniform(0.7, 1.5)),
        reach_mm=float(rng.uniform(7.0, 11.0)),
        step_mm=float(rng.choice([0.0, 1.0]) * rng.uniform(0.6, 2.2)),
    )
