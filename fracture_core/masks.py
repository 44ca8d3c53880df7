"""Masks as COCO run-length codes.

A code holds the lengths of alternating runs of 0 and 1, beginning with 0, in the order of the
pixels column by column. Coding from polygons, whole masks and overlaps are faster-coco-eval's;
what is done to the runs themselves is done here, at the cost of the runs and not of the image.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fracture_core import importing

Mask = npt.NDArray[np.bool_]
Polygon = npt.NDArray[np.floating]
Edges = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rle:
    """One mask of `height` × `width` pixels; `counts` is COCO's compressed string."""

    height: int
    width: int
    counts: bytes

    def as_coco(self) -> dict[str, object]:
        """Return the code as COCO JSON writes it: {"size": [height, width], "counts": str}."""
        return {"size": [self.height, self.width], "counts": self.counts.decode("ascii")}


def encode(mask: Mask) -> Rle:
    """Encode a whole mask, (H, W) bool."""
    coder = _coder()
    height, width = mask.shape
    code = coder.encode(np.asfortranarray(mask, dtype=np.uint8))
    return Rle(height=height, width=width, counts=_as_bytes(code["counts"]))


def from_crop(crop: Mask, left: int, top: int, height: int, width: int) -> Rle:
    """Encode an (h, w) bool crop whose corner lies at `left`, `top` of a `height` × `width` image.

    It costs what the crop costs, not what the image would. Raises ValueError for a crop that does
    not lie inside.

    Example:
        >>> from_crop(np.array([[True]]), left=0, top=1, height=4, width=1)  # runs of 1, 1 and 2
        Rle(height=4, width=1, counts=b'112')
    """
    rows, columns = crop.shape
    return from_cells(crop, top + np.arange(rows + 1), left + np.arange(columns + 1), height, width)


def from_cells(cells: Mask, rows: Edges, columns: Edges, height: int, width: int) -> Rle:
    """Encode (h, w) bool cells of a grid that is coarser than the pixels.

    Cell (i, j) covers the pixels from `rows[i]` to `rows[i + 1]` and `columns[j]` to
    `columns[j + 1]`, ends exclusive; `rows` (h + 1,) and `columns` (w + 1,) rise and lie inside the
    image, or ValueError is raised. It costs what cells and runs cost, not what the image would.
    """
    if not (rows[0] >= 0 and rows[-1] <= height and columns[0] >= 0 and columns[-1] <= width):
        raise ValueError(f"cells: expected inside {(height, width)}, got {rows}, {columns}")
    steps = np.diff(np.pad(cells.T.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    column, row = np.nonzero(steps)
    # All pixel columns of one cell column have the same runs, so the runs are found once a cell
    # column and then repeated.
    flips_in = np.bincount(column, minlength=cells.shape[1])
    start_of = np.cumsum(flips_in) - flips_in
    cell_of = np.repeat(np.arange(cells.shape[1]), np.diff(columns))
    repeats = flips_in[cell_of]
    within = np.arange(repeats.sum()) - np.repeat(np.cumsum(repeats) - repeats, repeats)
    picked = np.repeat(start_of[cell_of], repeats) + within
    pixel_column = np.repeat(np.arange(columns[0], columns[-1]), repeats)
    return _from_flips(pixel_column * height + rows[row[picked]], height, width)


def decode(rle: Rle) -> Mask:
    """Decode a code to its mask, (H, W) bool."""
    code = {"size": [rle.height, rle.width], "counts": rle.counts}
    return np.asarray(_coder().decode(code)).astype(np.bool_)


def from_polygons(polygons: Sequence[Polygon], height: int, width: int) -> Rle:
    """Encode the union of polygons, each (P, 2) x and y in pixels with P ≥ 3."""
    coder = _coder()
    rings = [np.asarray(p, dtype=np.float64).reshape(-1).tolist() for p in polygons]
    code = coder.merge(coder.frPyObjects(rings, height, width))
    return Rle(height=height, width=width, counts=_as_bytes(code["counts"]))


def from_counts(counts: Sequence[int], height: int, width: int) -> Rle:
    """Compress COCO's uncompressed run lengths, a list of counts that begins with a run of 0."""
    code = _coder().frPyObjects({"size": [height, width], "counts": list(counts)}, height, width)
    return Rle(height=height, width=width, counts=_as_bytes(code["counts"]))


def pixels(rle: Rle) -> int:
    """Return how many pixels the mask covers."""
    return int(_coder().area({"size": [rle.height, rle.width], "counts": rle.counts}))


def iou(found: Sequence[Rle], ground_truths: Sequence[Rle], crowd: Mask) -> npt.NDArray[np.float64]:
    """Return the (N, M) float64 intersection over union, in [0, 1], of masks of one image size.

    Against a ground truth that `crowd` (M,) marks as a group the intersection is divided by the
    area of the mask in `found`, as in COCO.
    """
    if not (found and ground_truths):
        return np.zeros((len(found), len(ground_truths)))
    codes = [
        {"size": [one.height, one.width], "counts": one.counts} for one in (*found, *ground_truths)
    ]
    crowds = crowd.astype(np.uint8).tolist()
    shares = _coder().iou(codes[: len(found)], codes[len(found) :], crowds)
    return np.asarray(shares, dtype=np.float64)


def crop(rle: Rle, left: int, top: int, right: int, bottom: int) -> Rle:
    """Return the mask with nothing left outside of a box of whole pixels, ends exclusive."""
    column, first, last = _stripes(rle)
    first, last = np.maximum(first, top), np.minimum(last, bottom)
    inside = (column >= left) & (column < right) & (first < last)
    return _from_stripes(column[inside], first[inside], last[inside], rle.height, rle.width)


def mirror(rle: Rle) -> Rle:
    """Return the mask with left and right exchanged.

    Example:
        >>> left = from_crop(np.array([[True], [True]]), left=0, top=0, height=2, width=2)
        >>> left.counts, mirror(left).counts  # runs of 0, 2 and 2, then of 2 and 2
        (b'022', b'22')
    """
    column, first, last = _stripes(rle)
    order = np.argsort(-column, kind="stable")
    mirrored = rle.width - 1 - column[order]
    return _from_stripes(mirrored, first[order], last[order], rle.height, rle.width)


_Stripes = tuple[Edges, Edges, Edges]


def _stripes(rle: Rle) -> _Stripes:
    """The runs of 1, cut where a column ends: (S,) columns, first rows and the rows after the last.

    They come in the order of the pixels, column by column.
    """
    edges = np.cumsum(_unpacked(rle.counts))
    starts, stops = edges[:-1:2], edges[1::2]
    whole = starts < stops
    starts, stops = starts[whole], stops[whole]
    begin, end = starts // rle.height, (stops - 1) // rle.height
    pieces = end - begin + 1
    run = np.repeat(np.arange(len(starts)), pieces)
    column = begin[run] + np.arange(len(run)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    first = np.maximum(starts[run] - column * rle.height, 0)
    last = np.minimum(stops[run] - column * rle.height, rle.height)
    return column, first, last


def _from_stripes(column: Edges, first: Edges, last: Edges, height: int, width: int) -> Rle:
    """The inverse of `_stripes`."""
    flips = (np.stack([first, last], axis=1) + column[:, None] * height).ravel()
    return _from_flips(flips, height, width)


def _from_flips(flips: Edges, height: int, width: int) -> Rle:
    """A code from the rising pixel numbers where 0 and 1 change over, the first of them to 1."""
    # A run that ends a column and one that begins the next are one run.
    seam = np.flatnonzero(flips[1:] == flips[:-1])
    flips = np.delete(flips, np.concatenate([seam, seam + 1]))
    ends = flips if len(flips) and flips[-1] == height * width else [*flips, height * width]
    counts = np.diff(np.concatenate([[0], ends])).astype(np.int64)
    return Rle(height=height, width=width, counts=_packed(counts))


def _unpacked(counts: bytes) -> npt.NDArray[np.int64]:
    """The run lengths that `_packed` wrote."""
    digits = np.frombuffer(counts, dtype=np.uint8).astype(np.int64) - 48
    last = np.flatnonzero((digits & 32) == 0)
    begins = np.concatenate([[0], last[:-1] + 1])
    place = np.arange(len(digits)) - np.repeat(begins, last - begins + 1)
    runs = np.add.reduceat((digits & 31) << (5 * place), begins)
    # The highest bit of the last digit is the sign.
    runs -= np.where(digits[last] & 16, np.int64(1) << (5 * (place[last] + 1)), 0)
    runs[1::2], runs[2::2] = np.cumsum(runs[1::2]), np.cumsum(runs[2::2])
    return runs


def _packed(counts: npt.NDArray[np.int64]) -> bytes:
    """Run lengths (N,) below 2³² as COCO's string: base 32, low digits first; from the fourth on
    the signed difference to the run two before.

    The same as the coder's, which is not called here because it brings OpenCV.
    """
    steps = counts.copy()
    steps[3:] -= counts[1:-2]
    place = np.arange(7)
    digits = (steps[:, None] >> (5 * place)) & 31
    rest = steps[:, None] >> (5 * (place + 1))
    last = np.argmax(rest == np.where(digits & 16, -1, 0), axis=1)[:, None]
    characters = digits + 48 + 32 * (place < last)
    packed: bytes = characters[place <= last].astype(np.uint8).tobytes()
    return packed


def _as_bytes(counts: str | bytes) -> bytes:
    return counts.encode("ascii") if isinstance(counts, str) else counts


def _coder() -> Any:
    # Imported on first use: it brings OpenCV, and most images have no mask.
    return importing.load("faster_coco_eval.core.mask")
