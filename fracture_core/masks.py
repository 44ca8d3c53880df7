"""Masks as COCO run-length codes: column by column, alternating runs of 0 and 1."""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

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
    """(h, w) bool that lies at `left`, `top` inside a picture of `height` × `width` → code.

    Costs what the crop costs, never the picture.
    """
    rows, columns = crop.shape
    return from_cells(crop, top + np.arange(rows + 1), left + np.arange(columns + 1), height, width)


def from_cells(cells: Mask, rows: Edges, columns: Edges, height: int, width: int) -> Rle:
    """(h, w) bool on a grid coarser than the pixels → code.

    Cell (i, j) covers the pixels from `rows[i]` to `rows[i + 1]` and `columns[j]` to
    `columns[j + 1]`, ends exclusive; edges rise and lie inside the picture. Costs what the
    cells and the runs cost, never the picture.
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
    flips = pixel_column * height + rows[row[picked]]
    # A run that ends a column and one that begins the next are one run.
    seam = np.flatnonzero(flips[1:] == flips[:-1])
    flips = np.delete(flips, np.concatenate([seam, seam + 1]))
    ends = flips if len(flips) and flips[-1] == height * width else [*flips, height * width]
    counts = np.diff(np.concatenate([[0], ends])).astype(np.int64)
    return Rle(height=height, width=width, counts=_packed(counts))


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


def iou(found: Sequence[Rle], truths: Sequence[Rle], crowd: Mask) -> npt.NDArray[np.float64]:
    """N against M → (N, M) intersection over union in [0, 1]; against a `crowd` (M,) over `found`.

    All of pictures of one size.
    """
    if not (found and truths):
        return np.zeros((len(found), len(truths)))
    codes = [{"size": [one.height, one.width], "counts": one.counts} for one in (*found, *truths)]
    crowds = crowd.astype(np.uint8).tolist()
    shares = _coder().iou(codes[: len(found)], codes[len(found) :], crowds)
    return np.asarray(shares, dtype=np.float64)


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
    # Imported on first use: it brings OpenCV, and most pictures have no mask.
    return importlib.import_module("faster_coco_eval.core.mask")
