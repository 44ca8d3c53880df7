"""The outline of a mask as one polygon along the edges of its pixels."""

import numpy as np
import numpy.typing as npt

from fracture_core import importing

Points = npt.NDArray[np.float64]
_Mask = npt.NDArray[np.bool_]
_STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))


def ring_of(mask: _Mask) -> Points:
    """(H, W) mask that is not empty → (P, 2) corners, x and y in pixels.

    Holes are left out; parts that lie apart are joined by bridges without width, as the format
    allows one polygon a finding.
    """
    parts = _rings(mask)
    whole = parts.pop(0)
    while parts:
        gaps = [np.hypot(*(whole[:, None] - part[None]).T).T for part in parts]
        near = int(np.argmin([gap.min() for gap in gaps]))
        here, there = np.unravel_index(int(gaps[near].argmin()), gaps[near].shape)
        part = np.roll(parts.pop(near), -int(there), axis=0)
        bridge = np.concatenate([part, part[:1], whole[int(here) :][:1]])
        whole = np.concatenate([whole[: int(here) + 1], bridge, whole[int(here) + 1 :]])
    return whole


def _rings(mask: _Mask) -> list[Points]:
    """The outer edges of all parts, the one with most corners first."""
    with importing.LOCK:
        from scipy import ndimage

    named, count = ndimage.label(mask)
    filled = (ndimage.binary_fill_holes(named == part) for part in range(1, count + 1))
    return sorted((_walk(part) for part in filled), key=len, reverse=True)


def _walk(part: _Mask) -> Points:
    """Round a part without holes, the inside on the right hand, corners only."""
    inside = np.pad(part, 1)
    row, column = np.argwhere(inside)[0]
    start = (int(column), int(row))
    at, heading = start, 0
    corners: list[tuple[int, int]] = []
    while True:
        for turn in (1, 0, 3):
            towards = (heading + turn) % 4
            if _is_edge(inside, at, towards):
                break
        if towards != heading or not corners:
            corners.append(at)
        heading = towards
        at = (at[0] + _STEPS[heading][0], at[1] + _STEPS[heading][1])
        if at == start:
            return np.array(corners, dtype=np.float64) - 1


def _is_edge(inside: _Mask, at: tuple[int, int], heading: int) -> bool:
    """Whether the pixel edge from a corner has the part on its right and none on its left."""
    x, y = at
    right, left = {
        0: ((y, x), (y - 1, x)),
        1: ((y, x - 1), (y, x)),
        2: ((y - 1, x - 1), (y, x - 1)),
        3: ((y - 1, x), (y - 1, x - 1)),
    }[heading]
    return bool(inside[right]) and not bool(inside[left])
