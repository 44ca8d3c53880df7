"""Bodies that X-rays cross, and body parts in which they are placed.

A body is a tube or a lump with a rim (cortex, or fat) and a core (cancellous bone, or muscle). It
is drawn in its own frame, s mm along its axis (down) and u mm across (right), as the length of the
ray in its rim and in its core. A body part has its bones and flesh placed in a plane in mm, x right
and y down.
"""

from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy import interpolate, ndimage

from fracture_core.demo.geometry import Field, Matrix, line, scale, shift, turn

# ---- bodies --------------------------------------------------------------------------------------


Table = tuple[tuple[float, ...], ...]
Shape = tuple[tuple[float, float], ...]
_FLAT: Shape = ((0.0, 0.0), (1.0, 0.0))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Grid:
    """Pixels in a body's frame: rows from `start_mm`, columns around the axis at `axis_px`."""

    rows: int
    columns: int
    start_mm: float
    axis_px: int
    spacing_mm: float

    @property
    def s(self) -> Field:
        """Returns the place of each row along the axis, (rows, 1) in mm."""
        return (self.start_mm + np.arange(self.rows, dtype=np.float32) * self.spacing_mm)[:, None]

    @property
    def u(self) -> Field:
        """Returns the place of each column across the axis, (1, columns) in mm."""
        return ((np.arange(self.columns, dtype=np.float32) - self.axis_px) * self.spacing_mm)[None]

    @property
    def to_mm(self) -> Matrix:
        """Returns the matrix from grid pixels (column, row) to (u, s) in mm."""
        return shift(-self.axis_px * self.spacing_mm, self.start_mm) @ scale(
            self.spacing_mm, self.spacing_mm
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rays:
    """Lengths of the rays in mm, (H, W) each, and how cancellous the core is, (H, 1) in [0, 1]."""

    rim: Field
    core: Field
    spongy: Field

    @property
    def inside(self) -> npt.NDArray[np.bool_]:
        """Tells of each pixel (H, W) whether its ray meets the body."""
        return (self.rim + self.core) > 0.05


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tube:
    """A long body.

    The rows of `profile` are s, left, right, half depth, rim thickness, all in mm, and the spongy
    share · `head` and `foot` shape the end faces: (u, mm further out) · `round_mm` is how fast the
    ends close · `bow_mm` is how far the axis leaves the straight line in the middle · `blocky` is
    the power of the cross-section: 2 is an ellipse, more a rounded block · `plate_mm` is the rim's
    thickness at the end faces · `waviness` is how uneven the outline is, by the seed · `swells` are
    local bulges (s, left mm, right mm, length mm) · `kinks` are angles in the axis (s, radians).
    """

    name: str
    profile: Table
    head: Shape = _FLAT
    foot: Shape = _FLAT
    round_mm: tuple[float, float] = (3.0, 3.0)
    bow_mm: float = 0.0
    blocky: float = 2.6
    plate_mm: float = 0.7
    waviness: float = 0.0
    seed: int = 0
    swells: Table = ()
    kinks: Table = ()

    @property
    def length_mm(self) -> float:
        """Returns the length along the axis, in mm."""
        return self.profile[-1][0]

    def grown(self, size: float, girth: float = 1.0) -> Self:
        """Returns the same body, `size` times as long and `size` × `girth` times as thick."""
        rows = tuple(
            (s * size, *(w * size * girth for w in widths), spongy)
            for s, *widths, spongy in self.profile
        )
        return replace(
            self,
            profile=rows,
            head=tuple((u * size * girth, ds * size) for u, ds in self.head),
            foot=tuple((u * size * girth, ds * size) for u, ds in self.foot),
            round_mm=(self.round_mm[0] * size, self.round_mm[1] * size),
            bow_mm=self.bow_mm * size,
        )

    def grid(self, spacing_mm: float, seen_mm: tuple[float, float]) -> Grid | None:
        """Returns the pixels for the part between two values of s in mm, or None if it is empty."""
        reach = max(*(abs(ds) for _, ds in self.head + self.foot), 0.0) + 2.0
        low, high = max(-reach, seen_mm[0]), min(self.length_mm + reach, seen_mm[1])
        if high - low < 2 * spacing_mm:
            return None
        half = max(max(left, right) for _, left, right, *_ in self.profile)
        half += abs(self.bow_mm) + 3.0 + sum(abs(a) * 25 for _, a in self.kinks)
        axis = int(np.ceil(half / spacing_mm))
        return Grid(
            rows=int(np.ceil((high - low) / spacing_mm)),
            columns=2 * axis + 1,
            start_mm=low,
            axis_px=axis,
            spacing_mm=spacing_mm,
        )

    def centre(self, s: Field) -> Field:
        """Returns how far the axis lies to the right of the straight line at s, in mm."""
        share = np.clip(s / self.length_mm, 0, 1)
        centre = 4 * self.bow_mm * share * (1 - share)
        for at, angle in self.kinks:
            centre = centre + np.tan(angle) * np.logaddexp(0, (s - at) / 2.0) * 2.0
        return np.asarray(centre, dtype=np.float32)

    def half_width(self, s: float) -> tuple[float, float]:
        """Returns the widths left and right of the axis at s, in mm."""
        left, right, *_ = self._widths(np.array([[s]], dtype=np.float32))
        return float(left[0, 0]), float(right[0, 0])

    def spongy_at(self, s: float) -> float:
        """Returns the cancellous share at s, in [0, 1]."""
        return float(self._widths(np.array([[s]], dtype=np.float32))[-1][0, 0])

    def rays(self, grid: Grid) -> Rays:
        """Returns the lengths of the rays on a grid."""
        s, u = grid.s, grid.u
        u = u - self.centre(s)
        left, right, depth, rim, spongy = self._widths(s)
        left, right = self._uneven(left, right, grid)
        head = _reach(self.head, u)
        foot = _reach(self.foot, u)
        from_head, from_foot = s + head, self.length_mm + foot - s
        cap = _cap(from_head, self.round_mm[0]) * _cap(from_foot, self.round_mm[1])
        plate = self.plate_mm
        inner = _cap(from_head - plate, self.round_mm[0])
        inner *= _cap(from_foot - plate, self.round_mm[1])
        on_left = u < 0
        half = np.where(on_left, left, right)
        outer_mm = _chord(u, half * cap, depth * cap, self.blocky)
        uneven_rim = rim * (1 + self.waviness * 4 * self._noise(grid, 5, 2.5 / grid.spacing_mm))
        half_core = np.maximum(half - uneven_rim, 0) * inner
        core_mm = _chord(u, half_core, np.maximum(depth - uneven_rim, 0) * inner, self.blocky)
        core_mm = np.minimum(core_mm, outer_mm)
        return Rays(rim=outer_mm - core_mm, core=core_mm, spongy=spongy)

    def _uneven(self, left: Field, right: Field, grid: Grid) -> tuple[Field, Field]:
        if not self.waviness:
            return left, right
        grain = 6.0 / grid.spacing_mm
        left = left * (1 + self.waviness * self._noise(grid, 1, grain))
        right = right * (1 + self.waviness * self._noise(grid, 2, grain))
        return left, right

    def _noise(self, grid: Grid, salt: int, grain_px: float) -> Field:
        """Returns noise (rows, 1) that belongs to the body, whichever part of it is drawn."""
        total = int((self.length_mm + 60.0) / grid.spacing_mm) + 2
        whole = line(total, grain_px, np.random.default_rng([self.seed, salt]))
        first = round((grid.start_mm + 30.0) / grid.spacing_mm)
        at = np.clip(np.arange(first, first + grid.rows), 0, total - 1)
        return whole[at][:, None]

    def _widths(self, s: Field) -> tuple[Field, ...]:
        table = np.array(self.profile)
        smooth = interpolate.PchipInterpolator(table[:, 0], table[:, 1:], axis=0)
        at = np.clip(s[:, 0], 0, self.length_mm)
        left, right, depth, rim, spongy = (smooth(at).astype(np.float32).T)[:, :, None]
        for where, left_mm, right_mm, span in self.swells:
            bump = np.exp(-(((s - where) / span) ** 2))
            left, right = left + left_mm * bump, right + right_mm * bump
        return left, right, depth, rim, spongy


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lump:
    """A short body: `radii_mm` of its outline at even angles, and its half depth `depth_mm`."""

    name: str
    radii_mm: tuple[float, ...]
    depth_mm: float
    rim_mm: float
    spongy: float = 1.0
    blocky: float = 2.6
    seed: int = 0
    swells: Table = field(default=())

    @classmethod
    def outlined(
        cls, name: str, outline: Shape, *, depth_mm: float, rim_mm: float, seed: int
    ) -> tuple[Self, tuple[float, float]]:
        """Returns a lump with a star-shaped outline in (u, s) mm, and the outline's middle.

        Corners are rounded, and the seed makes the outline a little uneven.
        """
        points = np.array(outline)
        middle = (points.min(axis=0) + points.max(axis=0)) / 2
        dense = _walk(points - middle)
        bearing = np.arctan2(dense[:, 1], dense[:, 0])
        order = np.argsort(bearing)
        even = np.linspace(0, 2 * np.pi, 36, endpoint=False)
        away = np.hypot(dense[:, 0], dense[:, 1])[order]
        radii = np.interp(even, np.mod(bearing[order], 2 * np.pi), away, period=2 * np.pi)
        radii = 1.1 * ndimage.gaussian_filter1d(radii, 0.8, mode="wrap")
        rough = np.random.default_rng([seed, 2]).normal(0, 0.05, len(even))
        radii *= 1 + ndimage.gaussian_filter1d(rough, 2.0, mode="wrap")
        body = cls(
            name=name,
            radii_mm=tuple(radii.tolist()),
            depth_mm=depth_mm,
            rim_mm=rim_mm,
            blocky=2.3,
            seed=seed,
        )
        return body, (float(middle[0]), float(middle[1]))

    @property
    def length_mm(self) -> float:
        """Returns 0, as a lump has no axis."""
        return 0.0

    def grid(self, spacing_mm: float, seen_mm: tuple[float, float]) -> Grid | None:
        """Returns the pixels of the whole lump, or None if none of it is seen."""
        half = max(self.radii_mm) * 1.15 + 1.0
        if seen_mm[0] > half or seen_mm[1] < -half:
            return None
        axis = int(np.ceil(half / spacing_mm))
        side = 2 * axis + 1
        return Grid(
            rows=side,
            columns=side,
            start_mm=-axis * spacing_mm,
            axis_px=axis,
            spacing_mm=spacing_mm,
        )

    def rays(self, grid: Grid) -> Rays:
        """Returns the lengths of the rays on a grid."""
        s, u = np.broadcast_arrays(grid.s, grid.u)
        knots = np.linspace(0, 2 * np.pi, len(self.radii_mm) + 1)
        closed = np.append(self.radii_mm, self.radii_mm[0])
        outline = interpolate.CubicSpline(knots, closed, bc_type="periodic")
        rim = outline(np.mod(np.arctan2(s, u), 2 * np.pi)).astype(np.float32)
        away = np.hypot(s, u)
        outer = _chord(away, rim, np.full_like(rim, self.depth_mm), self.blocky)
        inner_depth = np.full_like(rim, max(self.depth_mm - self.rim_mm, 0.0))
        core = _chord(away, np.maximum(rim - self.rim_mm, 0), inner_depth, self.blocky)
        core = np.minimum(core, outer)
        return Rays(
            rim=outer - core, core=core, spongy=np.full((grid.rows, 1), self.spongy, np.float32)
        )


Body = Tube | Lump


def _walk(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Returns points (20 N, 2) along the sides of a closed outline with corners (N, 2)."""
    share = np.linspace(0, 1, 20, endpoint=False)[None, :, None]
    following = np.roll(points, -1, axis=0)
    walked = points[:, None] * (1 - share) + following[:, None] * share
    return np.asarray(walked.reshape(-1, 2))


def _chord(u: Field, half: Field, depth: Field, power: float) -> Field:
    """Returns the length of the ray at u in a rounded block of half width and half depth."""
    share = np.abs(u) / np.maximum(half, 1e-3)
    room = np.clip(1 - share**power, 0, None) ** (1 / power)
    return np.where(half > 1e-3, 2 * depth * room, 0).astype(np.float32)


def _cap(inside_mm: Field, round_mm: float) -> Field:
    """Returns 1 in the body, falling to 0 in a curve at its end."""
    share = np.clip(inside_mm / round_mm, 0, 1)
    return np.asarray(np.sqrt(1 - (1 - share) ** 2), dtype=np.float32)


def _reach(shape: Shape, u: Field) -> Field:
    at, out = np.array(shape).T
    if not out.any():
        return np.zeros_like(u)
    fine = np.linspace(at[0], at[-1], 60)
    table = interpolate.PchipInterpolator(at, out)(fine)
    return np.asarray(np.interp(u, fine, table), dtype=np.float32)


# ---- body parts ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Placed:
    """A body whose s axis starts at `origin_mm` and runs `heading` radians clockwise from up.

    `follows` names the bone that it hangs on, and moves with · `flipped` mirrors it left to right.
    """

    body: Body
    origin_mm: tuple[float, float]
    heading: float = 0.0
    follows: str = ""
    flipped: bool = False

    @property
    def to_plane(self) -> Matrix:
        """Returns the matrix from (u, s) mm to (x, y) mm; heading 0 has s up and u to the right."""
        upright = np.diag([-1.0 if self.flipped else 1.0, -1.0, 1.0])
        return shift(*self.origin_mm) @ turn(self.heading) @ upright


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Site:
    """A stretch of a bone where fractures happen, in mm along it."""

    bone: str
    low_mm: float
    high_mm: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BodyPart:
    """Everything in one exposure. `centre_mm` and `height_mm` are what the image shows · `upright`
    is a turn of the whole, in radians.
    """

    name: str
    bones: tuple[Placed, ...]
    flesh: tuple[Placed, ...]
    sites: tuple[Site, ...]
    centre_mm: tuple[float, float]
    height_mm: float
    upright: float = 0.0

    def bone(self, name: str) -> Placed:
        """Returns the placed bone of a name; raises StopIteration where there is none."""
        return next(placed for placed in self.bones if placed.body.name == name)

    def tube(self, name: str) -> Tube:
        """Returns the tube of a name; raises TypeError where the bone is a lump."""
        body = self.bone(name).body
        if not isinstance(body, Tube):
            raise TypeError(f"{name}: expected a tube, got a {type(body).__name__}")
        return body
