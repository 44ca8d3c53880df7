"""What looks like a fracture and is none: growth plates and vessel canals."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fracture_core.demo.bones import Body, Grid, Tube
from fracture_core.demo.geometry import Field
from fracture_core.demo.texture import line


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """`kind` is "growth plate" (across the bone) or "vessel canal" (oblique, through one wall)."""

    kind: str
    bone: str
    at_mm: float
    width_mm: float
    side: int
    seed: int


def weigh_marks(marks: Sequence[Mark], body: Body, grid: Grid) -> Field:
    """(H, W) factors on the attenuation of this bone."""
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
