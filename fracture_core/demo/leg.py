"""Lower leg and ankle from the front (antero-posterior), the foot down."""

from collections.abc import Iterator

import numpy as np

from fracture_core.demo.bones import BodyPart, Lump, Placed, Shape, Site, Table, Tube

# s from the knee down, left, right, half depth, cortex, cancellous share; the fibula on the right.
_TIBIA: Table = (
    (0, 38, 38, 24, 1.0, 1.0),
    (12, 37, 37, 24, 1.1, 1.0),
    (40, 22, 22, 20, 1.8, 0.8),
    (80, 14.5, 15, 16, 3.6, 0.3),
    (150, 12.2, 12.4, 13.5, 5.4, 0.05),
    (230, 11.0, 11.4, 12.0, 5.4, 0.05),
    (290, 11.0, 11.6, 12.0, 3.8, 0.12),
    (320, 13.6, 14.2, 13.5, 2.2, 0.5),
    (340, 20.0, 18.6, 16.0, 1.2, 0.95),
    (352, 24.6, 20.8, 17.5, 0.9, 1.0),
    (360, 26.0, 20.6, 17.5, 0.9, 1.0),
)
_TIBIA_FOOT: Shape = (
    (-27, 10.0),
    (-22, 12.5),
    (-17, 10.0),
    (-14.5, 2.0),
    (-12, -0.4),
    (2, -1.6),
    (20, 0.4),
)
_FIBULA: Table = (
    (0, 9, 9, 9, 1.2, 0.9),
    (20, 6, 6, 6, 1.8, 0.4),
    (60, 5.6, 5.8, 5.5, 2.5, 0.1),
    (250, 5.8, 6.0, 5.5, 2.6, 0.05),
    (300, 6.2, 6.4, 5.8, 2.1, 0.2),
    (325, 7.6, 7.6, 7.2, 1.4, 0.7),
    (345, 8.4, 9.2, 8.6, 1.0, 0.95),
    (358, 7.4, 9.4, 8.6, 0.9, 1.0),
    (368, 5.6, 7.6, 7.0, 0.9, 1.0),
    (372, 5.0, 7.0, 6.4, 0.9, 1.0),
)
_VIEWS: dict[str, tuple[tuple[float, float], float, tuple[tuple[str, float, float], ...]]] = {
    "ankle": (
        (3.0, 318.0),
        178.0,
        (("fibula", 318, 352), ("tibia", 300, 335), ("fibula", 300, 350)),
    ),
    "leg": ((5.0, 238.0), 330.0, (("tibia", 130, 310), ("fibula", 120, 320), ("tibia", 180, 320))),
}


def draw_leg(view: str, size: float, girth: float, rng: np.random.Generator) -> BodyPart:
    """Returns a lower leg; `view` is "ankle" or "leg", `size` 1 is a grown-up."""
    cortex = rng.uniform(0.75, 1.12)
    middle, height, sites = _VIEWS[view]
    jitter = rng.uniform(-6, 6, 2)
    return BodyPart(
        name=view,
        bones=(*_shanks(size, girth, cortex, rng), *_foot(size, rng)),
        flesh=tuple(_flesh(size, girth, rng)),
        sites=tuple(Site(bone=n, low_mm=a * size, high_mm=b * size) for n, a, b in sites),
        centre_mm=(float(middle[0] * size + jitter[0]), float(middle[1] * size + jitter[1])),
        height_mm=height * size,
    )


def _shanks(size: float, girth: float, cortex: float, rng: np.random.Generator) -> Iterator[Placed]:
    tibia = Tube(
        name="tibia",
        profile=_thick(_TIBIA, cortex),
        foot=_TIBIA_FOOT,
        round_mm=(6, 2.4),
        bow_mm=rng.uniform(-3, 2),
        waviness=0.014,
        plate_mm=1.1,
        seed=int(rng.integers(2**31)),
    ).grown(size, girth)
    fibula = Tube(
        name="fibula",
        profile=_thick(_FIBULA, cortex),
        foot=((-8, 0.0), (3, 3.0), (9, 0.0)),
        round_mm=(5, 6.0),
        bow_mm=rng.uniform(-3, 3),
        waviness=0.02,
        seed=int(rng.integers(2**31)),
    ).grown(size, girth)
    # Heading π lets s run down; the flip keeps left on the left.
    yield Placed(body=tibia, origin_mm=(0.0, 0.0), heading=np.pi, flipped=True)
    start = (35.0 * size * (0.4 + 0.6 * girth), 8.0 * size)
    yield Placed(body=fibula, origin_mm=start, heading=np.pi + 0.019, flipped=True)


def _foot(size: float, rng: np.random.Generator) -> Iterator[Placed]:
    """Yields the talus in the mortise, and heel and midfoot behind one another below it."""
    for name, (depth, rim, outline) in _TARSALS.items():
        body, (x, down) = Lump.outlined(
            name,
            tuple((x * size, down * size) for x, down in outline),
            depth_mm=depth * size,
            rim_mm=rim * size,
            seed=int(rng.integers(2**31)),
        )
        yield Placed(body=body, origin_mm=(x, down), heading=np.pi, flipped=True, follows="tibia")
    for k, (x, half) in enumerate(
        ((-17.0, 8.5), (-5.0, 7.0), (5.0, 6.5), (15.0, 6.8), (25.0, 7.5))
    ):
        rows: Table = (
            (0, half, half, 9, 1.2, 0.9),
            (14, half * 0.7, half * 0.7, 9, 2.2, 0.4),
            (60, half * 0.65, half * 0.65, 9, 2.4, 0.3),
        )
        bone = Tube(name=f"metatarsal {k + 1}", profile=rows, seed=int(rng.integers(2**31)))
        where = (x * size, 418.0 * size)
        yield Placed(
            body=bone.grown(size), origin_mm=where, heading=np.pi, flipped=True, follows="tibia"
        )


# Half depth, rim and outline (x, down) of the tarsals; below the talus they hide one another.
_TARSALS: dict[str, tuple[float, float, Shape]] = {
    "talus": (
        15.0,
        0.8,
        (
            (-13, 366.0),
            (-4, 364.9),
            (6, 364.7),
            (15.5, 365.6),
            (18.6, 369),
            (19.6, 376),
            (24, 384),
            (21, 391),
            (8, 392),
            (-6, 392),
            (-16, 390),
            (-18.6, 382),
            (-14.8, 373),
        ),
    ),
    "talar head": (
        9.0,
        0.5,
        ((-20, 386), (-12, 381), (0, 381), (7, 388), (6, 398), (-3, 404), (-14, 403), (-21, 396)),
    ),
    "calcaneus": (
        20.0,
        0.5,
        (
            (-13, 388),
            (4, 386),
            (20, 388),
            (27, 399),
            (27, 418),
            (18, 432),
            (0, 435),
            (-10, 428),
            (-14, 408),
        ),
    ),
    "cuboid": (
        9.0,
        0.5,
        ((6, 402), (20, 400), (30, 406), (31, 418), (22, 426), (10, 425), (4, 414)),
    ),
}

_CALF: Table = (
    (0, 58, 62, 55, 7, 0),
    (80, 60, 66, 60, 8, 0),
    (160, 52, 56, 52, 7, 0),
    (230, 40, 44, 42, 6, 0),
    (290, 34, 38, 36, 5, 0),
    (330, 36, 40, 35, 5, 0),
    (360, 42, 42, 38, 5, 0),
    (400, 43, 44, 45, 5, 0),
    (480, 46, 48, 50, 5, 0),
)


def _flesh(size: float, girth: float, rng: np.random.Generator) -> Iterator[Placed]:
    plump = rng.uniform(0.88, 1.15)
    rows = tuple(
        (s, a * plump, b * plump, d * plump, rim * plump, x) for s, a, b, d, rim, x in _CALF
    )
    calf = Tube(name="calf", profile=rows, round_mm=(5, 30), blocky=2.15, plate_mm=4)
    where = (6.0 * size, 0.0)
    yield Placed(body=calf.grown(size, girth), origin_mm=where, heading=np.pi, flipped=True)


def _thick(rows: Table, cortex: float) -> Table:
    return tuple((s, left, right, depth, rim * cortex, x) for s, left, right, depth, rim, x in rows)
