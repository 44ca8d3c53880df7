"""Masks as COCO run-length codes: column by column, alternating runs of 0 and 1."""

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
        """The code as COCO JSON writes it."""
        return {"size": [self.height, self.width], "counts": self.counts.decode("ascii")}


def encode(mask: Mask) -> Rle:
    """(H, W) bool → code."""
    coder = _coder()
    height, width = mask.shape
    code = coder.encode(np.asfortranarray(mask, dtype=np.uint8))
    return Rle(height=height, width=width, counts=_as_bytes(code["counts"]))


def from_crop(crop: Mask, left: int, top: int, height: int, width: int) -> Rle:
    """(h, w) bool that lies at `left`, `top` inside an image of `height` × `width` → code.

    Costs what the crop costs, never the image.
    """
    rows, columns = crop.shape
    return from_cells(crop, top + np.arange(rows + 1), left + np.arange(columns + 1), height, width)


def from_cells(cells: Mask, rows: Edges, columns: Edges, height: int, width: int) -> Rle:
    """(h, w) bool on a grid coarser than the pixels → code.

    Cell (i, j) covers the pixels from `rows[i]` to `rows[i + 1]` and `columns[j]` to
    `columns[j + 1]`, ends exclusive; edges rise and lie inside the image. Costs what the
    cells and the runs cost, never the image.
    """
    if not (rows[0] >= 0 and rows[-1] <= height and columns[0] >= 0 and columns[-1] <= width):
        raise ValueError(f"cells: expected inside {(height, width)}, got {rows}, {columns}")
    steps = np.diff(np.pad(cells.T.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    column, row = np.nonzero(steps)
    # Every pixel column of a cell column has the same runs.
    flips_in = np.bincount(column, minlength=cells.shape[1])
    start_of = np.cumsum(flips_in) - flips_in
    cell_of = np.repeat(np.arange(cells.shape[1]), np.diff(columns))
    repeats = flips_in[cell_of]
    within = np.arange(repeats.sum()) - np.repeat(np.cumsum(repeats) - repeats, repeats)
    picked = np.repeat(start_of[cell_of], repeats) + within
    pixel_column = np.repeat(np.arange(columns[0], columns[-1]), repeats)
    return _from_flips(pixel_column * height + rows[row[picked]], height, width)


def decode(rle: Rle) -> Mask:
    """Code → (H, W) bool."""
    code = {"size": [rle.height, rle.width], "counts": rle.counts}
    return np.asarray(_coder().decode(code)).astype(np.bool_)


def from_polygons(polygons: Sequence[Polygon], height: int, width: int) -> Rle:
    """Union of polygons, each (P, 2) x and y in pixels, P ≥ 3 → code."""
    coder = _coder()
    rings = [np.asarray(p, dtype=np.float64).reshape(-1).tolist() for p in polygons]
    code = coder.merge(coder.frPyObjects(rings, height, width))
    return Rle(height=height, width=width, counts=_as_bytes(code["counts"]))


def from_counts(counts: Sequence[int], height: int, width: int) -> Rle:
    """COCO's uncompressed run lengths → code."""
    code = _coder().frPyObjects({"size": [height, width], "counts": list(counts)}, height, width)
    return Rle(height=height, width=width, counts=_as_bytes(code["counts"]))


def pixels(rle: Rle) -> int:
    """How many pixels the mask covers."""
    return int(_coder().area({"size": [rle.height, rle.width], "counts": rle.counts}))


def iou(found: Sequence[Rle], ground_truths: Sequence[Rle], crowd: Mask) -> npt.NDArray[np.float64]:
    """N against M → (N, M) intersection over union in [0, 1]; against a `crowd` (M,) over `found`.

    All of images of one size.
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
    """The mask where it lies in a box of whole pixels, ends exclusive; costs what its runs cost."""
    column, first, last = _stripes(rle)
    first, last = np.maximum(first, top), np.minimum(last, bottom)
    inside = (column >= left) & (column < right) & (first < last)
    return _from_stripes(column[inside], first[inside], last[inside], rle.height, rle.width)


def mirror(rle: Rle) -> Rle:
    """The mask with left and right exchanged; costs what its runs cost."""
    column, first, last = _stripes(rle)
    order = np.argsort(-column, kind="stable")
    mirrored = rle.width - 1 - column[order]
    return _from_stripes(mirrored, first[order], last[order], rle.height, rle.width)


_Stripes = tuple[Edges, Edges, Edges]


def _stripes(rle: Rle) -> _Stripes:
    """Of a mask's runs, cut where a column ends: (S,) column, first row and the row after the last.

    In the order of the pixels, column by column.
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
    """What `_stripes` tells, in the order of the pixels, as a code."""
    flips = (np.stack([first, last], axis=1) + column[:, None] * height).ravel()
    return _from_flips(flips, height, width)


def _from_flips(flips: Edges, height: int, width: int) -> Rle:
    """From the rising places where 0 and 1 change over, the first of them to 1."""
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
    """Run lengths (N,) below 2³² as COCO's string: base 32, low digits first, signed differences.

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
