"""A body part laid out in a plane: bones and flesh placed in mm, x right and y down."""

from dataclasses import dataclass

import numpy as np

from fracture_core.demo.bones import Body, Tube
from fracture_core.demo.geometry import Matrix, shift, turn


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Placed:
    """A body whose s axis starts at `origin_mm` and runs `heading` radians clockwise from up.

    `follows` names the bone at whose far end it hangs. `blur_mm` is for what lies far from the
    detector.
    """

    body: Body
    origin_mm: tuple[float, float]
    heading: float = 0.0
    follows: str = ""
    flipped: bool = False

    @property
    def to_plane(self) -> Matrix:
        """From (u, s) mm to (x, y) mm; heading 0 has s up and u to the right."""
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
    """Everything in one exposure. `centre_mm` and `height_mm` are what the picture shows."""

    name: str
    bones: tuple[Placed, ...]
    flesh: tuple[Placed, ...]
    sites: tuple[Site, ...]
    centre_mm: tuple[float, float]
    height_mm: float
    upright: float = 0.0

    def bone(self, name: str) -> Placed:
        return next(placed for placed in self.bones if placed.body.name == name)

    def tube(self, name: str) -> Tube:
        body = self.bone(name).body
        if not isinstance(body, Tube):
            raise TypeError(f"{name}: expected a tube, got a {type(body).__name__}")
        return body
