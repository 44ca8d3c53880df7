"""Hand, wrist and forearm from the front (postero-anterior), the fingers up."""

from collections.abc import Iterator

import numpy as np

from fracture_core.demo.bones import BodyPart, Lump, Placed, Shape, Site, Table, Tube

# s, left, right, half depth, cortex, cancellous share; all in mm, the thumb on the left.
_RADIUS: Table = (
    (0, 9.5, 9.5, 9, 1.2, 0.8),
    (10, 6.5, 6.5, 6.5, 1.8, 0.4),
    (28, 6.5, 8.5, 6.5, 2.4, 0.3),
    (45, 6.2, 6.8, 6.0, 3.0, 0.1),
    (120, 7.2, 7.4, 5.8, 3.3, 0.05),
    (175, 7.4, 7.2, 5.8, 2.8, 0.1),
    (203, 9.0, 8.2, 7.0, 1.9, 0.4),
    (219, 12.6, 10.6, 9.0, 1.15, 0.9),
    (230, 16.0, 13.4, 10.4, 0.8, 1.0),
    (236, 16.8, 14.4, 10.4, 0.7, 1.0),
    (240, 16.4, 14.2, 10.0, 0.7, 1.0),
)
_RADIUS_FOOT: Shape = (
    (-18, 5.0),
    (-16, 8.2),
    (-13.5, 6.2),
    (-4, 0.5),
    (4, -0.8),
    (10, 0.6),
    (15, 1.2),
)
_ULNA: Table = (
    (0, 11, 11, 10, 1.6, 0.8),
    (30, 9, 9, 9, 2.6, 0.4),
    (60, 7.2, 7.0, 6.5, 3.2, 0.1),
    (140, 6.3, 6.3, 5.6, 3.1, 0.05),
    (190, 5.4, 5.6, 5.2, 2.5, 0.1),
    (212, 5.8, 5.8, 5.4, 1.7, 0.5),
    (224, 7.6, 7.2, 6.6, 1.0, 0.9),
    (230, 8.6, 7.8, 7.2, 0.8, 1.0),
    (233, 8.6, 7.8, 7.0, 0.8, 1.0),
)
_ULNA_FOOT: Shape = ((-9, -0.5), (-2, 0.4), (3, 0.2), (5.0, 3.4), (7.0, 4.6), (9, 3.0))
_RAY: Table = (
    (0, 0.82, 0.82, 0.9, 0.08, 1.0),
    (0.06, 0.86, 0.86, 0.92, 0.1, 0.9),
    (0.16, 0.74, 0.74, 0.78, 0.21, 0.45),
    (0.35, 0.57, 0.57, 0.58, 0.31, 0.05),
    (0.55, 0.55, 0.55, 0.56, 0.32, 0.05),
    (0.74, 0.62, 0.62, 0.64, 0.22, 0.35),
    (0.87, 0.84, 0.84, 0.86, 0.12, 0.9),
    (0.94, 0.88, 0.88, 0.92, 0.10, 1.0),
    (1.0, 0.84, 0.84, 0.90, 0.10, 1.0),
)
_TUFT: Table = (
    (0, 1.0, 1.0, 0.8, 0.10, 0.9),
    (0.1, 0.9, 0.9, 0.75, 0.13, 0.7),
    (0.35, 0.5, 0.5, 0.5, 0.26, 0.2),
    (0.65, 0.42, 0.42, 0.42, 0.22, 0.3),
    (0.85, 0.62, 0.62, 0.40, 0.12, 0.7),
    (1.0, 0.52, 0.52, 0.32, 0.10, 0.8),
)
# Outlines of the carpals: x and up from the middle of the radius' end.
_CARPALS: dict[str, Shape] = {
    "scaphoid": (
        (-3, 5.0),
        (-2, 12),
        (-6, 16.5),
        (-10.5, 21),
        (-15.5, 22.5),
        (-18.5, 19),
        (-17, 13.5),
        (-12, 8.0),
        (-7, 5),
    ),
    "lunate": (
        (-1.6, 5),
        (-0.6, 11.5),
        (3, 13.4),
        (8, 13),
        (10.6, 10.5),
        (11, 5.5),
        (7.5, 2.5),
        (2, 2.5),
    ),
    "triquetrum": (
        (12.2, 6.5),
        (11.8, 12),
        (15.0, 16.6),
        (19.6, 19.2),
        (22.5, 15.5),
        (20, 9.5),
        (16, 6),
    ),
    "pisiform": ((13, 13), (15, 17), (18.5, 18), (21.8, 15), (21, 11), (17, 8.8), (14, 9.5)),
    "capitate": (
        (-5.2, 18),
        (-2, 14.4),
        (3, 14.8),
        (5.6, 18),
        (6.4, 26),
        (5.8, 34.4),
        (-1.5, 35.4),
        (-6.6, 33.5),
        (-6.4, 26),
        (-6, 22),
    ),
    "hamate": (
        (6.6, 15),
        (12.5, 15.6),
        (19.5, 21),
        (20.2, 27),
        (17.5, 32.6),
        (12, 33.8),
        (7, 34.2),
        (7.4, 25),
    ),
    "trapezoid": (
        (-7.4, 23),
        (-7.8, 29),
        (-8, 33),
        (-13.2, 33.8),
        (-15.6, 29.5),
        (-13.4, 24),
        (-10, 22),
    ),
    "trapezium": (
        (-16, 24.4),
        (-15.2, 30.5),
        (-18, 33.5),
        (-23.5, 31.8),
        (-26.5, 27.5),
        (-22.5, 23.5),
    ),
}
# Rays: digit, base x and y up, heading, lengths of metacarpal and phalanges, half width.
_RAYS = (
    (1, -23.2, 34.0, -0.62, (44.0, 30.0, 21.0), 7.3),
    (2, -11.6, 35.6, -0.15, (66.0, 40.0, 23.5, 17.0), 7.7),
    (3, -1.2, 37.0, -0.03, (63.0, 44.5, 27.5, 17.5), 7.6),
    (4, 8.4, 36.0, 0.09, (56.0, 41.5, 26.0, 17.5), 6.7),
    (5, 15.8, 34.8, 0.21, (52.5, 33.0, 18.5, 15.5), 6.4),
)
_GIRTHS = (1.0, 0.99, 0.86, 0.74)


def draw_arm(view: str, size: float, girth: float, rng: np.random.Generator) -> BodyPart:
    """Returns an arm; `view` is "hand", "finger", "wrist" or "forearm", `size` 1 is a grown-up."""
    cortex = rng.uniform(0.75, 1.15)
    forearm = tuple(_forearm(size, girth, cortex, rng))
    carpals = tuple(_carpals(size, rng))
    spread = rng.uniform(0.75, 1.6)
    rays = tuple(_rays(size, girth, cortex, spread, rng))
    centre, height, sites = _framed(view, size, rng)
    return BodyPart(
        name=view,
        bones=(*forearm, *carpals, *rays),
        flesh=tuple(_flesh(size, girth, rays, rng)),
        sites=sites,
        centre_mm=centre,
        height_mm=height,
    )


def _framed(
    view: str, size: float, rng: np.random.Generator
) -> tuple[tuple[float, float], float, tuple[Site, ...]]:
    jitter = rng.uniform(-4, 4, 2)
    middle, height, sites = _VIEWS[view]
    placed = tuple(
        Site(bone=name, low_mm=low * size, high_mm=high * size) for name, low, high in sites
    )
    centre = (middle[0] * size + jitter[0], middle[1] * size + jitter[1])
    return (float(centre[0]), float(centre[1])), height * size, placed


_METACARPALS = (("metacarpal 5", 14, 44), ("metacarpal 4", 14, 46), ("metacarpal 3", 15, 50))
_PHALANGES = (
    ("phalanx 2.1", 7, 34),
    ("phalanx 3.1", 7, 38),
    ("phalanx 4.1", 7, 35),
    ("phalanx 5.1", 6, 27),
    ("phalanx 3.2", 5, 22),
    ("phalanx 2.2", 5, 18),
)
_VIEWS: dict[str, tuple[tuple[float, float], float, tuple[tuple[str, float, float], ...]]] = {
    "hand": ((-3.0, -86.0), 226.0, (*_METACARPALS, *_PHALANGES)),
    "finger": ((-4.0, -150.0), 128.0, _PHALANGES),
    "wrist": (
        (1.0, -12.0),
        150.0,
        (("radius", 207, 226), ("radius", 185, 224), ("ulna", 195, 222)),
    ),
    "forearm": ((2.0, 95.0), 268.0, (("radius", 70, 200), ("ulna", 70, 205), ("radius", 150, 222))),
}


def _forearm(
    size: float, girth: float, cortex: float, rng: np.random.Generator
) -> Iterator[Placed]:
    radius = Tube(
        name="radius",
        profile=_thick(_RADIUS, cortex),
        foot=_RADIUS_FOOT,
        round_mm=(4, 2.6),
        bow_mm=-rng.uniform(3, 7),
        waviness=0.018,
        plate_mm=0.9,
        seed=int(rng.integers(2**31)),
    ).grown(size, girth)
    ulna = Tube(
        name="ulna",
        profile=_thick(_ULNA, cortex),
        foot=_ULNA_FOOT,
        round_mm=(4, 3.0),
        bow_mm=rng.uniform(1, 3),
        waviness=0.018,
        seed=int(rng.integers(2**31)),
    ).grown(size, girth)
    variance = rng.uniform(-2.0, 1.5)
    yield Placed(body=radius, origin_mm=(-4.0 * size, 240.0 * size), heading=rng.uniform(0, 0.02))
    start = (19.5 * size * (0.5 + 0.5 * girth), (235.0 + variance) * size)
    yield Placed(body=ulna, origin_mm=start, heading=rng.uniform(-0.015, 0.015))


def _carpals(size: float, rng: np.random.Generator) -> Iterator[Placed]:
    for name, outline in _CARPALS.items():
        body, (x, up) = Lump.outlined(
            name,
            tuple((x * size, up * size) for x, up in outline),
            depth_mm=float(rng.uniform(5.0, 8.0) * (0.5 if name == "pisiform" else 1) * size),
            rim_mm=0.7 * size,
            seed=int(rng.integers(2**31)),
        )
        place = (x + rng.normal(0, 0.25) * size, -up + (1.0 + rng.normal(0, 0.25)) * size)
        yield Placed(
            body=body, origin_mm=place, heading=float(rng.normal(0, 0.03)), follows="radius"
        )


def _rays(
    size: float, girth: float, cortex: float, spread: float, rng: np.random.Generator
) -> Iterator[Placed]:
    for digit, x, up, heading, lengths, half in _RAYS:
        turned = heading * (1.0 if digit == 1 else spread) + rng.normal(0, 0.015)
        at = np.array([x, -up])
        parent = "radius"
        for order, length in enumerate(lengths):
            last = order == len(lengths) - 1
            name = f"metacarpal {digit}" if order == 0 else f"phalanx {digit}.{order}"
            width = half * _GIRTHS[order + (digit == 1 and order > 0)] * girth
            bone = _ray_bone(name, length, width * (0.86 if last else 1.0), cortex, last, rng)
            yield Placed(
                body=bone.grown(size),
                origin_mm=(float(at[0] * size), float(at[1] * size)),
                heading=float(turned),
                follows=parent,
            )
            gap = 1.2 if order == 0 else 0.7
            at = at + (length + gap) * np.array([np.sin(turned), -np.cos(turned)])
            turned += rng.normal(0, 0.022) - 0.25 * turned * (order > 0)
            parent = name


def _ray_bone(
    name: str, length: float, half: float, cortex: float, last: bool, rng: np.random.Generator
) -> Tube:
    table = _TUFT if last else _RAY
    rows = tuple(
        (
            s * length,
            left * half * rng.uniform(0.97, 1.03),
            right * half * rng.uniform(0.97, 1.03),
            depth * half * 0.92,
            rim * half * cortex,
            spongy,
        )
        for s, left, right, depth, rim, spongy in table
    )
    dip = 0.09 * half
    base: Shape = (
        (-half, 0.6 * dip),
        (-half / 2, -dip),
        (0, 0.2 * dip),
        (half / 2, -dip),
        (half, 0.5 * dip),
    )
    condyles: Shape = ((-half, 0), (-0.45 * half, dip), (0, -dip), (0.45 * half, dip), (half, 0))
    round_head: Shape = ((-half, 0.0), (0.0, 0.6), (half, 0.0))
    foot = round_head if last or name.startswith("metacarpal") else condyles
    return Tube(
        name=name,
        profile=rows,
        head=base,
        foot=foot,
        round_mm=(0.4 * half, (0.55 if foot is round_head else 0.4) * half),
        bow_mm=rng.normal(0, 0.3),
        waviness=0.02,
        plate_mm=0.55,
        seed=int(rng.integers(2**31)),
    )


def _flesh(
    size: float, girth: float, rays: tuple[Placed, ...], rng: np.random.Generator
) -> Iterator[Placed]:
    plump = rng.uniform(0.9, 1.15)
    arm = _tube("arm", _ARM, plump, 9.0)
    yield Placed(body=arm.grown(size, girth), origin_mm=(3.5 * size, 270.0 * size))
    for digit in range(1, 6):
        chain = [
            p for p in rays if p.body.name.startswith((f"metacarpal {digit}", f"phalanx {digit}"))
        ]
        yield from _finger(digit, chain, size, girth * plump)


def _finger(digit: int, chain: list[Placed], size: float, girth: float) -> Iterator[Placed]:
    """Yields a tube for each segment; they overlap at the joints, where the thickest one counts."""
    half = 12.0 if digit == 1 else 9.6 if digit < 5 else 8.4
    for order, placed in enumerate(chain):
        length = placed.body.length_mm / size
        last = order == len(chain) - 1
        start, end = (-7.0, length + 7.0) if order else (-4.0, length + 5.0)
        thick = half * (1.25 if order == 0 else 1.0 - 0.08 * (order - 1))
        taper = 0.8 if last else 0.95
        over = end - start + (-2.6 if last else 0)
        rows: Table = (
            (0, thick, thick, thick * 0.9, 1.6, 0),
            (over * 0.5, thick * 0.98, thick * 0.98, thick * 0.88, 1.6, 0),
            (over, thick * taper, thick * taper, thick * 0.8 * taper, 1.6, 0),
        )
        closing = thick * (0.95 if last else 1.1)
        body = Tube(
            name=f"finger {digit}.{order}",
            profile=rows,
            round_mm=(thick * 1.1, closing),
            blocky=2.1,
            plate_mm=1.6,
        )
        back = np.array([np.sin(placed.heading), -np.cos(placed.heading)]) * start * size
        origin = (placed.origin_mm[0] + back[0], placed.origin_mm[1] + back[1])
        yield Placed(
            body=body.grown(size, girth),
            origin_mm=origin,
            heading=placed.heading,
            follows=placed.follows if order else "",
        )


# From the elbow to the knuckles; the wrist is at 270.
_ARM: Table = (
    (0, 46, 42, 40, 5.0, 0),
    (60, 44, 40, 38, 4.6, 0),
    (140, 36, 33, 30, 4.0, 0),
    (210, 29, 27, 22, 3.4, 0),
    (252, 28, 26.5, 19.5, 3.0, 0),
    (276, 29, 27.5, 19, 2.8, 0),
    (294, 32, 29.5, 19, 2.6, 0),
    (318, 38.5, 33.5, 18, 2.4, 0),
    (346, 40, 37.5, 16, 2.4, 0),
    (371, 37.5, 40, 13.5, 2.2, 0),
    (386, 33, 38, 9, 2.0, 0),
)


def _tube(name: str, rows: Table, plump: float, close: float) -> Tube:
    grown = tuple(
        (s, left * plump, right * plump, d * plump, rim * plump, x)
        for s, left, right, d, rim, x in rows
    )
    return Tube(name=name, profile=grown, round_mm=(close, close * 2.0), blocky=2.2, plate_mm=2.0)


def _thick(rows: Table, cortex: float) -> Table:
    return tuple((s, left, right, depth, rim * cortex, x) for s, left, right, depth, rim, x in rows)
