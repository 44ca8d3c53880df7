"""From attenuation to a digital radiograph: scatter, quanta, blur, processing, shutters, marker.

This file also holds what looks like a fracture and is none: growth plates and vessel canals.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from fracture_core.demo.bones import Body, Grid, Tube
from fracture_core.demo.geometry import Field, apply, clouds, enlarge, line, streaks, turn
from fracture_core.types import Pixels

# ---- marks on bones ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Something that looks like a fracture; `kind` is "growth plate" (across the bone) or "vessel
    canal" (oblique, through one wall).
    """

    kind: str
    bone: str
    at_mm: float
    width_mm: float
    side: int
    seed: int


def weigh_marks(marks: Sequence[Mark], body: Body, grid: Grid) -> Field:
    """Returns factors (H, W) on the attenuation of this bone."""
    weights = np.ones((grid.rows, grid.columns), dtype=np.float32)
    if not isinstance(body, Tube):
        return weights
    for mark in marks:
        if mark.bone == body.name:
            draw = _growth_plate if mark.kind == "growth plate" else _vessel_canal
            weights *= draw(mark, body, grid)
    return weights


def _growth_plate(mark: Mark, body: Tube, grid: Grid) -> Field:
    """A wavy dark band between two dense lines."""
    rng = np.random.default_rng([mark.seed, 1])
    wave = line(grid.columns, 3.0 / grid.spacing_mm, rng)[None] * 0.5
    off = np.abs(grid.s - mark.at_mm - wave - 0.02 * (grid.u - body.centre(grid.s)) ** 2)
    gap = 0.5 * np.exp(-((off / (0.6 * mark.width_mm)) ** 2))
    dense = 0.18 * np.exp(-(((off - 1.1 * mark.width_mm) / (0.4 * mark.width_mm)) ** 2))
    return np.asarray(1 - gap + dense, dtype=np.float32)


def _vessel_canal(mark: Mark, body: Tube, grid: Grid) -> Field:
    """A thin smooth line that enters one wall at a sharp angle, with dense margins."""
    left, right = body.half_width(mark.at_mm)
    half = right if mark.side > 0 else left
    inward = half - mark.side * (grid.u - body.centre(grid.s))
    path = mark.at_mm + 3.2 * inward
    off = np.abs(grid.s - path) / np.hypot(1, 3.2)
    wall = np.exp(-((np.maximum(inward - 0.25 * half, 0) / (0.25 * half)) ** 2)) * (inward > 0)
    gap = 0.3 * np.exp(-((off / (0.55 * mark.width_mm)) ** 2))
    dense = 0.05 * np.exp(-(((off - mark.width_mm) / (0.5 * mark.width_mm)) ** 2))
    return np.asarray(1 - (gap - dense) * wall, dtype=np.float32)


# ---- exposure ------------------------------------------------------------------------------------


TOP = 4095
"""The largest pixel value: 12 bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Technique:
    """One exposure.

    `quanta` are those of a pixel in air · `scatter` is the ratio to the primary rays · `blur_mm` is
    that of focus and detector · `contrast`, `black` and `white` shape the display curve ·
    `shutters` are distances from the image's edges (left, top, right, bottom) in shares of its
    sides, turned by `shutter_turn` radians · `marker` is the letter, with its place in shares, its
    turn and its height · `grain` seeds the noise.
    """

    quanta: float
    scatter: float
    blur_mm: float
    contrast: float
    black: float
    white: float
    shutters: tuple[float, float, float, float]
    shutter_turn: float
    marker: str
    marker_at: tuple[float, float]
    marker_turn: float
    marker_mm: float
    grain: int


def expose(attenuation: Field, opening: Field, spacing_mm: float, technique: Technique) -> Pixels:
    """Returns pixels (H, W), uint16 in 0…4095, bone bright.

    `opening` is what `shutter` leaves of the rays.
    """
    rng = np.random.default_rng([technique.grain, 1])
    height, width = attenuation.shape
    total = attenuation + 2.4 * _marker(height, width, spacing_mm, technique)
    quanta = np.exp(-total)
    # Heel effect and plate shading, which no calibration removes wholly.
    quanta *= 1 + 0.015 * clouds((height, width), max(attenuation.shape) / 3, rng)
    blur_px = max(technique.blur_mm / spacing_mm, 0.35)
    quanta = ndimage.gaussian_filter(quanta, blur_px, truncate=3.0)
    quanta += technique.scatter * _far_blur(quanta, 14.0 / spacing_mm)
    noise = 0.55 * streaks((height, width), (0.55, 0.55), rng) + 0.6 * rng.standard_normal(
        quanta.shape, dtype=np.float32
    )
    quanta += noise * np.sqrt(quanta / technique.quanta)
    signal = -np.log(np.maximum(quanta, 1e-3))
    return _finish(_processed(signal, spacing_mm), opening, technique, rng)


def shutter(height: int, width: int, technique: Technique) -> Field:
    """Returns (H, W) in [0, 1], 1 where the shutters are open; the focus softens their edge."""
    y, x = np.ogrid[:height, :width]
    inside = distance_to_shutter(
        x.astype(np.float32), y.astype(np.float32), height, width, technique
    )
    soft = 0.0025 * max(height, width)
    return np.asarray(1 / (1 + np.exp(-np.clip(inside / soft, -30, 30))), dtype=np.float32)


def distance_to_shutter(x: Field, y: Field, height: int, width: int, technique: Technique) -> Field:
    """Returns how many pixels inside the exposed part (x, y) lies; below 0 outside it."""
    left, top, right, bottom = technique.shutters
    (a, b, c), (d, e, f) = turn(-technique.shutter_turn, width / 2, height / 2)[:2].tolist()
    across, down = a * x + b * y + c, d * x + e * y + f
    aside = np.minimum(across - left * width, (1 - right) * width - across)
    above = np.minimum(down - top * height, (1 - bottom) * height - down)
    return np.asarray(np.minimum(aside, above), dtype=np.float32)


def _far_blur(values: Field, sigma_px: float) -> Field:
    step = max(int(sigma_px / 4), 1)
    coarse = ndimage.gaussian_filter(values[::step, ::step], sigma_px / step, mode="nearest")
    return enlarge(coarse, step, (values.shape[0], values.shape[1]))


def _processed(signal: Field, spacing_mm: float) -> Field:
    """Returns the signal with fine detail lifted and its slow range compressed, as vendors do."""
    fine = ndimage.gaussian_filter(signal, 0.9 / spacing_mm, truncate=2.5)
    slow = _far_blur(signal, 11.0 / spacing_mm)
    return np.asarray(signal + 0.55 * (signal - fine) - 0.32 * slow, dtype=np.float32)


def _finish(
    signal: Field, opening: Field, technique: Technique, rng: np.random.Generator
) -> Pixels:
    """Returns pixels after the display curve, set by the exposed part alone, and the shutters."""
    seen = signal[::4, ::4][opening[::4, ::4] > 0.9]
    air, dense = np.percentile(seen, [1.0, 99.3]).tolist()
    span = max(dense - air, 0.2)
    share = (signal - (air + technique.black * span)) / (technique.white * span)
    slope = technique.contrast
    low, high = 1 / (1 + math.exp(slope * 0.5)), 1 / (1 + math.exp(-slope * 0.5))
    curve = 1 / (1 + np.exp(-slope * (np.clip(share, -0.5, 1.4) - 0.5)))
    tone = (curve - low) / (high - low)
    tone = 0.035 + 0.93 * np.clip(tone, -0.02, 1.03)
    dark = 0.012 + 0.0025 * rng.standard_normal(signal.shape, dtype=np.float32)
    values = opening * tone + (1 - opening) * dark
    return np.asarray(np.rint(np.clip(values, 0, 1) * TOP), dtype=np.uint16)


_STROKES = {
    "L": (((0.1, 0.0), (0.1, 1.0), (0.75, 1.0)),),
    "R": (
        (
            (0.1, 1.0),
            (0.1, 0.0),
            (0.5, 0.0),
            (0.68, 0.08),
            (0.74, 0.26),
            (0.68, 0.44),
            (0.5, 0.52),
            (0.1, 0.52),
        ),
        ((0.42, 0.52), (0.78, 1.0)),
    ),
}


def _marker(height: int, width: int, spacing_mm: float, technique: Technique) -> Field:
    """Returns a lead letter, (H, W) in [0, 1]."""
    fine = 3
    tall = technique.marker_mm / spacing_mm
    side = int(2.2 * tall)
    sheet = Image.new("L", (side * fine, side * fine))
    pen = ImageDraw.Draw(sheet)
    thick = max(int(0.17 * tall * fine), 2)
    spin = turn(technique.marker_turn, side / 2, side / 2)
    for stroke in _STROKES[technique.marker]:
        points = (
            np.array(stroke) * tall + np.array([0.5, 0.5]) * side - np.array([0.42, 0.5]) * tall
        )
        dots = [(float(x * fine), float(y * fine)) for x, y in apply(spin, points)]
        pen.line(dots, fill=255, width=thick, joint="curve")
    small = np.asarray(sheet.reduce(fine), dtype=np.float32) / 255
    left = int(np.clip(technique.marker_at[0] * width - side / 2, 0, width - side))
    top = int(np.clip(technique.marker_at[1] * height - side / 2, 0, height - side))
    mark = np.zeros((height, width), dtype=np.float32)
    mark[top : top + side, left : left + side] = small
    return mark
