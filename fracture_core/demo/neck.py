"""The soft parts of a neck in Hounsfield units, slice by slice."""

import numpy as np

from fracture_core.demo.geometry import Field
from fracture_core.demo.vertebrae import Build

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
    """(H, W) HU of everything but bone; `contrast` is what the vessels have over muscle."""
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
    """(H, W) rough distance in mm to an ellipse, below 0 inside it."""
    cos, sin = float(np.cos(turn)), float(np.sin(turn))
    u, v = (x - at_x) * cos + (y - at_y) * sin, (y - at_y) * cos - (x - at_x) * sin
    return np.asarray((np.hypot(u / float(a), v / float(b)) - 1) * float(min(a, b)), np.float32)


def _fill(distance: Field, soft_mm: float = 0.45) -> Field:
    return np.asarray(1 / (1 + np.exp(np.clip(distance / soft_mm, -30, 30))), dtype=np.float32)


def _paint(hu: Field, value: float, distance: Field, soft_mm: float = 0.45) -> Field:
    share = _fill(distance, soft_mm)
    return np.asarray(hu + share * (float(value) - hu), dtype=np.float32)
