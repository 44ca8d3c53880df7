"""Masks of YOLO segmenters: prototypes times coefficients, cut to the box, as run-length codes.

Up to 1,000 candidates are decoded, so nothing of the size of the picture is ever made. A mask
is evaluated inside its box only, on the coarser of two grids: the pixels of the picture or those
of the network's input, finer than which the prototypes say nothing. Its runs are then written in
pixels of the picture. At equal scale this is what Ultralytics computes, pixel for pixel.
"""

import numpy as np
import numpy.typing as npt
import torch

from fracture_core import masks
from fracture_core.boxes import Float64s, Int64s
from fracture_core.models.letterbox import Letterbox

_CHUNK = 64
_EMPTY = np.empty(0, dtype=np.int64)
Logits = npt.NDArray[np.float32]


def decode_masks(
    prototypes: torch.Tensor,
    coefficients: torch.Tensor,
    xyxy: npt.NDArray[np.float32],
    box: Letterbox,
) -> tuple[masks.Rle, ...]:
    """Prototypes (M, h, w), coefficients (N, M) and boxes (N, 4) in the picture → N masks."""
    channels, rows, columns = prototypes.shape
    flat = prototypes.reshape(channels, -1)
    found: list[masks.Rle] = []
    for start in range(0, len(coefficients), _CHUNK):
        part = coefficients[start : start + _CHUNK] @ flat
        logits = part.reshape(-1, rows, columns).float().cpu().numpy()
        found += [
            _decode(one, corners, box)
            for one, corners in zip(logits, xyxy[start : start + _CHUNK], strict=True)
        ]
    return tuple(found)


def _decode(logits: Logits, xyxy: npt.NDArray[np.float32], box: Letterbox) -> masks.Rle:
    low = np.ceil(xyxy[:2]).astype(np.int64)
    high = np.minimum(np.ceil(xyxy[2:]), [box.width, box.height]).astype(np.int64)
    across, down = box.gain
    columns = _edges(low[0], high[0], across)
    rows = _edges(low[1], high[1], down)
    if len(columns) < 2 or len(rows) < 2:
        columns, rows = np.array([0, 1]), np.array([0, 1])
        return masks.from_cells(np.zeros((1, 1), np.bool_), rows, columns, box.height, box.width)
    x = _sample(columns, across, box.left, box.input_width / logits.shape[1])
    y = _sample(rows, down, box.top, box.input_height / logits.shape[0])
    cells = _bilinear(logits, y, x) > 0
    return masks.from_cells(cells, rows, columns, box.height, box.width)


def _edges(low: int, high: int, gain: float) -> Int64s:
    """Borders of the cells between two pixels; a cell is a pixel, or about an input pixel."""
    if high <= low:
        return _EMPTY
    cells = max(1, round((high - low) * min(1.0, gain)))
    return low + np.arange(cells + 1) * (high - low) // cells


def _sample(edges: Int64s, gain: float, offset: int, input_a_prototype: float) -> Float64s:
    """Centres of cells, in pixels of the prototypes from the centre of the first."""
    centres = (edges[:-1] + edges[1:]) / 2
    positions: Float64s = (centres * gain + offset) / input_a_prototype - 0.5
    return positions


def _bilinear(logits: Logits, y: Float64s, x: Float64s) -> Logits:
    """(h, w) at the grid of (Y,) and (X,), edges held, as PyTorch interpolates."""
    row, next_row, row_share = _neighbours(y, logits.shape[0])
    column, next_column, column_share = _neighbours(x, logits.shape[1])
    low, high = logits[row], logits[next_row]
    lines = low + (high - low) * row_share[:, None]
    left, right = lines[:, column], lines[:, next_column]
    values: Logits = left + (right - left) * column_share
    return values


def _neighbours(position: Float64s, count: int) -> tuple[Int64s, Int64s, Logits]:
    held = np.clip(position, 0, count - 1)
    low = np.floor(held).astype(np.int64)
    return low, np.minimum(low + 1, count - 1), (held - low).astype(np.float32)
