"""How an RSNA HDF5 file writes its boxes: two conventions are about, and the values tell which."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fracture_core.errors import DatasetError

_Floats = npt.NDArray[np.float64]
_Bools = npt.NDArray[np.bool_]
_XYWH = "x, y, width, height with unused rows of −1"
_XYXY = "x1, y1, x2, y2 with unused rows of 0"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BoxRows:
    """`xyxy` (N, M, 4) corners · `used` (N, M) rows that hold a box · `convention` in words."""

    xyxy: _Floats
    used: _Bools
    convention: str


def read_box_rows(bboxes: _Floats, height: int, width: int, path: Path) -> BoxRows:
    """(N, M, 4) rows as written → corners; raises DatasetError where they fit no convention.

    Unused rows name the convention and the boxes have to agree: a file is refused where they are
    better read the other way, or where half of them make no sense. Without unused rows the boxes
    alone decide, and have to fit one convention only.
    """
    is_minus, is_zero = (bboxes == -1).all(axis=2), (bboxes == 0).all(axis=2)
    used = ~(is_minus | is_zero)
    corners = {_XYWH: _with_far_corner(bboxes), _XYXY: bboxes}
    misfits = {
        words: int((~_fits(xyxy[used], height, width)).sum()) for words, xyxy in corners.items()
    }
    convention = _choose(bool(is_minus.any()), bool(is_zero.any()), int(used.sum()), misfits)
    if convention is None:
        padding = " and ".join(
            word for word, there in (("−1", is_minus.any()), ("0", is_zero.any())) if there
        )
        raise DatasetError(
            path,
            expected=f"'bboxes' as {_XYWH}, or as {_XYXY}",
            found=(
                f"{used.sum():,} boxes, unused rows of {padding or 'neither'}, "
                f"{misfits[_XYWH]:,} boxes that make no sense the first way "
                f"and {misfits[_XYXY]:,} the second"
            ),
        )
    return BoxRows(xyxy=corners[convention], used=used, convention=convention)


def _choose(minus: bool, zero: bool, boxes: int, misfits: dict[str, int]) -> str | None:
    if minus and zero:
        return None
    if minus or zero:
        named, other = (_XYWH, _XYXY) if minus else (_XYXY, _XYWH)
        is_sound = misfits[named] <= misfits[other] and 2 * misfits[named] <= boxes
        return named if is_sound else None
    fitting = [words for words, count in misfits.items() if count == 0]
    return fitting[0] if len(fitting) == 1 else None


def _with_far_corner(xywh: _Floats) -> _Floats:
    return np.concatenate([xywh[..., :2], xywh[..., :2] + xywh[..., 2:]], axis=2)


def _fits(xyxy: _Floats, height: int, width: int) -> _Bools:
    """(K,) whether a box has an area and lies in the picture, a pixel of rounding allowed."""
    starts, ends = xyxy[:, :2], xyxy[:, 2:]
    limits = np.array([width, height]) + 1.0
    fits: _Bools = np.all((starts < ends) & (starts >= -1.0) & (ends <= limits), axis=1)
    return fits
