"""One synthetic CT study of a neck from one seed.

Vertebrae are signed distances in mm: x to the right of the image, y back, z down. Soft parts are
painted in Hounsfield units (HU), slice by slice. Cracks are rough planes through one vertebra.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from fracture_core.demo.geometry import Field, clouds, streaks
from fracture_core.types import Pixels

# ---- vertebrae -----------------------------------------------------------------------------------


PERIOD_MM = 17.0
"""From one vertebra to the next; a disc is what the body leaves of it."""
_ROUND_MM = 1.6


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """How one spine differs from another: sizes as factors, `lean` as a shear of x by y."""

    size: float
    canal: float
    process: float
    cortex_mm: float
    lean: float
    phase_mm: float


def vertebra(x: Field, y: Field, z_mm: float, build: Build) -> tuple[Field, float]:
    """Returns the distance to the bone (H, W) in mm, below 0 inside it, and the disc's share.

    Both are of the height `z_mm`, which counts from the middle of a vertebra and may reach into its
    neighbours.
    """
    level = (z_mm + build.phase_mm) / PERIOD_MM
    z = (level - round(level)) * PERIOD_MM
    x = (np.abs(x + build.lean * y) / build.size).astype(np.float32)
    y = (y / build.size).astype(np.float32)
    behind = 14.0 + 2.0 * (build.canal - 1)
    parts = [
        _slab(_body(x, y, z), z, 6.0),
        _slab(_rod(x, y, (8.5, 4.5), (12.5, 10.0), 2.9), z + 1.0, 3.4),
        _slab(_transverse(x, y), z + 0.5, 2.6),
        _slab(_pillar(x, y, z), z + 0.4, 7.6),
        _slab(_rod(x, y, (13.0, 14.5), (1.0, behind + 10.0), 2.3), z - 1.5, 5.0),
        _slab(_spine(x, y, behind, build.process), z - 3.2, 4.4),
    ]
    joined = parts[0]
    for part in parts[1:]:
        joined = _join(joined, part)
    disc = float(np.clip((abs(z) - 6.0) / 1.2, 0, 1))
    return np.asarray(joined * build.size, dtype=np.float32), disc


def body_outline(x: Field, y: Field, build: Build) -> Field:
    """Returns the distance to the side of the vertebral body and the disc, (H, W) in mm."""
    x = (np.abs(x + build.lean * y) / build.size).astype(np.float32)
    outline = _body(x, (y / build.size).astype(np.float32), 6.0)
    return np.asarray(outline * build.size, dtype=np.float32)


def _body(x: Field, y: Field, z: float) -> Field:
    waist = 1.0 - 0.07 * (1 - (z / 6.5) ** 2)
    half_x, half_y = 12.6 * waist, 8.6 * waist
    # Flat behind, round in front.
    back = np.maximum(y, 0)
    front = np.minimum(y, 0)
    away = (x / half_x) ** 2.6 + (np.abs(front) / half_y) ** 2.3 + (back / (half_y * 0.86)) ** 4
    return np.asarray((away**0.42 - 1) * half_y, dtype=np.float32)


def _transverse(x: Field, y: Field) -> Field:
    """The ring around the vertebral artery."""
    away = np.hypot((x - 15.6) / 1.08, y - 2.2)
    return np.asarray(np.abs(away - 4.1) - 1.25, dtype=np.float32)


def _pillar(x: Field, y: Field, z: float) -> Field:
    away = np.hypot((x - 15.8) / 1.15, (y - 11.8 - 0.22 * z) / 0.95)
    return np.asarray(away - 5.0, dtype=np.float32)


def _spine(x: Field, y: Field, behind: float, process: float) -> Field:
    """The spinous process, cleft at its tip."""
    stem = _rod(x, y, (0.0, behind + 10.0), (0.2, behind + 17.0 * process), 2.1)
    tip = _rod(x, y, (0.6, behind + 16.0 * process), (3.6, behind + 21.5 * process), 1.7)
    return _join(stem, tip)


def _rod(
    x: Field, y: Field, start: tuple[float, float], end: tuple[float, float], r: float
) -> Field:
    along = np.array(end) - np.array(start)
    share = ((x - start[0]) * along[0] + (y - start[1]) * along[1]) / float(along @ along)
    share = np.clip(share, 0, 1)
    off = np.hypot(x - start[0] - share * along[0], y - start[1] - share * along[1])
    return np.asarray(off - r, dtype=np.float32)


def _slab(outline: Field, z: float, half_mm: float) -> Field:
    """An outline as high as `half_mm` to each side of the middle, its rims rounded."""
    over = abs(z) - half_mm
    inside = np.minimum(np.maximum(outline, over), 0)
    rim = np.hypot(np.maximum(outline + _ROUND_MM, 0), max(over + _ROUND_MM, 0.0)) - _ROUND_MM
    return np.where(rim > -_ROUND_MM, np.maximum(rim, inside), inside).astype(np.float32)


def _join(one: Field, other: Field) -> Field:
    """Union with a small fillet."""
    blend = np.clip(0.5 + 0.5 * (other - one) / 1.4, 0, 1)
    return np.asarray(other * (1 - blend) + one * blend - 1.4 * blend * (1 - blend), np.float32)


# ---- soft parts ----------------------------------------------------------------------------------


AIR, FAT, MUSCLE, CORD, FLUID, DISC = -1000.0, -95.0, 58.0, 40.0, 14.0, 85.0
# Muscles: x, y of the middle, half axes in mm, turn in radians; each side alike.
_MUSCLES = (
    (7.0, -11.5, 6.0, 3.2, 0.2),
    (17.5, -7.0, 5.5, 5.0, 0.6),
    (26.0, 5.0, 5.0, 9.5, -0.35),
    (37.5, -13.0, 6.2, 13.0, -0.75),
    (33.0, 14.0, 5.5, 9.5, -0.3),
    (10.5, 31.0, 8.0, 6.2, -0.5),
    (21.0, 24.0, 6.0, 8.5, 0.5),
    (15.5, 40.5, 12.5, 4.0, -0.38),
    (32.0, 32.0, 5.0, 13.0, 0.75),
    (9.0, -41.0, 4.5, 2.2, 0.25),
    (26.0, -33.0, 4.0, 2.0, 0.6),
)


def soft_parts(x: Field, y: Field, z_mm: float, build: Build, contrast: float) -> Field:
    """Returns HU (H, W) of everything but bone; `contrast` is what vessels have over muscle."""
    width = 59.0 * build.size * (1 + 0.012 * np.sin(z_mm / 14))
    skin = _oval(x, y, 0.0, 2.0, width, 52.0 * build.size + 0.03 * z_mm)
    hu = AIR + (FAT - AIR) * _fill(skin)
    hu = _paint(hu, MUSCLE - 20, np.maximum(np.abs(skin + 0.9) - 0.8, -2), 0.4)
    side = np.abs(x)
    for number, (mx, my, a, b, turn) in enumerate(_MUSCLES):
        sway = 1 + 0.06 * np.sin(z_mm / 9 + number)
        hu = _paint(
            hu, MUSCLE + 3 * np.sin(number), _oval(side, y, mx, my, a * sway, b * sway, turn)
        )
    hu = _vessels(hu, x, y, z_mm, contrast)
    hu = _throat(hu, x, y, z_mm)
    canal = _oval(x, y, 0.0, 15.5 * build.size, 11.5 * build.size * build.canal, 7.4 * build.size)
    hu = _paint(hu, FLUID, canal)
    cord = _oval(x, y, 0.0, 15.2 * build.size, 6.6 * build.size, 4.0 * build.size)
    return _paint(hu, CORD, cord)


def _vessels(hu: Field, x: Field, y: Field, z_mm: float, contrast: float) -> Field:
    for sign in (-1, 1):
        drift = 1.2 * np.sin(z_mm / 12 + sign)
        hu = _paint(hu, 45 + contrast, _oval(x, y, sign * 24.5 + drift, -17.0, 3.3, 3.3))
        hu = _paint(hu, 45 + 0.6 * contrast, _oval(x, y, sign * 30.5, -12.5 + drift, 5.2, 3.7))
        hu = _paint(hu, 45 + contrast, _oval(x, y, sign * 15.8, 2.2, 1.7, 1.7))
    return hu


def _throat(hu: Field, x: Field, y: Field, z_mm: float) -> Field:
    """Airway with its wall and cartilage, gullet behind it."""
    wide = 8.5 + 1.2 * np.sin(z_mm / 11)
    deep = 7.0 + 1.0 * np.cos(z_mm / 13)
    wall = _oval(x, y, 0.0, -28.0, wide + 3.2, deep + 3.0)
    hu = _paint(hu, MUSCLE, wall)
    arch = np.abs(_oval(x, y, 0.0, -29.0, wide + 5.0, deep + 4.5)) - 1.1
    arch = np.maximum(arch, y + 22.0)
    hu = _paint(hu, 190.0, arch)
    hu = _paint(hu, MUSCLE - 8, _oval(x, y, 0.8, -16.8, 6.5, 2.6))
    return _paint(hu, AIR, _oval(x, y, 0.0, -28.0, wide, deep), 0.35)


def _oval(
    x: Field, y: Field, at_x: float, at_y: float, a: float, b: float, turn: float = 0.0
) -> Field:
    """Returns a rough distance (H, W) in mm to an ellipse, below 0 inside it."""
    cos, sin = float(np.cos(turn)), float(np.sin(turn))
    u, v = (x - at_x) * cos + (y - at_y) * sin, (y - at_y) * cos - (x - at_x) * sin
    return np.asarray((np.hypot(u / float(a), v / float(b)) - 1) * float(min(a, b)), np.float32)


def _fill(distance: Field, soft_mm: float = 0.45) -> Field:
    return np.asarray(1 / (1 + np.exp(np.clip(distance / soft_mm, -30, 30))), dtype=np.float32)


def _paint(hu: Field, value: float, distance: Field, soft_mm: float = 0.45) -> Field:
    share = _fill(distance, soft_mm)
    return np.asarray(hu + share * (float(value) - hu), dtype=np.float32)


# ---- studies -------------------------------------------------------------------------------------


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
    """A crack through one vertebra: a plane at `at_mm` across `normal`, no further than `reach_mm`.

    `gap_mm` is its width · `step_mm` is how far its far side has slipped.
    """

    at_mm: tuple[float, float, float]
    normal: tuple[float, float, float]
    gap_mm: float
    reach_mm: float
    step_mm: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Study:
    """One study. `pixels` (N, H, W) are uint16, HU + 1024 · `ground_truths` are masks (N, H, W)
    bool, one for each crack.
    """

    pixels: Pixels
    ground_truths: tuple[npt.NDArray[np.bool_], ...]
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
    """Returns a plan; `fractured` None leaves it to the seed."""
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
    """Returns slices of `size` × `size` pixels, 1.5 mm apart, from head to foot."""
    spacing = FIELD_MM / size
    x, y = _coordinates(size, spacing, plan)
    uneven = _unevenness(size, spacing, plan)
    rng = np.random.default_rng([plan.grain, 1])
    mesh = ndimage.gaussian_filter(
        rng.standard_normal((slices, size, size), dtype=np.float32), (0.8, 0.7, 0.7)
    )
    mesh /= mesh.std()
    values = np.empty((slices, size, size), dtype=np.uint16)
    ground_truths = [np.zeros((slices, size, size), dtype=np.bool_) for _ in plan.cracks]
    for number in range(slices):
        z = (number - (slices - 1) / 2) * SLICE_MM
        hu, masks = _slice(x, y, z, plan, mesh[number], uneven)
        hu = _scanned(hu, z, plan, rng)
        values[number] = np.clip(np.rint(hu - HU_OFFSET), 0, 4095)
        for ground_truth, mask in zip(ground_truths, masks, strict=True):
            ground_truth[number] = mask
    return Study(pixels=values, ground_truths=tuple(ground_truths), spacing_mm=spacing)


def _coordinates(size: int, spacing: float, plan: StudyPlan) -> tuple[Field, Field]:
    along = (np.arange(size, dtype=np.float32) - (size - 1) / 2) * np.float32(spacing)
    x, y = np.meshgrid(along - plan.centre_mm[0], along + plan.centre_mm[1])
    return x.astype(np.float32), y.astype(np.float32)


def _unevenness(size: int, spacing: float, plan: StudyPlan) -> Field:
    """Returns slow noise (3, H, W): no two sides of a neck are alike."""
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
    """Returns mm (H, W) beyond the crack's rough plane."""
    u, v, w = x - crack.at_mm[0], y - crack.at_mm[1], z - crack.at_mm[2]
    flat = u * crack.normal[0] + v * crack.normal[1] + w * crack.normal[2]
    across = u * crack.normal[1] - v * crack.normal[0]
    rough = 0.35 * np.sin(1.1 * across + 0.6 * w) + 0.2 * np.sin(2.9 * across - 1.3 * w)
    return np.asarray(flat + rough, dtype=np.float32)


def _near(crack: Crack, x: Field, y: Field, z: float) -> Field:
    """Returns (H, W) in [0, 1], 1 within the crack's reach; it ends at the next vertebra."""
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
    """Returns a crack in a vertebra near the middle of the stack."""
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
