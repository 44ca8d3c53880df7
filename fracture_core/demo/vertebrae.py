"""Cervical vertebrae as signed distances in mm: x to the right of the picture, y back, z down."""

from dataclasses import dataclass

import numpy as np

from fracture_core.demo.geometry import Field

PERIOD_MM = 17.0
"""From one vertebra to the next; a disc is what the body leaves of it."""
_ROUND_MM = 1.6


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """How a spine differs from another: sizes as factors, tilts in radians."""

    size: float
    canal: float
    process: float
    cortex_mm: float
    lean: float
    phase_mm: float


def vertebra(x: Field, y: Field, z_mm: float, build: Build) -> tuple[Field, float]:
    """(H, W) distance to the bone at this height, below 0 inside it, and the disc's share there.

    `z_mm` counts from the middle of a vertebra and may reach into its neighbours.
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
    """(H, W) distance to the side of the vertebral body and the disc."""
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
